"""The client against answers of a service; with a real one in tests/serve/test_service.py."""

import io
import json
import os
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


NO_SERVICE = {
    "page": httpx.Response(200, text="<html>", headers={"content-type": "text/html"}),
    "nothing": httpx.Response(200),
    "half": httpx.Response(200, text='{"id": "x'),
    "list": httpx.Response(200, json=[1]),
    "bytes": httpx.Response(200, content=b"\xff\xfe\0"),
}


@pytest.mark.parametrize("kind", NO_SERVICE)
def test_what_is_no_answer_of_a_service_is_one_sentence(kind: str) -> None:
    with pytest.raises(ServiceError, match=r"at http://127\.0\.0\.1:8000 is no service of Scenewright") as raised:
        client(NO_SERVICE[kind]).job("x")
    assert raised.value.status == 200
    with pytest.raises(ServiceError, match="is no service of Scenewright"):
        client(httpx.Response(200, json={})).jobs()


@pytest.mark.parametrize("text", ["<html>", "data: {", "data: [1]", 'data: {"id": "x"}'])
def test_waiting_ends_at_once_where_no_service_answers(text: str) -> None:
    with pytest.raises(ServiceError, match="is no service of Scenewright"):
        client(httpx.Response(200, text=text)).wait("x")


def test_pages_and_redirects_are_no_results(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="is no service of Scenewright"):
        client(NO_SERVICE["page"]).download("x", tmp_path / "scene.glb")
    moved = httpx.Response(302, headers={"location": "https://elsewhere/"}, text="moved")
    with pytest.raises(ServiceError, match="elsewhere, at 'https://elsewhere/'"):
        client(moved).download("x", tmp_path / "scene.glb")
    with pytest.raises(ServiceError, match="502 Bad Gateway"):
        client(httpx.Response(502, text="<html>")).download("x", tmp_path / "scene.glb")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "address", ["", "localhost:8000", "127.0.0.1", "ftp://127.0.0.1", "http://", "http://\0", "http://a..é"]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="Expected the address of a service, such as http"):
        Client(address)


def test_a_token_is_taken_from_its_line_and_refused_where_it_can_be_none() -> None:
    seen: list[httpx.Request] = []
    transport = httpx.MockTransport(lambda request: seen.append(request) or httpx.Response(200, json=[]))
    Client(token="secret\n", transport=transport).jobs()
    assert seen[0].headers["authorization"] == "Bearer secret"
    for token in ("", "é", "a b", "a\r\nX: y"):
        with pytest.raises(InputError, match="Expected a token") as raised:
            Client(token=token)
        assert token.strip() not in str(raised.value) or not token


def test_names_are_no_other_places(tmp_path: Path) -> None:
    seen: list[httpx.Request] = []
    given = client(*(httpx.Response(200, json={"id": "x"}) for _ in range(4)), seen=seen)
    given.job("../health?a#b")
    given.job("a\0\ud800")
    given.download("x", tmp_path / "a", "scene_meshes/a#b?c %2e.obj")
    assert [request.url.raw_path for request in seen] == [
        b"/jobs/..%2Fhealth%3Fa%23b",
        b"/jobs/a%00%3F",
        b"/jobs/x/files/scene_meshes/a%23b%3Fc%20%252e.obj",
    ]


def test_what_cannot_be_sent_is_one_sentence(tmp_path: Path) -> None:
    picture, folder = tmp_path / "a.png", tmp_path / "masks"
    picture.write_bytes(b"picture")
    folder.mkdir()
    given = client(httpx.Response(202, json={"id": "x"}))
    for value in (float("nan"), tmp_path, {1}):
        with pytest.raises(InputError, match="cannot be sent as JSON"):
            given.generate(picture, seed=value)
        with pytest.raises(InputError, match="cannot be sent as JSON"):
            given.export("x", "glb", resolution=value)
    with pytest.raises(InputError, match="masks' holds no files"):
        given.generate(picture, folder)
    with pytest.raises(InputError, match="cannot be read: embedded null byte"):
        given.generate("a\0b")
    (folder / "old.png").write_bytes(b"mask")
    os.utime(folder / "old.png", (0, 0))  # a date that a .zip cannot hold
    assert given.generate(picture, folder) == {"id": "x"}
    (folder / os.fsdecode(b"\xff.png")).touch()
    with pytest.raises(InputError, match="has a name that no"):
        given.generate(picture, folder)


def test_waiting_ends_when_its_time_is_over_though_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scenewright.client._PAUSE_S", 0.0)
    waits: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        waits.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, text=": waiting\n\n")

    with pytest.raises(ServiceError, match="not finished after"):
        Client(transport=httpx.MockTransport(answer)).wait("x", timeout_s=0.5)
    assert 0 < max(waits) <= 0.5
