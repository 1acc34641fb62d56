"""One job: what to make from which files, a key for the result, and the function that does it.

    job = job_from_json(b'{"kind": "generate", "settings": {"image": ..., "masks": [...], "system": "cuboid"}}')
    key = job_key(job)                               # of all that the result depends on; of inputs, no paths
    result = run_job(job, folder, systems=resident)  # files in `folder`, a note of them last

The commands, the service, the studio and workers of a cluster do their work by the same functions of `runs`; a job
says which of them, in a form that travels between processes and machines. A job whose note is in the folder is not done
again.

A job names its inputs by path. `with_inputs` puts others in their place: files that were fetched from elsewhere, or the
hashes of their contents, from which the key is made. Names of files count as contents do: masks are called by them.
Weights are no inputs: a folder of them is the same on every machine that does the job.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, assert_never

import torch
from annotated_types import Ge, Le, MinLen
from pydantic import Field

from scenewright import __version__
from scenewright.data.making import make_data, make_data_shard
from scenewright.data.recipes import DataRecipe
from scenewright.data.shards import remove_shards
from scenewright.errors import InputError
from scenewright.evaluation.evaluating import evaluate
from scenewright.evaluation.systems import CameraKnowledge
from scenewright.files import Seed, checked, json_value, read_file, reading
from scenewright.io.atomic import make_folder
from scenewright.io.formats import suffixes
from scenewright.io.voxel_file import DEFAULT_RESOLUTION
from scenewright.jobs import Store, key_of, to_json
from scenewright.machine import choose_device
from scenewright.progress import SILENT, Progress
from scenewright.runs.captures import CaptureSettings, open_capture, placed, run_capture
from scenewright.runs.choices import chosen_settings
from scenewright.runs.edit import Step, apply, open_edit, save_edit, undone
from scenewright.runs.export import export
from scenewright.runs.generate import Reroll, Run, run, save_run
from scenewright.runs.inputs import Inputs, read_inputs
from scenewright.runs.latents import LatentPreparation, prepare_latents
from scenewright.runs.manifest import GenerateSettings, read_manifest
from scenewright.runs.replay import refuse_unlisted_repositories, with_stages_inside
from scenewright.runs.resident import ResidentSystems
from scenewright.systems.loading import choose_weights
from scenewright.systems.single_object.preparation import (
    PARTS,
    AssetPreparation,
    num_asset_shards,
    prepare_asset_shard,
    prepare_assets,
)
from scenewright.weights.hub import sha256_of

__all__ = [
    "CaptureJob",
    "DataJob",
    "EditJob",
    "EvaluateJob",
    "ExportJob",
    "GenerateJob",
    "Job",
    "JobResult",
    "LatentsJob",
    "PrepareJob",
    "RerollJob",
    "finished_job",
    "input_paths",
    "job_from_json",
    "job_key",
    "job_to_json",
    "note_name",
    "num_parts",
    "part_of",
    "run_job",
    "with_device",
    "with_inputs",
]

SCENE = "scene.glb"
# These say how a scene is made, not what it is.
_IRRELEVANT = ("offline", "max_memory_bytes", "max_memory")
_LATENT_INPUTS = ("source", "structure", "shape", "texture", "statistics")
_COMPARISON, _SPLATS, _NOTE = "scene_comparison.png", "scene_splats.ply", "job"


@dataclass(frozen=True)
class GenerateJob:
    """A scene from pictures with masks, or from a panorama: `scenewright generate`.

    `splats` writes a .ply, too; `comparison` a picture of input and scene, which takes longer to draw than some scenes
    to make.
    """

    settings: GenerateSettings
    splats: bool = False
    comparison: bool = True
    kind: Literal["generate"] = "generate"


@dataclass(frozen=True)
class CaptureJob:
    """A scene from posed pictures, photographs of one place, or a video; goes on from stages kept in its folder."""

    settings: CaptureSettings
    kind: Literal["capture"] = "capture"


@dataclass(frozen=True)
class RerollJob:
    """Objects of a generated scene made anew: `scenewright reroll`. The manifest lies beside `scene`."""

    scene: str
    names: Annotated[tuple[str, ...], MinLen(1)]
    device: str | None = None
    offline: bool = False
    kind: Literal["reroll"] = "reroll"


@dataclass(frozen=True)
class EditJob:
    """A scene changed step by step: `scenewright edit`. `undo` takes back so many of its steps first."""

    scene: str
    steps: tuple[Step, ...] = ()
    undo: Annotated[int, Ge(0)] = 0
    device: str | None = None
    offline: bool = False
    kind: Literal["edit"] = "edit"


@dataclass(frozen=True)
class ExportJob:
    """A scene in the format of a suffix: `scenewright convert`; see `runs.export` and `io.conversion`.

    Raises:
        InputError: no format has the suffix.
    """

    scene: str
    suffix: str
    settle: bool = False
    profile: str | None = None
    colliders: str = "hull"
    welded: bool = False
    program: str | None = None
    resolution: Annotated[int, Ge(8), Le(4096)] = DEFAULT_RESOLUTION
    compression: str = "lzma"
    kind: Literal["export"] = "export"

    def __post_init__(self) -> None:
        if self.suffix not in suffixes("meshes", "splats"):
            raise InputError(f"There is no format {self.suffix[:80]!r} to export to; give one such as '.obj'.")


@dataclass(frozen=True)
class EvaluateJob:
    """Scores of scene files against their truths, or of a system on test scenes: `scenewright evaluate`."""

    predictions: str | None = None
    ground_truth: str | None = None
    scenes: str | None = None
    system: str | None = None
    weights: str | None = None
    protocols: Annotated[tuple[str, ...], MinLen(1)] = ("scenewright-1",)
    known_camera: CameraKnowledge = "pose"
    seed: Seed = 0
    device: str = "cpu"
    pictures: bool = False
    kind: Literal["evaluate"] = "evaluate"


@dataclass(frozen=True)
class DataJob:
    """Scenes with exact ground truth: `scenewright data make`; with `shard`, that one alone."""

    recipe: DataRecipe
    shard: Annotated[int, Ge(0)] | None = None
    kind: Literal["data"] = "data"


@dataclass(frozen=True)
class PrepareJob:
    """Samples for autoencoders from models: `scenewright prepare assets`; with `shard`, that one alone."""

    preparation: AssetPreparation
    shard: Annotated[int, Ge(0)] | None = None
    kind: Literal["prepare"] = "prepare"


@dataclass(frozen=True)
class LatentsJob:
    """Samples for flows from those for autoencoders: `scenewright prepare latents`."""

    preparation: LatentPreparation
    device: str = "cpu"
    kind: Literal["latents"] = "latents"


Job = Annotated[
    GenerateJob | CaptureJob | RerollJob | EditJob | ExportJob | EvaluateJob | DataJob | PrepareJob | LatentsJob,
    Field(discriminator="kind"),
]


@dataclass(frozen=True)
class _Held:
    """A union is no type to check a value against; this is."""

    job: Job


@dataclass(frozen=True)
class JobResult:
    """A finished job: `files` by their names in its folder, the most important first; `facts` for people."""

    key: str
    files: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)


def job_from_json(content: bytes | str) -> Job:
    """The job of some JSON, every type and bound checked.

    Raises:
        InputError: it is no job.
    """
    with reading("the job", "a job", "see `scenewright.runs.job`", size=len(content)):
        return checked({"job": json_value(content, dict)}, _Held).job


def job_to_json(job: Job) -> str:
    """The job as JSON that `job_from_json` reads."""
    return to_json(_plain(asdict(job))).decode()


def input_paths(job: Job) -> tuple[str, ...]:
    """The paths of everything that the job reads, in a fixed order; manifests beside scenes are not named."""
    paths: list[str] = []

    def noted(path: str) -> str:
        paths.append(path)
        return path

    with_inputs(job, noted)
    return tuple(paths)


def with_inputs(job: Job, change: Callable[[str], str]) -> Job:
    """The job with every path of an input replaced by what `change` makes of it."""

    def maybe(path: str | None) -> str | None:
        return None if path is None else change(path)

    match job:
        case GenerateJob():
            was = job.settings
            settings = replace(
                was,
                image=change(was.image),
                masks=tuple(path if path == "auto" else change(path) for path in was.masks),
                further_views=tuple((change(image), change(masks)) for image, masks in was.further_views),
                camera=maybe(was.camera),
                depth=maybe(was.depth),
            )
            return replace(job, settings=settings)
        case CaptureJob():
            masks = job.settings.masks
            given = masks if masks in (None, "auto") else change(str(masks))
            return replace(job, settings=replace(job.settings, folder=change(str(job.settings.folder)), masks=given))
        case EditJob():
            steps = tuple(replace(step, file=maybe(step.file)) for step in job.steps)
            return replace(job, scene=change(job.scene), steps=steps)
        case RerollJob() | ExportJob():
            return replace(job, scene=change(job.scene))
        case EvaluateJob():
            return replace(
                job,
                predictions=maybe(job.predictions),
                ground_truth=maybe(job.ground_truth),
                scenes=maybe(job.scenes),
            )
        case DataJob():
            return replace(job, recipe=replace(job.recipe, packs=tuple(map(change, job.recipe.packs))))
        case PrepareJob():
            packs = tuple(map(change, job.preparation.packs))
            return replace(job, preparation=replace(job.preparation, packs=packs))
        case LatentsJob():
            files: dict[str, Any] = {name: maybe(getattr(job.preparation, name)) for name in _LATENT_INPUTS}
            return replace(job, preparation=replace(job.preparation, **files))
        case _:
            assert_never(job)


def num_parts(job: Job) -> int:
    """Into how many jobs of its own (`part_of`) a job can be divided that other processes may do; 0 for most.

    The whole job, done afterwards in the same folder, keeps what they made.

    Raises:
        InputError: an input cannot be read.
    """
    match job:
        case DataJob(shard=None):
            return job.recipe.num_shards
        case PrepareJob(shard=None):
            return num_asset_shards(job.preparation)
        case _:
            return 0


def part_of(job: Job, number: int) -> Job:
    """One part of a job that can be divided."""
    assert isinstance(job, DataJob | PrepareJob)
    return replace(job, shard=number)


def note_name(job: Job) -> str:
    """The name of the note beside a job's results: a part has one of its own."""
    return f"{_NOTE}-{job.shard:05d}" if isinstance(job, DataJob | PrepareJob) and job.shard is not None else _NOTE


