"""A running service: from pictures to files by its client, what it refuses, and what it survives."""

import io
import json
import re
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.client import Client, JobFailedError, ServiceError
from scenewright.io.scene_file import load_scene
from scenewright.runs.job import GenerateJob, run_job
from scenewright.runs.manifest import GenerateSettings
from scenewright.serve.requests import (
    CaptureRequest,
    EditRequest,
    ExportRequest,
    GenerateRequest,
    RerollRequest,
    StepRequest,
)
from tests.serve.server import TOKENS, Server
from tests.support.command_line import run_here
from tests.systems.genrecon.tiny_capture import TALL, WIDTH, write_capture

PICTURES = Path(__file__).parents[1] / "data" / "replay"
PICTURE, MASKS = PICTURES / "picture.png", PICTURES / "masks.png"
SENT = ("pictures", ("a", PICTURE.read_bytes()))
TINY = {"weights": "mini", "steps": 1, "texture_size": 16, "max_faces": 50}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("service"), "--max-objects", "8", "--max-upload", "2MB") as server:
        yield server


@pytest.fixture(scope="module")
def ann(server: Server) -> Iterator[Client]:
    with server.client("ann") as client:
        yield client


@pytest.fixture(scope="module")
def scene(ann: Client) -> str:
    """The id of a finished scene."""
    return ann.wait(ann.generate(PICTURE, MASKS, system="cuboid")["id"], timeout_s=300)["id"]


def refusal(ann: Client, *, status: int = 422, **given: object) -> str:
    with pytest.raises(ServiceError) as raised:
        ann.generate(**{"pictures": PICTURE, "masks": MASKS, "system": "cuboid"} | given)
    assert raised.value.status == status
    return str(raised.value)


def test_a_scene_has_the_bytes_that_the_command_makes_and_tells_no_place(
    server: Server, ann: Client, scene: str, tmp_path: Path
) -> None:
    settings = GenerateSettings(image=str(PICTURE), masks=(str(MASKS),), system="cuboid")
    run_job(GenerateJob(settings), tmp_path / "here")
    ann.download(scene, tmp_path / "there.glb")
    assert (tmp_path / "there.glb").read_bytes() == (tmp_path / "here" / "scene.glb").read_bytes()
    job = ann.job(scene)
    assert job["files"] == ["scene.glb", "scene_comparison.png", "scene.json"]
    assert len(job["facts"]["objects"]) == 2
    manifest = ann.download(scene, tmp_path / "scene.json", "scene.json").read_text()
    assert json.loads(manifest)["settings"]["image"] == "pictures_1.png"
    assert str(server.folders.data) not in manifest + json.dumps(job)


def test_a_scene_is_edited_undone_exported_and_deleted(server: Server, ann: Client, tmp_path: Path) -> None:
    first = ann.wait(ann.generate(PICTURE, MASKS, system="cuboid", seed=7)["id"])
    name = first["facts"]["objects"][0]
    step = {"action": "delete", "name": name}
    edited = ann.wait(ann.edit(first["id"], [step])["id"])
    assert name not in edited["facts"]["objects"]
    swapped = ann.wait(
        ann.edit(
            edited["id"],
            [{"action": "swap", "name": edited["facts"]["objects"][0], "model": 0}],
            undo=1,
            models=[ann.download(first["id"], tmp_path / "model.glb")],
        )["id"]
    )
    assert name in swapped["facts"]["objects"]
    exported = ann.wait(ann.export(first["id"], "obj")["id"])
    with zipfile.ZipFile(ann.download(exported["id"], tmp_path / "scene.zip")) as archive:
        assert {"scene.obj", "scene.mtl"} <= set(archive.namelist())
    ply = ann.wait(ann.export(first["id"], ".ply")["id"])
    assert load_scene(ann.download(ply["id"], tmp_path / "scene.ply")).objects
    with pytest.raises(ServiceError, match="made no scene to go on from"):
        ann.edit(ply["id"], [step])
    with pytest.raises(JobFailedError, match="cuboid cannot make single objects anew"):
        ann.wait(ann.reroll(first["id"], name)["id"])
    # The files of a scene stay as long as a job that was made from them.
    ann.delete(first["id"])
    with pytest.raises(ServiceError, match="no such job"):
        ann.job(first["id"])
    assert (server.folders.jobs / first["id"]).is_dir()
    for job in ann.jobs(200):
        if job["parent"] in (first["id"], edited["id"]):
            ann.delete(job["id"])
    assert not (server.folders.jobs / first["id"]).exists()


