"""The resolver against local folders and a real little HTTP server that speaks the hub's protocol as far as needed."""

import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scenewright.errors import InputError, WeightsError
from scenewright.weights.hub import (
    cached_file,
    downloads_forbidden,
    fetch,
    find_file,
    hub_is_offline,
    is_local_source,
    refuse_download,
    sha256_of,
)
from scenewright.weights.record import WeightsRecord
from scenewright.weights.trust import trusted_hashes

CONTENT = b"some weights"
COMMIT = "a" * 40
NAME = "owner/repo@main/ckpts/net.safetensors"


def record(**changes) -> WeightsRecord:
    facts = {
        "name": "test/net",
        "repository": "owner/repo",
        "file": "ckpts/net.safetensors",
        "architecture": "Net",
        "licence": "MIT",
        "paper": "none",
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "size_bytes": len(CONTENT),
    }
    return WeightsRecord(**(facts | changes))


class _Hub(BaseHTTPRequestHandler):
    content = CONTENT

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        if self.path.startswith("/owner/gated/"):
            self.send_response(403)
            self.send_header("X-Error-Code", "GatedRepo")
            self.send_header("Content-Length", "0")
        elif self.path != "/owner/repo/resolve/main/ckpts/net.safetensors":
            self.send_response(404)
            missing = "EntryNotFound" if self.path.startswith("/owner/repo/resolve/main/") else "RepoNotFound"
            self.send_header("X-Error-Code", missing)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
        else:
            self.send_response(200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(CONTENT).hexdigest()}"')
            self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        if with_body and self.path.startswith("/owner/repo/resolve/main/ckpts/"):
            self.wfile.write(self.content)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def local(tmp_path: Path) -> Path:
    (tmp_path / "model" / "ckpts").mkdir(parents=True)
    (tmp_path / "model" / "ckpts" / "net.safetensors").write_bytes(CONTENT)
    return tmp_path / "model"


def test_the_argument_decides_what_is_meant(tmp_path):
    assert is_local_source(Path("owner/repo"))
    assert is_local_source(str(tmp_path))
    assert is_local_source("x" * 5000)
    assert all(map(is_local_source, ("./x", "~/x", "/x/y", "a/b/c", "name", "C:\\x")))
    assert not is_local_source("owner/repo")


def test_a_local_folder_in_the_published_layout(local):
    assert fetch(record(), local) == local / "ckpts" / "net.safetensors"


def test_errors_of_a_local_folder_name_what_was_expected(local):
    with pytest.raises(WeightsError, match=r"Expected 'ckpts/other\.safetensors' in the folder .*no such file"):
        fetch(record(file="ckpts/other.safetensors"), local)
    with pytest.raises(WeightsError, match="does not exist"):
        fetch(record(), local / "nowhere")


def test_wrong_size_and_wrong_hash_are_refused(local):
    with pytest.raises(WeightsError, match="12 bytes instead of 13"):
        fetch(record(size_bytes=13), local)
    with pytest.raises(WeightsError, match=r"SHA-256 .* instead of 000000000000"):
        fetch(record(sha256="0" * 64), local)
    assert fetch(record(sha256="0" * 64), local, check_hash=False)


def test_download_then_cache(hub, tmp_path):
    path = fetch(record(), cache_dir=tmp_path, endpoint=hub)
    assert path.read_bytes() == CONTENT
    assert cached_file("owner/repo", "ckpts/net.safetensors", cache_dir=tmp_path) == path
    assert fetch(record(), cache_dir=tmp_path, offline=True) == path


def test_download_errors_say_what_happened(hub, tmp_path):
    def attempt(repository: str, file: str = "ckpts/net.safetensors") -> None:
        find_file(repository, file, cache_dir=tmp_path, endpoint=hub)

    with pytest.raises(WeightsError, match="is gated: accept its licence"):
        attempt("owner/gated")
    with pytest.raises(WeightsError, match=r"no file 'ckpts/none\.safetensors' on the hub"):
        attempt("owner/repo", "ckpts/none.safetensors")
    with pytest.raises(WeightsError, match="no repository 'owner/none'"):
        attempt("owner/none")


