"""The client against answers of a service; with a real one in tests/serve/test_service.py."""

import io
import json
import zipfile
from pathlib import Path

import httpx
import pytest

from scenewright.client import Client, JobFailedError, ServiceError
from scenewright.errors import InputError


def client(*answers: httpx.Response | Exception, seen: list[httpx.Request] | None = None) -> Client:
    """A client whose requests get these answers, one after the other."""
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        request.read()
        if seen is not None:
            seen.append(request)
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    return Client(token="secret", transport=httpx.MockTransport(answer))


def events(*jobs: dict) -> httpx.Response:
    return httpx.Response(200, text="".join(f"event: progress\ndata: {json.dumps(job)}\n\n" for job in jobs))


def test_refusals_are_the_sentence_of_the_service() -> None:
    with pytest.raises(ServiceError, match="There is no such job") as raised:
        client(httpx.Response(404, json={"detail": "There is no such job of yours."})).job("x")
    assert raised.value.status == 404
    with pytest.raises(ServiceError, match="Bad Gateway"):
        client(httpx.Response(502)).job("x")
    with pytest.raises(ServiceError, match="cannot be reached"):
        client(httpx.ConnectError("refused")).job("x")


def test_names_of_files_and_folders_stay_here(tmp_path: Path) -> None:
    (tmp_path / "secret name.png").write_bytes(b"picture")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "sofa.png").write_bytes(b"mask")
    seen: list[httpx.Request] = []
    given = client(httpx.Response(202, json={"id": "x"}), seen=seen)
    given.generate(tmp_path / "secret name.png", tmp_path / "masks", seed=3)
    (request,) = seen
    assert request.headers["authorization"] == "Bearer secret"
    assert b"secret name" not in request.content
    assert b'{"seed": 3}' in request.content
    start = request.content.index(b"PK\x03\x04")
    with zipfile.ZipFile(io.BytesIO(request.content[start:])) as archive:
        assert archive.namelist() == ["sofa.png"]
    with pytest.raises(InputError, match=r"none\.png' cannot be read"):
        given.generate(tmp_path / "none.png")


def test_waiting_outlives_a_server_that_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scenewright.client._PAUSE_S", 0.0)
    running, done = {"state": "running", "stage": "shape"}, {"state": "done"}
    heard: list[str] = []
    given = client(events(running), httpx.ConnectError("gone"), httpx.Response(503), events(running, done))
    assert given.wait("x", progress=lambda job: heard.append(job["state"])) == done
    assert heard == ["running", "running", "done"]
    with pytest.raises(JobFailedError, match="failed: no object was found"):
        client(events({"state": "failed", "error": "no object was found"})).wait("x")
    with pytest.raises(ServiceError, match="not finished after 0 s"):
        client(events(running), events(running)).wait("x", timeout_s=0)


def test_a_download_that_breaks_leaves_no_file(tmp_path: Path) -> None:
    def pieces():
        yield b"half"
        raise httpx.ReadError("gone")

    with pytest.raises(ServiceError, match="cannot be reached"):
        client(httpx.Response(200, content=pieces())).download("x", tmp_path / "scene.glb")
    assert list(tmp_path.iterdir()) == []