def test_an_object_of_a_network_is_made_anew_and_all_others_stay(server: Server, ann: Client, tmp_path: Path) -> None:
    first = ann.wait(ann.generate(PICTURE, MASKS, system="scenegen", **TINY)["id"])
    name, other = first["facts"]["objects"]
    rerolled = ann.wait(ann.reroll(first["id"], name)["id"])
    regenerate = [{"action": "move", "name": name, "values": [1, 0, 0]}, {"action": "regenerate", "name": name}]
    edited = ann.wait(ann.edit(rerolled["id"], regenerate)["id"])
    before, after, moved = (
        {item.name: item for item in load_scene(ann.download(job["id"], tmp_path / f"{job['id']}.glb")).objects}
        for job in (first, rerolled, edited)
    )
    assert before.keys() == after.keys() == moved.keys()
    for item in (after[other], moved[other]):
        assert torch.equal(item.world_from_object, before[other].world_from_object)
        assert torch.equal(item.parts[0].vertices, before[other].parts[0].vertices)
    assert before[name].parts[0].vertices.tolist() != after[name].parts[0].vertices.tolist()
    with pytest.raises(ServiceError, match="of an edited scene, whose objects are made anew by a step 'regenerate'"):
        ann.reroll(edited["id"], name)
    for job in (first, rerolled):
        ann.delete(job["id"])
    assert ann.wait(ann.edit(edited["id"], undo=1)["id"])["facts"]["objects"] == [name, other]
    for job in ann.jobs(200):
        if job["parent"] in (rerolled["id"], edited["id"]):
            ann.delete(job["id"])
    assert not [job for job in (first, rerolled, edited) if (server.folders.jobs / job["id"]).exists()]


def test_a_panorama_becomes_a_room_that_is_edited_but_not_made_anew_in_parts(ann: Client, tmp_path: Path) -> None:
    Image.new("RGB", (128, 64), "grey").save(tmp_path / "panorama.png")
    job = ann.generate(tmp_path / "panorama.png", **TINY)
    stages = [now["stage"] for now in ann.events(job["id"])]
    made = ann.job(job["id"])
    assert (made["state"], len(set(stages)) > 1) == ("done", True)
    assert {"floor", "ceiling", "wall_0"} <= set(made["facts"]["objects"])
    assert load_scene(ann.download(job["id"], tmp_path / "room.glb")).objects
    bare = ann.wait(ann.edit(job["id"], [{"action": "delete", "name": "ceiling"}])["id"])
    assert "ceiling" not in bare["facts"]["objects"]
    with pytest.raises(ServiceError, match="inspace made the scene as a whole"):
        ann.reroll(job["id"], "floor")


def test_a_capture_becomes_a_scene_that_is_edited_but_not_made_anew_in_parts(
    server: Server, ann: Client, tmp_path: Path
) -> None:
    capture = write_capture(tmp_path / "capture", count=4)
    (tmp_path / "masks").mkdir()
    labels = np.zeros((TALL, WIDTH), np.uint8)
    labels[20:60, 30:60] = 3
    Image.fromarray(labels).save(tmp_path / "masks" / "picture 00.png")
    tiny = {name: value for name, value in TINY.items() if name != "steps"}
    made = ann.wait(ann.capture(capture, tmp_path / "masks", **tiny)["id"])
    assert made["files"] == ["scene.glb", "scene_report.png", "scene.json"]
    names = made["facts"]["objects"]
    assert [item.name for item in load_scene(ann.download(made["id"], tmp_path / "scene.glb")).objects] == names
    with Image.open(ann.download(made["id"], tmp_path / "report.png", "scene_report.png")) as report:
        assert min(report.size) > 100
    manifest = ann.download(made["id"], tmp_path / "scene.json", "scene.json").read_text()
    assert str(server.folders.data) not in manifest
    moved = ann.wait(ann.edit(made["id"], [{"action": "move", "name": names[0], "values": [0, 1, 0]}])["id"])
    assert moved["facts"]["objects"] == names
    with pytest.raises(ServiceError, match="of a capture, whose objects are made together"):
        ann.reroll(made["id"], names[0])