def with_device(job: Job, device: str) -> Job:
    """The job on a device of this machine, where it has a choice."""
    match job:
        case GenerateJob():
            return replace(job, settings=replace(job.settings, device=device))
        case CaptureJob():
            return replace(job, settings=replace(job.settings, device=device))
        case RerollJob() | EditJob() | EvaluateJob() | LatentsJob():
            return replace(job, device=device)
        case _:
            return job


def job_key(job: Job) -> str:
    """A fingerprint of all that the result depends on: choices, contents and names of inputs, kind of device, version.

    Raises:
        InputError: an input is missing, or a choice would change nothing.
    """
    content = asdict(with_inputs(_chosen(job), _fingerprint))
    for place in (content, content.get("settings", {})):
        for name in _IRRELEVANT:
            place.pop(name, None)
        if place.get("device") is not None:
            # The device itself may be on another machine.
            name = place["device"]
            place["device"] = choose_device(name).type if name == "auto" else torch.device(name).type
    if isinstance(job, RerollJob | EditJob) and (manifest := Path(job.scene).with_suffix(".json")).is_file():
        content["manifest"] = _fingerprint(str(manifest))
    return key_of(version=__version__, **_plain(content))


def run_job(
    job: Job,
    folder: str | Path,
    *,
    systems: ResidentSystems | None = None,
    progress: Progress = SILENT,
) -> JobResult:
    """Does the job in a folder of its own, made where it is missing; a job that is done there is not done again.

    Args:
        folder: holds the files of the result and, written last, a note of them.
        systems: that stay loaded for the next job; None loads what is needed.

    Raises:
        ScenewrightError: inputs or weights cannot be used, or nothing was found.
    """
    folder, systems = make_folder(folder), systems or ResidentSystems()
    key = job_key(job)
    if (done := finished_job(folder, key, note_name(job))) is not None:
        return done
    notes = Store(folder)
    notes.forget(note_name(job))
    files, facts = _done(_chosen(job), folder, systems, progress)
    facts["bytes"] = {name: (folder / name).stat().st_size for name in files}
    result = JobResult(key, tuple(files), facts)
    notes.write(note_name(job), key, {"files": result.files, "facts": facts})
    return result


