"""Batches on this machine: the bytes of a plain run, resumed, with poison set aside and workers that die replaced."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from scenewright.batch.manifest import Task
from scenewright.batch.places import TransferError, open_place
from scenewright.batch.pools import InlinePool, LocalPool, Pool
from scenewright.batch.run import Summary, run_batch
from scenewright.batch.worker import Outcome
from scenewright.data.making import make_data
from scenewright.data.recipes import DataRecipe
from scenewright.errors import InputError
from scenewright.runs import latents
from scenewright.runs.captures import CaptureSettings
from scenewright.runs.generate import run
from scenewright.runs.job import CaptureJob, run_job
from scenewright.runs.manifest import GenerateSettings
from scenewright.systems.single_object.latent_preparation import PictureEncoder
from scenewright.systems.single_object.preparation import AssetPreparation, prepare_assets
from tests.batch.manifests import PICTURES, batch_of, line, set_aside, setup_of, write_manifest
from tests.systems.genrecon.tiny_capture import write_capture
from tests.systems.single_object.test_preparation import assets, pictures, train

__all__ = ["assets", "pictures"]


def plain_glb(seed: int) -> bytes:
    """The scene file that `scenewright generate` makes."""
    image, masks = str(PICTURES / "picture.png"), (str(PICTURES / "masks.png"),)
    return run(GenerateSettings(image=image, masks=masks, system="cuboid", weights="cuboid", seed=seed)).glb


def done(batch, pool: Callable = InlinePool) -> Summary:
    return run_batch(batch, pool(setup_of(batch)))


@pytest.mark.parametrize("kind", ["local", "store"])
def test_results_are_those_of_a_plain_run_and_the_same_command_keeps_them(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out" if kind == "local" else f"memory://{uuid.uuid4().hex}"
    manifest = write_manifest(tmp_path, [line("a"), line("b", seed=1)])
    batch = batch_of(manifest, out, cost_per_hour=3.6)
    first = done(batch)
    assert (first.made, first.kept, first.set_aside) == (2, 0, 0)
    assert batch.out.read("a/scene.glb") == plain_glb(0)
    assert batch.out.read("b/scene.glb") == plain_glb(1)
    assert first.cost_each == pytest.approx(first.seconds / 1000 / 2)
    notes = batch.out.read("a/job.json")
    again = done(batch)
    assert (again.made, again.kept) == (0, 2)
    assert batch.out.read("a/job.json") == notes
    assert json.loads(batch.out.read("batch.json") or b"")["kept"] == 2


def test_what_changed_or_was_cut_off_is_made_again(tmp_path: Path) -> None:
    batch = batch_of(write_manifest(tmp_path, [line("a"), line("b", seed=1)]), f"memory://{uuid.uuid4().hex}")
    done(batch)
    batch.out.write("a/scene.glb", b"cut")
    write_manifest(tmp_path, [line("a"), line("b", seed=2)])
    assert done(batch).made == 2
    assert batch.out.read("a/scene.glb") == plain_glb(0)


def test_poison_is_set_aside_with_its_reason_and_the_others_are_done(tmp_path: Path) -> None:
    lines = [
        line("a"),
        line("damaged", image="damaged.png"),
        line("away", image="away.png"),
        "{",
        line("up", masks=["../m.png"]),
    ]
    manifest = write_manifest(tmp_path, lines)
    (tmp_path / "damaged.png").write_bytes(b"no picture")
    batch = batch_of(manifest, tmp_path / "out")
    summary = done(batch)
    assert (summary.made, summary.set_aside, summary.retried) == (1, 4, 0)
    reasons = set_aside(batch.out)
    assert "damaged.png" in reasons["damaged"]
    assert "away.png' does not exist" in reasons["away"]
    assert "no JSON object" in reasons["line-0000004"]
    assert "no path below the places" in reasons["up"]
    assert not (tmp_path / "out" / "damaged" / "scene.glb").exists()
    write_manifest(tmp_path, [line("a")])
    assert done(batch).kept == 1
    assert set_aside(batch.out) == {}


def test_what_no_second_try_mends_is_set_aside_at_once(tmp_path: Path) -> None:
    lines = [line("long", image="x" * 300 + ".png"), line("away", device="cuda:99"), line("a")]
    batch = batch_of(write_manifest(tmp_path, lines), tmp_path / "out")
    summary = done(batch)
    assert (summary.made, summary.set_aside, summary.retried) == (1, 2, 0)
    reasons = set_aside(batch.out)
    assert "cannot be read: File name too long" in reasons["long"]
    assert "There is no device 'cuda:99' here" in reasons["away"]


def test_a_manifest_without_a_job_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"jobs\.jsonl' holds no job"):
        done(batch_of(write_manifest(tmp_path, ["", " "]), tmp_path / "out"))


def test_results_never_replace_the_inputs_of_their_job(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, [line("a", image="a/scene_comparison.png")])
    (tmp_path / "a").mkdir()
    picture = tmp_path / "a" / "scene_comparison.png"
    (tmp_path / "picture.png").rename(picture)
    content = picture.read_bytes()
    batch = batch_of(manifest, tmp_path)
    assert done(batch).set_aside == 1
    assert "lies where the results go" in set_aside(batch.out)["a"]
    assert picture.read_bytes() == content


def test_a_store_that_fails_while_jobs_are_divided_ends_that_job_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"name": "assets", "kind": "prepare", "preparation": {"packs": ["pack.zip"]}}
    batch = batch_of(write_manifest(tmp_path, [given, line("a")]), tmp_path / "out")

    def fails(*values: object) -> int:
        raise TransferError("'s3://packs': 503 Slow Down")

    monkeypatch.setattr(
        "scenewright.batch.run._Run._num_parts", lambda run, job: fails() if job.kind == "prepare" else 0
    )
    summary = done(batch)
    assert (summary.made, set_aside(batch.out)) == (1, {"assets": "'s3://packs': 503 Slow Down"})


def test_inputs_and_the_manifest_may_lie_in_a_store(tmp_path: Path) -> None:
    store = f"memory://{uuid.uuid4().hex}"
    given = line("a", image=f"{store}/in/picture.png", masks=[f"{store}/in/masks.png"])
    manifest = write_manifest(tmp_path, [given])
    open_place(store).put(tmp_path, ["picture.png", "masks.png"], "in")
    batch = batch_of(manifest, tmp_path / "out", inputs=(f"{store}/in",))
    assert done(batch).made == 1
    assert (tmp_path / "out/a/scene.glb").read_bytes() == plain_glb(0)
    refused = batch_of(manifest, tmp_path / "other")
    assert done(refused).set_aside == 1
    assert "lies outside of" in set_aside(refused.out)["a"]


def check_divided(line_of_job: dict, plain: Path, batch, num_jobs: int) -> None:
    """The folder of a divided job, made by a job for each shard and one for the whole, is the command's."""
    assert done(batch).made == num_jobs
    for path in plain.rglob("*.*"):
        name = path.relative_to(plain).as_posix()
        assert batch.out.read(f"{line_of_job['name']}/{name}") == path.read_bytes(), name
    assert done(batch).kept == num_jobs


