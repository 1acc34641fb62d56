"""The endpoints in this process, without workers: what is refused, and that every answer that is no file is JSON."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from scenewright.serve import app
from scenewright.serve.app import guarded_app
from scenewright.serve.job_queue import NewJob
from scenewright.serve.requests import CaptureRequest, EditRequest, GenerateRequest
from scenewright.serve.service import LOCAL, Service, ServiceSettings, opened_service

ID = "x" * 22


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return opened_service(ServiceSettings(tmp_path / "data"))


@pytest.fixture
def http(service: Service) -> TestClient:
    return TestClient(guarded_app(service), base_url="http://127.0.0.1", raise_server_exceptions=False)


def done(service: Service, kind: str, *files: str) -> str:
    """The id of a job that is done, with these files."""
    service.queue.submit(NewJob(ID, LOCAL, kind, "{}", "key"), service.limits)
    claim = service.queue.claim("worker_1")
    assert claim is not None
    folder = service.folders.result(ID)
    folder.mkdir(parents=True)
    for name in files:
        (folder / name).write_bytes(b"0123456789")
    service.queue.finish(ID, claim.lease, "done", files=files)
    return ID


def test_limits_are_those_of_the_commands() -> None:
    largest = GenerateRequest.model_validate_json('{"seed": 9223372036854775807, "heading_deg": 20000}')
    assert (largest.seed, largest.heading_deg) == ((1 << 63) - 1, 20_000)
    assert CaptureRequest.model_validate_json('{"room_labels": 1000, "metres_per_unit": 1e5}').room_labels == 1000
    move = {"action": "move", "name": "sofa", "values": [1e9, 0, 0]}
    assert EditRequest.model_validate_json(json.dumps({"steps": [move]})).steps[0].values == [1e9, 0, 0]


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"names": ["\xff"]}', b'{"names": [' + b"9" * 10_000 + b"]}", b'{"\\ud800": 1}', b"null"]
)
def test_bodies_that_cannot_be_read_are_one_sentence(http: TestClient, body: bytes) -> None:
    answer = http.post(f"/jobs/{ID}/reroll", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"].endswith(".")
    form = http.post("/jobs/generate", content=body, headers={"content-type": "multipart/form-data; boundary=x"})
    assert form.status_code == 400
    assert form.json()["detail"]


def test_every_answer_that_is_no_file_is_a_sentence(
    http: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(service, "generate", "scene.glb")
    place = f"/jobs/{ID}/result"
    assert http.get(place, headers={"range": "bytes=2-4"}).content == b"234"
    asked = {
        416: http.get(place, headers={"range": "bytes=99-"}),
        400: http.get(place, headers={"range": "lines=1-2"}),
        404: http.get("/nothing"),
        405: http.put("/jobs"),
    }
    monkeypatch.setattr(service.queue, "newest", lambda *values: 1 // 0)
    asked[500] = http.get("/jobs")
    for status, answer in asked.items():
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
        assert answer.json()["detail"].endswith(".")


@pytest.mark.parametrize(("kind", "name"), [("generate", "scene.json"), ("export", "scene.obj")])
def test_files_that_are_gone_are_told(http: TestClient, service: Service, kind: str, name: str) -> None:
    done(service, kind, name, "scene.mtl")
    shutil.rmtree(service.folders.result(ID))
    for place in ("result", f"files/{name}"):
        answer = http.get(f"/jobs/{ID}/{place}")
        assert (answer.status_code, answer.json()["detail"]) == (404, "The file is gone.")


def test_a_stream_says_that_it_lives(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_POLL_S", 0.01)
    monkeypatch.setattr(app, "_SILENCE_S", 0.02)
    service.queue.submit(NewJob(ID, LOCAL, "generate", "{}", "key"), service.limits)

    async def first_two() -> list[str]:
        events = app._events(service, ID, LOCAL)
        return [await anext(events), await anext(events)]

    progress, silence = asyncio.run(first_two())
    assert progress.startswith("event: progress")
    assert silence == ": waiting\n\n"


@pytest.mark.parametrize("kind", ["jobs", "database", "lock"])
def test_a_folder_of_something_else_is_refused_and_left_as_it_is(tmp_path: Path, kind: str) -> None:
    (tmp_path / "jobs" / "mine").mkdir(parents=True)
    (tmp_path / "jobs" / "mine" / "work.txt").write_text("of years")
    if kind != "jobs":
        (tmp_path / ("jobs.sqlite" if kind == "database" else "server.lock")).write_bytes(b"no database" * 100)
    with pytest.raises(app.InputError, match="give another --data"):
        opened_service(ServiceSettings(tmp_path))
    assert (tmp_path / "jobs" / "mine" / "work.txt").read_text() == "of years"


def test_a_start_removes_what_was_never_accepted_and_nothing_else(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("y" * 22, "mine"):
        (service.folders.jobs / name).mkdir()
    monkeypatch.setattr(service.supervisor, "start", lambda: None)
    service.start()
    assert [path.name for path in service.folders.jobs.iterdir()] == ["mine"]