def finished_job(folder: str | Path, key: str, note_name: str = _NOTE) -> JobResult | None:
    """The result of a job that was done in the folder before; None where it was not, or a file is gone."""
    note = Store(Path(folder)).read(note_name, key)
    if note is None or not all((Path(folder) / name).is_file() for name in note["files"]):
        return None
    return JobResult(key, tuple(note["files"]), note["facts"])


def _done(job: Job, folder: Path, systems: ResidentSystems, progress: Progress) -> tuple[list[str], dict[str, Any]]:
    """The names of the files that the job made, and facts on them."""
    scene = folder / SCENE
    match job:
        case GenerateJob():
            inputs = read_inputs(job.settings)
            made = run(job.settings, inputs, open_system=systems.open, progress=progress)
            splats = folder / _SPLATS if job.splats else None
            return _saved(made, inputs, folder, progress, splats=splats, comparison=job.comparison)
        case RerollJob():
            manifest = Path(job.scene).with_suffix(".json")
            parent = with_stages_inside(read_manifest(manifest), manifest)
            refuse_unlisted_repositories(parent)
            device = parent.settings.device if job.device is None else str(choose_device(job.device))
            settings = replace(parent.settings, device=device, offline=job.offline)
            inputs = read_inputs(settings)
            reroll = Reroll(parent, job.names, read_file(job.scene))
            made = run(settings, inputs, reroll=reroll, open_system=systems.open, progress=progress)
            return _saved(made, inputs, folder, progress)
        case CaptureJob():
            settings_of_capture = placed(job.settings, scene, progress=progress)
            opened = open_capture(settings_of_capture, progress=progress)
            system = systems.open_capture(settings_of_capture, progress)
            found, paths = run_capture(
                settings_of_capture, scene, opened=opened, system=system, resume=True, progress=progress
            )
            report = opened.report
            facts = {"objects": [item.name for item in found.objects], "warnings": list(report.warnings)}
            return [path.name for path in paths], facts
        case EditJob():
            if not job.steps and not job.undo:
                raise InputError("There is nothing to do; give a step, or a number of steps to undo.")
            edited = open_edit(job.scene)
            chosen = None if job.device is None else str(choose_device(job.device))
            means: dict[str, Any] = {
                "offline": job.offline,
                "device": chosen,
                "open_system": systems.open,
                "progress": progress,
            }
            if job.undo:
                edited = undone(edited, job.undo, **means)
            edited = apply(edited, job.steps, **means)
            paths = save_edit(edited, scene)
            objects = [item.name for item in edited.scene.objects]
            return [path.name for path in paths], {"objects": objects, "steps": len(edited.steps)}
        case ExportJob():
            return _exported(job, folder, progress)
        case EvaluateJob():
            return _evaluated(job, folder, progress)
        case DataJob():
            if job.shard is not None:
                return make_data_shard(job.recipe, folder, job.shard), {}
            summary = make_data(job.recipe, folder, progress=progress.stage("shards"))
            return _all_files(folder), {"scenes": summary.scenes}
        case PrepareJob():
            if job.shard is not None:
                return prepare_asset_shard(job.preparation, folder, job.shard), {}
            train, validation = prepare_assets(job.preparation, folder, progress=progress.stage("shards"))
            return _all_files(folder), {"train": train, "validation": validation}
        case LatentsJob():
            for part in PARTS:  # shards that an interrupted run left may be of other inputs
                remove_shards(folder / part)
            advance = progress.stage("models")
            count = prepare_latents(job.preparation, folder, device=choose_device(job.device), progress=advance)
            return _all_files(folder), {"samples": count}
        case _:
            assert_never(job)