@pytest.fixture(scope="module")
def plain_data(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    """A job of data, and the folder that the command makes of it."""
    recipe = DataRecipe("floor", count=2, size=32, parametric_share=1.0, scenes_per_shard=1)
    out = tmp_path_factory.mktemp("data") / "plain"
    make_data(recipe, out)
    return {"name": "data", "kind": "data", "recipe": json.loads(recipe.to_json())}, out


@pytest.mark.parametrize("kind", ["local", "store"])
def test_data_is_made_shard_by_shard(kind: str, plain_data: tuple[dict, Path], tmp_path: Path) -> None:
    given, plain = plain_data
    out = tmp_path / "out" if kind == "local" else f"memory://{uuid.uuid4().hex}"
    check_divided(given, plain, batch_of(write_manifest(tmp_path / "in", [given]), out), 2 + 1)


def test_assets_are_prepared_shard_by_shard(tmp_path: Path) -> None:
    sizes = {"parametric": 17, "resolution": 16, "structure_resolution": 16}
    prepare_assets(AssetPreparation(**sizes), tmp_path / "plain")
    given = {"name": "assets", "kind": "prepare", "preparation": sizes}
    batch = batch_of(write_manifest(tmp_path / "in", [given]), tmp_path / "out")
    check_divided(given, tmp_path / "plain", batch, 2 + 1)


def test_a_capture_in_a_store_becomes_the_scene_of_a_plain_run(tmp_path: Path) -> None:
    capture, store = write_capture(tmp_path / "hall", count=4), f"memory://{uuid.uuid4().hex}"
    tiny = {"weights": "mini", "texture_size": 16, "max_faces": 50}
    plain = run_job(CaptureJob(CaptureSettings(capture, device="cpu", **tiny)), tmp_path / "plain")
    names = [path.relative_to(capture).as_posix() for path in capture.rglob("*") if path.is_file()]
    open_place(store).put(capture, names, "in/hall")
    lines = [
        {"name": name, "kind": "capture", "settings": {"folder": f"{store}/in/{name}", **tiny}}
        for name in ("hall", "away")
    ]
    batch = batch_of(write_manifest(tmp_path / "in", lines), f"{store}/out", inputs=(f"{store}/in",))
    assert done(batch).made == 1
    assert "away' does not exist" in set_aside(batch.out)["away"]
    assert "scene_report.png" in plain.files
    for name in plain.files:
        assert batch.out.read(f"hall/{name}") == (tmp_path / "plain" / name).read_bytes(), name
    assert done(batch).kept == 1


def test_latents_are_those_of_the_command(
    assets: Path, pictures: PictureEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenewright.runs.latents.encoder_from_pretrained", lambda *given, **choices: pictures.network)
    monkeypatch.setitem(latents._PICTURES, "dinov2", (pictures.size, pictures.margin))
    encoder = train("structure_vae", assets, tmp_path / "encoder")
    given = {"source": str(assets), "structure": str(encoder)}
    count = latents.prepare_latents(latents.LatentPreparation(**given), tmp_path / "plain")
    lines = [
        {"name": "latents", "kind": "latents", "preparation": given},
        {"name": "both", "kind": "latents", "preparation": given | {"shape": str(encoder)}},
    ]
    out = tmp_path / "out"
    batch = batch_of(write_manifest(tmp_path / "in", lines), out, inputs=(str(assets), str(tmp_path)))
    (out / "latents" / "train").mkdir(parents=True)
    (out / "latents" / "train" / "shard-00009.tar").write_bytes(b"of another run")
    (out / "latents" / "validation").mkdir()
    (out / "latents" / "validation" / "shard-notes.json").write_text("nobody's")
    assert done(batch).made == 1
    assert "Give either --structure, or --shape" in set_aside(batch.out)["both"]
    made = {path.relative_to(tmp_path / "plain") for path in (tmp_path / "plain").rglob("*.*")}
    assert made == {path.relative_to(out / "latents") for path in (out / "latents" / "train").rglob("*.*")}
    assert all((out / "latents" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes() for name in made)
    assert (out / "latents" / "validation" / "shard-notes.json").is_file()
    assert json.loads((out / "latents/job.json").read_text())["record"]["facts"]["samples"] == count == 6
    assert done(batch).kept == 1


class Unsteady(InlinePool):
    """A pool whose every job fails twice for a reason that may pass."""

    def __init__(self, setup) -> None:
        super().__init__(setup)
        self.tries: list[str] = []

    def finished(self, timeout_s: float) -> list[tuple[Task, Outcome]]:
        if not self._task or self.tries.count(self._task[0].name) >= 2:
            return super().finished(timeout_s)
        task = self._task.pop()
        self.tries.append(task.name)
        return [(task, Outcome("failed", reason="503 Slow Down", may_pass=True))]


@pytest.mark.parametrize(("retries", "made"), [(2, 2), (1, 0)])
def test_what_may_pass_is_tried_again_and_not_for_ever(retries: int, made: int, tmp_path: Path) -> None:
    batch = batch_of(write_manifest(tmp_path, [line("a"), line("b", seed=1)]), tmp_path / "out", retries=retries)
    summary = done(batch, Unsteady)
    assert (summary.made, summary.set_aside, summary.retried) == (made, 2 - made, 2 * retries)
    if not made:
        assert set_aside(batch.out)["a"] == "503 Slow Down (2 tries)"


def test_a_worker_that_is_killed_is_replaced_and_its_job_done_again(tmp_path: Path) -> None:
    batch = batch_of(write_manifest(tmp_path, [line(str(seed), seed=seed) for seed in range(4)]), tmp_path / "out")
    pool: Pool = LocalPool(setup_of(batch), 2)
    killed: list[int] = []

    def kill_one(summary: Summary, name: str, status: str, reason: str) -> None:
        if not killed:
            (worker, _), *_ = pool._busy or [(pool._idle[-1], None)]
            (process,) = worker._executor._processes.values()
            process.kill()
            killed.append(process.pid)

    try:
        summary = run_batch(batch, pool, report=kill_one)
    finally:
        pool.close()
    assert killed
    assert (summary.made + summary.kept, summary.set_aside) == (4, 0)
    for seed in range(4):
        assert (tmp_path / "out" / str(seed) / "scene.glb").read_bytes() == plain_glb(seed)