def test_the_same_job_is_done_once_and_another_client_sees_nothing_of_it(
    server: Server, ann: Client, scene: str
) -> None:
    assert ann.generate(PICTURE, MASKS, system="cuboid")["id"] == scene
    with server.client("bob") as bob:
        assert bob.jobs() == []
        for ask in (
            bob.job,
            bob.cancel,
            bob.delete,
            lambda job: bob.edit(job, undo=1),
            lambda job: list(bob.events(job)),
        ):
            with pytest.raises(ServiceError, match="no such job of yours"):
                ask(scene)
        assert bob.generate(PICTURE, MASKS, system="cuboid")["id"] != scene
    with Client(server.address, "c" * 32) as nobody, pytest.raises(ServiceError, match="Send a known token"):
        nobody.jobs()


def test_masks_come_in_every_form(ann: Client, tmp_path: Path) -> None:
    labels = np.asarray(Image.open(MASKS).convert("L"))
    folder = tmp_path / "masks"
    folder.mkdir()
    for name, value in zip(("sofa", "lamp"), np.unique(labels)[-2:], strict=True):
        Image.fromarray(np.where(labels == value, 255, 0).astype(np.uint8)).save(folder / f"{name}.png")
    named = ann.wait(ann.generate(PICTURE, folder, system="cuboid")["id"])
    assert sorted(named["facts"]["objects"]) == ["lamp", "sofa"]
    several = ann.wait(ann.generate(PICTURE, sorted(folder.iterdir()), system="cuboid")["id"])
    assert sorted(several["facts"]["objects"]) == ["masks_1", "masks_2"]
    boxes = ann.wait(
        ann.generate(PICTURE, system="cuboid", prompts={"boxes": [[1, 1, 40, 40]], "names": ["lamp"]})["id"]
    )
    assert boxes["facts"]["objects"] == ["lamp"]
    assert "covers nothing of a picture" in refusal(ann, masks=None, prompts={"boxes": [[900, 900, 901, 901]]})