def _saved(
    made: Run,
    inputs: Inputs,
    folder: Path,
    progress: Progress,
    *,
    splats: Path | None = None,
    comparison: bool = True,
) -> tuple[list[str], dict[str, Any]]:
    if comparison:
        progress.stage("draw")
    picture = folder / _COMPARISON if comparison else None
    paths = save_run(made, folder / SCENE, comparison=picture, inputs=inputs, splats=splats)
    facts = {
        "objects": [item.name for item in made.scene.objects],
        "warnings": made.manifest.facts["warnings"],
        "timings_s": made.timings_s,
    }
    return [path.name for path in paths], facts


def _exported(job: ExportJob, folder: Path, progress: Progress) -> tuple[list[str], dict[str, Any]]:
    target, lines = folder / f"{Path(SCENE).stem}{job.suffix}", list[str]()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    quality = export(
        job.scene,
        target,
        settle=job.settle,
        profile=job.profile,
        resolution=job.resolution,
        compression=job.compression,
        colliders=job.colliders,
        welded=job.welded,
        program=job.program,
        report=lines.append,
        progress=progress,
    )
    facts: dict[str, Any] = {"report": lines, "failed": list(quality.failed) if quality else []}
    # Textures, materials and meshes that a format keeps beside its file.
    after = [path for path in folder.rglob("*") if path.is_file() and before.get(path) != path.stat().st_mtime_ns]
    beside = sorted(path.relative_to(folder).as_posix() for path in after if path != target)
    return [target.name, *beside], facts


