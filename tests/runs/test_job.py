"""Jobs: their JSON, keys that follow contents and not places, and results that are made once."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scenewright.errors import InputError
from scenewright.io.scene_file import load_scene
from scenewright.jobs import Store
from scenewright.progress import SILENT, Progress
from scenewright.runs.captures import CaptureSettings
from scenewright.runs.edit import Step
from scenewright.runs.generate import run, save_run
from scenewright.runs.job import (
    CaptureJob,
    EditJob,
    EvaluateJob,
    ExportJob,
    GenerateJob,
    Job,
    LatentsJob,
    RerollJob,
    finished_job,
    input_paths,
    job_from_json,
    job_key,
    job_to_json,
    run_job,
    with_inputs,
)
from scenewright.runs.latents import LatentPreparation
from scenewright.runs.manifest import GenerateSettings
from scenewright.runs.resident import ResidentSystems
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.systems.system import Views
from scenewright.types import Scene, SceneObject
from tests.systems.toy_system import Toy

PICTURES = Path(__file__).parents[1] / "data" / "replay"


def generate(folder: Path = PICTURES, **settings: object) -> GenerateJob:
    given = {"image": str(folder / "picture.png"), "masks": (str(folder / "masks.png"),), "system": "cuboid"}
    return GenerateJob(GenerateSettings(**given | settings))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished job."""
    folder = tmp_path_factory.mktemp("jobs") / "made"
    run_job(generate(), folder)
    return folder


@pytest.mark.parametrize(
    "job",
    [
        generate(steps=3, extent_m=(1.0, 2.0, 3.0, 4.0), further_views=(("b.png", "b_masks.png"),)),
        CaptureJob(CaptureSettings("s3://bucket/capture", masks="auto", seed=3)),
        RerollJob("scene.glb", ("sofa",)),
        EditJob("scene.glb", (Step("move", "sofa", (1.0, 0.0, 0.0)), Step("swap", "lamp", file="lamp.glb"))),
        ExportJob("scene.glb", ".usdz", profile="web"),
        EvaluateJob("made", "true"),
        LatentsJob(LatentPreparation("assets", shape="runs/shape", statistics="statistics.json")),
    ],
    ids=lambda job: job.kind,
)
def test_a_job_is_the_same_after_a_journey_as_json(job: Job) -> None:
    assert job_from_json(job_to_json(job)) == job
    assert not [path for path in input_paths(job) if ":/" in path and "://" not in path]
    assert input_paths(with_inputs(job, lambda path: f"/elsewhere/{path}")) == tuple(
        f"/elsewhere/{path}" for path in input_paths(job)
    )


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "paint"},
        {"settings": {"image": "a.png", "masks": ["m.png"], "system": "cuboid", "seed": -1}},
        {"settings": {"image": 3, "masks": [], "system": "cuboid"}},
    ],
)
def test_json_that_is_no_job_is_one_sentence(change: dict) -> None:
    content = json.loads(job_to_json(generate())) | change
    with pytest.raises(InputError, match="the job"):
        job_from_json(json.dumps(content))


def test_a_key_follows_contents_and_choices_but_not_places(tmp_path: Path) -> None:
    for name in ("picture.png", "masks.png"):
        shutil.copy(PICTURES / name, tmp_path / name)
    key = job_key(generate())
    assert job_key(generate(tmp_path)) == key
    assert job_key(generate(offline=True)) == key
    assert job_key(generate(weights="cuboid")) == key
    assert job_key(generate(seed=1)) != key
    shutil.copy(PICTURES / "picture.png", tmp_path / "masks.png")
    assert job_key(generate(tmp_path)) != key
    (tmp_path / "masks.png").unlink()
    with pytest.raises(InputError, match=r"masks\.png' does not exist"):
        job_key(generate(tmp_path))


def test_a_job_makes_the_bytes_that_the_command_makes(made: Path, tmp_path: Path) -> None:
    save_run(run(generate().settings), tmp_path / "scene.glb")
    assert (made / "scene.glb").read_bytes() == (tmp_path / "scene.glb").read_bytes()


def test_the_comparison_is_drawn_where_it_is_wanted(made: Path, tmp_path: Path) -> None:
    plain = replace(generate(), comparison=False)
    assert run_job(plain, tmp_path / "plain").files == ("scene.glb", "scene.json")
    assert (tmp_path / "plain" / "scene.glb").read_bytes() == (made / "scene.glb").read_bytes()
    assert (made / "scene_comparison.png").is_file()
    assert job_key(plain) != job_key(generate())  # the other one's folder holds another result