def png_of(width: int, height: int) -> bytes:
    """A tiny file that says it is a picture of that size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def pickled_array() -> bytes:
    content = io.BytesIO()
    np.save(content, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return content.getvalue()


@pytest.mark.parametrize(
    ("field", "content", "message"),
    [
        ("pictures", b"", "no kind that is read here"),
        ("pictures", b"%!PS-Adobe-3.0 EPSF-3.0\n", "no kind that is read here"),
        ("pictures", b"\x89PNG\r\n\x1a\nno picture", r"'pictures_1\.png'"),
        ("pictures", png_of(60_000, 60_000), "too large to decode"),
        ("pictures", png_of(9_000, 8_000), "9000x8000 pixels, more than the 64,000,000"),
        ("pictures", b"PK\x03\x04", r"pictures_1\.zip"),
        ("masks", pickled_array(), r"masks_1\.npy"),
        ("masks", b"[" * 100_000, r"masks_1\.json"),
        ("masks", b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', r"masks_1\.xml"),
        ("masks", b"PK\x03\x04 no zip", r"masks_1\.zip"),
    ],
    ids=["empty", "eps", "damaged", "bomb", "large", "zip", "pickle", "deep", "entities", "no_zip"],
)
def test_files_that_are_something_else_are_one_sentence_and_leave_nothing(
    server: Server, ann: Client, tmp_path: Path, field: str, content: bytes, message: str
) -> None:
    path = tmp_path / "upload"
    path.write_bytes(content)
    before = set(server.folders.jobs.iterdir())
    sentence = refusal(ann, **{field: path})
    assert len(sentence) < 1100
    assert str(server.folders.data) not in sentence
    assert re.search(message, sentence), sentence
    assert set(server.folders.jobs.iterdir()) == before


def link_to(target: str, name: str) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, 0o120777 << 16
    return info, target.encode()


def frames(*names: str) -> bytes:
    camera = {"fl_x": 60, "fl_y": 60, "cx": 48, "cy": 36, "w": 96, "h": 72}
    return json.dumps(
        camera | {"frames": [{"file_path": n, "transform_matrix": np.eye(4).tolist()} for n in names]}
    ).encode()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("../../escaped.txt", b"x")], "no plain name of a file inside the archive"),
        ([link_to("/etc/passwd", "images/b.png")], "is a link or a device"),
        ([("transforms.json", frames("../../../../jobs.sqlite"))], "None of the 1 pictures of the model is in"),
        ([("transforms.json", frames("/etc/passwd"))], "None of the 1 pictures of the model is in"),
        ([("transforms.json", frames("http://169.254.169.254/a.png"))], "None of the 1 pictures of the model is in"),
        ([("transforms.json", b"[" * 500_000)], r"transforms\.json"),
        ([("images/b.png", png_of(60_000, 60_000))], "too large to decode|pixels"),
        (
            [("sparse/0/cameras.bin", struct.pack("<Q", 1 << 60)), ("sparse/0/images.bin", struct.pack("<Q", 1 << 60))],
            r"cameras\.bin|images\.bin|points3D",
        ),
        ([(f"images/{n}.png", b"") for n in range(10_001)], "more than 10,000"),
    ],
    ids=["traversal", "link", "frame", "absolute", "address", "deep", "bomb", "counts", "many"],
)
def test_archives_that_reach_outside_or_promise_too_much_are_refused(
    server: Server, ann: Client, tmp_path: Path, members: list[tuple[zipfile.ZipInfo | str, bytes]], message: str
) -> None:
    path = tmp_path / "capture.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images/a.png", PICTURE.read_bytes())
        for name, content in members:
            archive.writestr(name, content)
    before = set(server.folders.jobs.rglob("*"))
    with pytest.raises(ServiceError) as raised:
        ann.capture(path)
    sentence = str(raised.value)
    assert (raised.value.status, str(server.folders.data) in sentence, len(sentence) < 1100) == (422, False, True)
    assert re.search(message, sentence), sentence
    assert set(server.folders.jobs.rglob("*")) == before


def glb_of(description: dict) -> bytes:
    content = json.dumps(description).encode()
    content += b" " * (-len(content) % 4)
    head = struct.pack("<4sII", b"glTF", 2, 20 + len(content))
    return head + struct.pack("<I4s", len(content), b"JSON") + content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"glTF\2", r"models_1\.glb"),
        (
            glb_of({"asset": {"version": "2.0"}, "buffers": [{"uri": "file:///etc/passwd", "byteLength": 9}]}),
            "models_1",
        ),
        (glb_of({"asset": {"version": "2.0"}, "scenes": [{"nodes": [0]}], "nodes": [{"children": [0]}]}), "models_1"),
        (b"ply\nformat ascii 1.0\nelement vertex 99999999999\nproperty float x\nend_header\n", r"models_1\.ply"),
        (b"solid no model", "no kind that is read here"),
    ],
    ids=["cut", "address", "cycle", "counts", "kind"],
)
def test_models_that_are_damaged_or_name_other_files_are_refused(
    ann: Client, scene: str, tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "model").write_bytes(content)
    name = ann.job(scene)["facts"]["objects"][0]
    with pytest.raises(ServiceError, match=message) as raised:
        ann.edit(scene, [{"action": "swap", "name": name, "model": 0}], models=[tmp_path / "model"])
    assert raised.value.status == 422


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"system": "none"}, "Expected a system out of"),
        ({"system": "genrecon"}, "reads no pictures with masks"),
        ({"system": "../x"}, "options.system"),
        ({"steps": 10**9}, "options.steps"),
        ({"seed": -1}, "options.seed"),
        ({"weights": "/etc"}, "options.weights"),
        ({"weights": "someone/repository"}, "options.weights"),
        ({"image": "/etc/passwd"}, "options.image: Extra inputs"),
        ({"image_url": "http://169.254.169.254/"}, "options.image_url: Extra inputs"),
        ({"steps": 3}, "cuboid has no use for --steps"),
        ({"floor_m": 1.0}, "is no panorama"),
    ],
)
def test_options_are_refused_by_name(ann: Client, options: dict, message: str) -> None:
    assert message in refusal(ann, **options)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([SENT, ("seed", (None, "3"))], "There is no field 'seed' but options, pictures, masks"),
        ([SENT, ("mask", SENT[1])], "There is no field 'mask'"),
        ([SENT, ("options", (None, "{}")), ("options", (None, "{}"))], "'options' was sent 2 times"),
        ([SENT, ("camera", ("a", b"{}")), ("camera", ("b", b"{}"))], "'camera' was sent 2 times"),
        ([("pictures", (None, "room.jpg"))], "body.pictures.0: Expected a file, got text"),
        ([("pictures", ("a", b"\0"))], "File 1 of 'pictures' is of no kind that is read here; /docs"),
        ([SENT, ("masks", ("a", b""))], "File 1 of 'masks' is empty"),
        ([SENT, ("options", (None, '{"seed": true}'))], "options.seed: Input should be a valid int"),
        ([SENT, ("options", (None, '{"settle": 1}'))], "options.settle: Input should be a valid boo"),
        ([SENT, ("options", (None, '{"guidance": 1e400}'))], "options.guidance: Input should be a finite"),
        ([SENT, ("options", (None, f'{{"seed": {1 << 63}}}'))], "options.seed: Input should be less"),
    ],
    ids=lambda value: str(value)[-30:],
)
def test_forms_are_refused_by_field(server: Server, fields: list, message: str) -> None:
    before = set(server.folders.jobs.iterdir())
    bearer = {"Authorization": f"Bearer {TOKENS['ann']}"}
    answer = httpx.post(f"{server.address}/jobs/generate", files=fields, headers=bearer, trust_env=False, timeout=60)
    assert (answer.status_code, message in answer.json()["detail"]) == (422, True), answer.text
    assert set(server.folders.jobs.iterdir()) == before


def test_no_field_of_the_interface_takes_an_address_or_a_path(ann: Client) -> None:
    schemas = ann._http.get("/openapi.json").json()["components"]["schemas"]
    fields = {name for schema in schemas.values() for name in schema.get("properties", {})}
    requests = (GenerateRequest, CaptureRequest, EditRequest, ExportRequest, RerollRequest, StepRequest)
    fields |= {name for request in requests for name in request.model_fields}
    assert "pictures" in fields
    assert not [name for name in fields if re.search("ur[li]|path|host|address|callback|hook|folder", name)]


def test_limits_are_told_by_name(server: Server, ann: Client, tmp_path: Path) -> None:
    many = np.zeros((96, 96), np.uint8)
    many[2:94, 2:94] = np.kron(np.arange(1, 17).reshape(4, 4), np.ones((23, 23)))
    Image.fromarray(many).save(tmp_path / "many.png")
    Image.new("RGB", (96, 96), "grey").save(tmp_path / "picture.png")
    assert "more than the 8" in refusal(ann, pictures=tmp_path / "picture.png", masks=tmp_path / "many.png")
    (tmp_path / "big.png").write_bytes(PICTURE.read_bytes() + bytes(2 << 20))
    assert "larger than the 2," in refusal(ann, status=413, pictures=tmp_path / "big.png")
    bearer = {"Authorization": f"Bearer {TOKENS['ann']}"}
    huge = httpx.post(f"{server.address}/jobs/x/reroll", content=b"[" * (1 << 21), headers=bearer, trust_env=False)
    assert huge.status_code == 413
    deep = {"content-type": "application/json"} | bearer
    answer = httpx.post(
        f"{server.address}/jobs/{'x' * 22}/reroll", content=b"[" * 500_000, headers=deep, trust_env=False
    )
    assert answer.status_code in (400, 422)
    with pytest.raises(ServiceError) as long:  # a field that is no file
        ann.edit("x" * 22, undo=0, models=[], steps=[{"action": "delete", "name": "n" * (1 << 20)}])
    assert long.value.status in (400, 413, 422)
    Image.new("L", (8, 8)).save(tmp_path / "mask.png")
    assert "at most 256 files" in refusal(ann, masks=[tmp_path / "mask.png"] * 300)


def test_a_token_that_was_taken_out_is_no_use_to_whoever_kept_it(server: Server) -> None:
    path = server.folders.data.parent / "tokens"
    known = path.read_text()
    kept = {"Authorization": "Bearer " + "e" * 32}
    path.write_text(known + f"eve {'e' * 32}\n")
    assert httpx.get(f"{server.address}/jobs", headers=kept, trust_env=False).status_code == 200
    path.write_text(known)
    assert httpx.get(f"{server.address}/jobs", headers=kept, trust_env=False).status_code == 401
    for place in (f"/jobs?token={TOKENS['ann']}", f"/jobs?access_token={TOKENS['ann']}"):  # places that logs keep
        assert httpx.get(server.address + place, trust_env=False).status_code == 401


@pytest.mark.parametrize(
    "name",
    [
        "..%2f..%2f..%2fjobs.sqlite",
        "%2e%2e/%2e%2e/jobs.sqlite",
        "%2fetc%2fpasswd",
        "job.json",
        "..%5cscene.glb",
        "",
        ".",
    ],
)
def test_only_listed_files_are_served(server: Server, scene: str, name: str) -> None:
    bearer = {"Authorization": f"Bearer {TOKENS['ann']}"}
    answer = httpx.get(f"{server.address}/jobs/{scene}/files/{name}", headers=bearer, trust_env=False)
    assert answer.status_code == 404


def test_names_of_clients_are_no_names_here(server: Server, scene: str) -> None:
    bearer = {"Authorization": f"Bearer {TOKENS['ann']}"}
    names = ("../../../evil.png", "/tmp/evil.png", "C:\\evil.png", "evil\0.png", "x" * 300 + ".png")
    for number, name in enumerate(names):
        files = {"pictures": (name, PICTURE.read_bytes()), "masks": (name, MASKS.read_bytes())}
        options = {"options": json.dumps({"system": "cuboid", "seed": 100 + number})}
        answer = httpx.post(
            f"{server.address}/jobs/generate", files=files, data=options, headers=bearer, trust_env=False, timeout=60
        )
        assert answer.status_code == 202, answer.text
        found = {path.name for path in server.folders.inputs(answer.json()["id"]).iterdir()}
        assert found == {"pictures_1.png", "masks_1.png"}


def test_a_running_job_is_cancelled_and_the_worker_goes_on(ann: Client) -> None:
    running = ann.generate(PICTURE, MASKS, system="scenegen", weights="mini")
    waiting = ann.generate(PICTURE, MASKS, system="scenegen", weights="mini", seed=1)
    assert ann.cancel(waiting["id"])["state"] in ("cancelled", "running")
    for now in ann.events(running["id"]):
        if now["state"] == "running" and now["stage"]:
            ann.cancel(running["id"])
        last = now
    assert last["state"] == "cancelled"
    with pytest.raises(ServiceError, match="cancelled, so it has no result"):
        ann.export(running["id"], "obj")
    assert ann.wait(ann.generate(PICTURE, MASKS, system="cuboid", seed=50)["id"])["state"] == "done"


def test_the_page_of_the_interface_needs_no_other_server(ann: Client) -> None:
    page = ann._http.get("/docs").text
    assert "swagger-ui" in page
    assert "//" not in page.replace("<!--", "").replace("window.location.origin + '/docs/oauth2-redirect'", "")
    assert ann._http.get("/static-offline-docs/swagger-ui-bundle.js").status_code == 200


def test_health_and_metrics_tell_how_it_is(server: Server, ann: Client, scene: str) -> None:
    health = httpx.get(f"{server.address}/health", trust_env=False)
    assert health.json()["workers_alive"] == 1
    numbers = ann._http.get("/metrics").text
    assert 'scenewright_jobs_finished_total{kind="generate",state="done"}' in numbers
    assert "scenewright_workers_alive 1.0" in numbers
    assert httpx.get(f"{server.address}/metrics", trust_env=False).status_code == 401
    assert {entry["suffix"] for entry in ann.catalogue()["formats"]} >= {".glb", ".usdz", ".xml"}


@pytest.mark.skipif(sys.platform != "linux", reason="workers are found in /proc")
def test_jobs_survive_kills_of_worker_and_server(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        with server.client() as ann:
            jobs = [ann.generate(PICTURE, MASKS, system="cuboid", seed=seed)["id"] for seed in range(6)]
            ann.wait(jobs[0])
        server.kill_worker()
        while server.queue.counts().get("done", 0) < 3:
            time.sleep(0.05)
        server.kill()
        server.start()
        with server.client() as ann:
            made = [ann.wait(job) for job in jobs]
            assert [job["state"] for job in made] == ["done"] * 6
            assert len(ann.jobs(200)) == 6
            assert {tuple(job["files"]) for job in made} == {("scene.glb", "scene_comparison.png", "scene.json")}
        assert [total[:3] for total in server.queue.totals()] == [("generate", "done", 6)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "give --tokens FILE, or serve on 127.0.0.1"),
        (["--tokens", "none.txt"], "cannot be read"),
        (["--host", "no.such.host.invalid"], "give --tokens"),
        (["--host", "a..b", "--tokens", "TOKENS"], "Cannot listen on a..b:0"),
    ],
)
def test_what_would_be_unsafe_is_not_started(tmp_path: Path, options: list[str], message: str) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"ann {'a' * 32}\n")
    tokens.chmod(0o600)
    options = [str(tokens) if option == "TOKENS" else option for option in options]
    code, printed = run_here(["serve", "--device", "cpu", "--data", str(tmp_path / "data"), "--port", "0", *options])
    assert code == 2
    assert message in printed


def test_two_servers_never_have_one_folder(server: Server) -> None:
    code, printed = run_here(["serve", "--device", "cpu", "--port", "0", "--data", str(server.folders.data)])
    assert code == 2
    assert "Another process of this service holds" in printed