def test_a_download_with_other_content_is_refused(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(_Hub, "content", b"evil weights")
    with pytest.raises(WeightsError, match="are not the published 'test/net'"):
        fetch(record(), cache_dir=tmp_path, endpoint=hub)


def test_without_network_it_is_told_without_trying_again(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.hf_hub_download", None)
    with pytest.raises(WeightsError, match="not in the hub cache and the hub cannot be reached"):
        fetch(record(), cache_dir=tmp_path, endpoint="http://127.0.0.1:1")


def test_without_a_published_hash_the_first_file_is_trusted_and_another_refused(hub, tmp_path, caplog):
    unhashed = record(sha256=None, size_bytes=None)
    path = fetch(unhashed, cache_dir=tmp_path, endpoint=hub)
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert f"No published hash of {NAME} is known; trusted as it is, SHA-256 {digest}" in caplog.text
    assert trusted_hashes(tmp_path) == {NAME: digest}
    caplog.clear()
    assert fetch(unhashed, cache_dir=tmp_path, offline=True) == path
    assert not caplog.text
    # As if the publisher had replaced it.
    path.unlink()
    path.write_bytes(b"other weights")
    with pytest.raises(WeightsError, match=r"changed since they were first used here .*its line in '.*hashes\.json'"):
        fetch(unhashed, cache_dir=tmp_path, offline=True)
    (tmp_path / "scenewright_hashes.json").write_text("[]")
    with pytest.raises(WeightsError, match="restore it, or delete it to trust all anew"):
        fetch(unhashed, cache_dir=tmp_path, offline=True)


def test_a_download_that_differs_from_its_name_on_the_hub_is_not_trusted(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(_Hub, "content", b"evil weights")
    with pytest.raises(WeightsError, match="are damaged"):
        fetch(record(sha256=None), cache_dir=tmp_path, endpoint=hub)
    assert not trusted_hashes(tmp_path)


def test_a_cache_that_cannot_be_written_is_no_obstacle(hub, tmp_path, monkeypatch, caplog):
    def refuse(*arguments):
        raise InputError("Read-only file system.")

    monkeypatch.setattr("scenewright.weights.trust.write_bytes", refuse)
    assert fetch(record(sha256=None), cache_dir=tmp_path, endpoint=hub).read_bytes() == CONTENT
    assert "which cannot be noted (Read-only file system.)" in caplog.text


def test_offline_never_asks_the_network(tmp_path):
    with pytest.raises(WeightsError, match="downloading is off"):
        fetch(record(), cache_dir=tmp_path, offline=True)


def test_weights_that_are_on_no_hub():
    with pytest.raises(WeightsError, match="is not on the hub; download"):
        fetch(record(repository="somebody's server", url="https://example.org"))


def test_names_that_are_neither_folder_nor_repository(tmp_path):
    with pytest.raises(WeightsError, match="neither a folder here nor a hub name"):
        find_file("owner/re po", "x", cache_dir=tmp_path)
    with pytest.raises(WeightsError):
        find_file("owner/-bad-", "x", cache_dir=tmp_path)


def test_a_hash_is_taken_once_until_the_file_changes(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"first")
    read = []
    first = sha256_of(path, lambda done, total: read.append((done, total)))
    assert first == hashlib.sha256(b"first").hexdigest()
    assert sha256_of(path, lambda done, total: read.append((done, total))) == first
    assert read == [(5, 5)]
    path.write_bytes(b"second")
    assert sha256_of(path) == hashlib.sha256(b"second").hexdigest()


def test_forbidden_downloads_are_allowed_again_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr("scenewright.weights.hub._check_reachable", None)  # which would be called
    before = hub_is_offline()
    with downloads_forbidden():
        with pytest.raises(WeightsError, match="downloading is off"):
            fetch(record(), cache_dir=tmp_path)
        with pytest.raises(WeightsError, match=r"A network is not on this machine .* downloading is off"):
            refuse_download(tmp_path / "a.onnx", "A network")
        (tmp_path / "a.onnx").touch()
        refuse_download(tmp_path / "a.onnx", "A network")
        assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert hub_is_offline() == before