def test_a_finished_job_is_not_done_again_and_a_broken_one_is(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    shutil.copytree(made, folder)
    key, written = job_key(generate()), (folder / "scene.glb").stat().st_mtime_ns
    result = run_job(generate(), folder)
    assert result.key == key
    assert result.files == ("scene.glb", "scene_comparison.png", "scene.json")
    assert (folder / "scene.glb").stat().st_mtime_ns == written
    (folder / "scene.glb").unlink()
    assert finished_job(folder, key) is None
    assert run_job(generate(), folder) == replace(result, facts=run_job(generate(), folder).facts)
    assert (folder / "scene.glb").is_file()


def test_a_job_that_cannot_be_done_leaves_no_note(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"no picture")
    shutil.copy(PICTURES / "masks.png", tmp_path / "masks.png")
    with pytest.raises(InputError, match=r"picture\.png"):
        run_job(generate(tmp_path), tmp_path / "job")
    assert Store(tmp_path / "job").read("job", job_key(generate(tmp_path))) is None


def test_a_scene_is_edited_and_exported_by_jobs(made: Path, tmp_path: Path) -> None:
    first = load_scene(made / "scene.glb").objects[0].name
    edited = run_job(EditJob(str(made / "scene.glb"), (Step("delete", first),)), tmp_path / "edited")
    assert first not in edited.facts["objects"]
    back = run_job(EditJob(str(tmp_path / "edited" / "scene.glb"), undo=1), tmp_path / "back")
    assert first in back.facts["objects"]
    exported = run_job(ExportJob(str(made / "scene.glb"), ".obj"), tmp_path / "exported")
    assert exported.files[0] == "scene.obj"
    assert "scene.mtl" in exported.files
    with pytest.raises(InputError, match="nothing to do"):
        run_job(EditJob(str(made / "scene.glb")), tmp_path / "nothing")
    with pytest.raises(InputError, match="cuboid cannot make single objects anew"):
        run_job(RerollJob(str(made / "scene.glb"), (first,)), tmp_path / "rerolled")


class RerollingToy(Toy):
    """Cubes as high as the number of their attempts."""

    def reroll(
        self,
        scene: Scene,
        attempts: Mapping[str, int],
        views: Views,
        *,
        seed: int = 0,
        options: GenerateOptions = DEFAULT,
        progress: Progress = SILENT,
    ) -> Scene:
        def anew(item: SceneObject) -> SceneObject:
            stretched = torch.diag(torch.tensor([1.0, 1.0, 1.0 + attempts.get(item.name, 0), 1.0]))
            return replace(item, world_from_object=item.world_from_object @ stretched)

        return replace(scene, objects=tuple(map(anew, scene.objects)))


class Toys(ResidentSystems):
    def open(self, settings: GenerateSettings, progress: Progress = SILENT) -> RerollingToy:
        return RerollingToy()


def heights(scene: Path) -> dict[str, float]:
    return {item.name: float(torch.diff(item.world_bounds()[:, 2], dim=0)) for item in load_scene(scene).objects}


def test_objects_are_made_anew_by_jobs_and_all_others_stay(tmp_path: Path) -> None:
    first, again, edited = (tmp_path / name / "scene.glb" for name in ("first", "again", "edited"))
    run_job(generate(), first.parent, systems=Toys())
    name, other = heights(first)
    result = run_job(RerollJob(str(first), (name,)), again.parent, systems=Toys())
    assert result.files == ("scene.glb", "scene_comparison.png", "scene.json")
    assert heights(again) == {name: pytest.approx(2 * heights(first)[name]), other: heights(first)[other]}
    assert job_key(RerollJob(str(again), (name,))) != result.key
    run_job(EditJob(str(first), (Step("regenerate", other),)), edited.parent, systems=Toys())
    assert heights(edited)[other] > heights(first)[other]
    with pytest.raises(InputError, match="no object 'piano'"):
        run_job(RerollJob(str(first), ("piano",)), tmp_path / "none", systems=Toys())


def test_scenes_are_scored_by_a_job(made: Path, tmp_path: Path) -> None:
    for folder in ("made", "true"):
        (tmp_path / folder).mkdir()
        shutil.copy(made / "scene.glb", tmp_path / folder / "room.glb")
    result = run_job(EvaluateJob(str(tmp_path / "made"), str(tmp_path / "true")), tmp_path / "scores")
    (file,) = result.files
    scores = json.loads((tmp_path / "scores" / file).read_text())
    assert scores["protocol"] == "scenewright-1"


def test_systems_stay_loaded_until_another_takes_their_place() -> None:
    systems, settings = ResidentSystems(), generate().settings
    first = systems.open(settings)
    assert systems.open(replace(settings, seed=3)) is first
    systems.open(replace(settings, system="poisson", weights="poisson"))
    assert systems.open(settings) is not first