def _evaluated(job: EvaluateJob, folder: Path, progress: Progress) -> tuple[list[str], dict[str, Any]]:
    results = evaluate(
        job.predictions,
        job.ground_truth,
        scenes=job.scenes,
        system=job.system,
        weights=job.weights,
        protocols=job.protocols,
        known_camera=job.known_camera,
        seed=job.seed,
        device=choose_device(job.device),
        work=folder / "work",
        pictures=job.pictures,
        workers=1,
        progress=progress,
    )
    names = []
    for result in results:
        name = f"{result.protocol.name}.json"
        (folder / name).write_bytes(to_json(result.to_dict()))
        names.append(name)
    return names, {"protocols": [result.protocol.name for result in results]}


def _all_files(folder: Path) -> list[str]:
    """Everything below the folder but notes, by name."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in files if not path.name.startswith((".", f"{_NOTE}-", f"{_NOTE}.")))


def _chosen(job: Job) -> Job:
    """The job with the choices made that were left open, so that a later download does not change what it means."""
    match job:
        case GenerateJob():
            return replace(job, settings=chosen_settings(job.settings)[0])
        case CaptureJob():
            weights = choose_weights("genrecon", job.settings.weights).weights
            return replace(job, settings=replace(job.settings, weights=weights))
        case _:
            return job


def _fingerprint(path: str) -> str:
    """Name and content of a file, or of all files in a folder."""
    place = Path(path)
    if place.is_dir():
        files = sorted(file for file in place.rglob("*") if file.is_file())
        parts = [(file.relative_to(place).as_posix(), sha256_of(file)) for file in files]
    elif place.is_file():
        parts = [(place.name, sha256_of(place))]
    else:
        raise InputError(f"'{path}' does not exist; check the path.")
    return hashlib.sha256(repr(parts).encode(errors="surrogateescape")).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
