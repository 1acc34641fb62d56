"""One run from files to a scene in memory; every door (command, Python, server, worker) calls it.

    GenerateSettings -> read_inputs -> run -> Run(scene, GLB bytes, manifest) -> save_run

A re-rolled run takes all other objects from the scene of its manifest: their meshes as they lie in the file, their
placements as the manifest has them to the last bit.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import torch

from scenewright.errors import InputError
from scenewright.geometry.mesh.finish_options import FinishOverride
from scenewright.io.atomic import write_together
from scenewright.io.glb import glb_bytes, parse_glb
from scenewright.io.images import save_image
from scenewright.io.scene_file import save_scene
from scenewright.machine import environment, peak_memory_bytes
from scenewright.progress import SILENT, Progress
from scenewright.runs.comparison import comparison_picture
from scenewright.runs.inputs import Inputs, check_same_inputs, read_inputs
from scenewright.runs.manifest import GenerateSettings, Manifest, sha256_of_bytes, write_manifest
from scenewright.systems.assembly.memory import readable_bytes
from scenewright.systems.calibration import kept
from scenewright.systems.costs import REFERENCE, USUAL_FURNITURE, stage_seconds
from scenewright.systems.loading import choose_weights, load
from scenewright.systems.memory_plan import MemoryPlan, check_ceiling, check_held, memory_plan, room_on
from scenewright.systems.options import GenerateOptions
from scenewright.systems.registry import find_system
from scenewright.systems.system import RerollingSystem, System
from scenewright.types import ObjectMasks, Scene

__all__ = [
    "OpenSystem",
    "Reroll",
    "Run",
    "expected_objects",
    "expected_seconds",
    "load_system",
    "memory_notes",
    "plan_of",
    "run",
    "save_run",
]

OpenSystem = Callable[[GenerateSettings, Progress], System]
"""Opens the system of some settings, as `load_system` does, or gives one that is open already."""


@dataclass(frozen=True)
class Reroll:
    """Objects to make anew, by name, in the scene of an earlier run.

    `glb` is the earlier run's scene file; None reads it from where the manifest says it lies.
    """

    parent: Manifest
    names: tuple[str, ...]
    glb: bytes | None = None

    def __post_init__(self) -> None:
        """
        Raises:
            InputError: the earlier run has no object of a name, or made none by itself.
        """
        if not self.parent.names:
            raise InputError(
                f"{self.parent.settings.system} made the scene as a whole, so no object can be made anew by itself; "
                "generate it again with another seed."
            )
        if unknown := [name for name in self.names if name not in self.parent.names]:
            raise InputError(f"The scene has no object '{unknown[0]}'; it has {', '.join(self.parent.names)}.")

    @property
    def attempts(self) -> dict[str, int]:
        """Number of re-rolls of each object, this one included."""
        return dict(self.parent.attempts) | {name: self.parent.attempts.get(name, 0) + 1 for name in self.names}


@dataclass(frozen=True)
class Run:
    """A finished run; nothing is written yet. `manifest` lacks where the scene will lie."""

    scene: Scene
    glb: bytes
    manifest: Manifest
    timings_s: dict[str, float]


def load_system(settings: GenerateSettings, progress: Progress = SILENT) -> System:
    """The system of the settings with its decoder; each network that is being loaded is a stage.

    Raises:
        ScenewrightError: weights are missing or cannot be used.
    """
    return load(
        settings.system,
        settings.weights,
        decoder=settings.decoder,
        decoder_weights=settings.decoder_weights,
        resolution=settings.resolution,
        device=settings.device,
        dtype=_dtype(settings),
        in_turn=plan_of(settings, 1).is_in_turn,
        offline=settings.offline,
        progress=progress,
        work=None if settings.stages is None else Path(settings.stages),
        depth_model=settings.depth_model,
        commercial=settings.commercial,
    )


def plan_of(settings: GenerateSettings, objects: int) -> MemoryPlan:
    """The least memory of a run of a picture with so many objects; `run` refuses a ceiling below it.

    Raises:
        ScenewrightError: the system or its weights are not to be had.
    """
    return memory_plan(
        settings.system,
        choose_weights(settings.system, settings.weights).weights,
        settings.device,
        objects=objects,
        dtype=_dtype(settings),
        decoder=settings.decoder,
        preset=settings.preset,
        room=room_on(torch.device(settings.device), settings.max_memory_bytes),
    )


def expected_objects(settings: GenerateSettings, masks: int) -> int:
    """The objects to expect of a run: those of the masks, or of a usual room."""
    if find_system(settings.system).reads != "panorama":
        return masks
    return USUAL_FURNITURE if settings.depth or settings.depth_model else 0


def expected_seconds(settings: GenerateSettings, objects: int) -> dict[str, float]:
    """Seconds that the stages of a run may take, for a bar; empty where that is not known.

    Raises:
        ScenewrightError: the system or its weights are not to be had.
    """
    device = torch.device(settings.device)
    weights = choose_weights(settings.system, settings.weights).weights
    block = kept(device) or REFERENCE
    return stage_seconds(
        settings.system,
        weights,
        block,
        device,
        objects=objects,
        dtype=_dtype(settings),
        preset=settings.preset,
        quality=settings.sampling.quality,
    )


def run(
    settings: GenerateSettings,
    inputs: Inputs | None = None,
    *,
    reroll: Reroll | None = None,
    system: System | None = None,
    open_system: OpenSystem | None = None,
    progress: Progress = SILENT,
) -> Run:
    """The scene of the settings; with `reroll`, the scene of an earlier run with some objects made anew.

    Args:
        inputs: already read; None reads them.
        system: already loaded; None opens it.
        open_system: opens the system once the memory ceiling is known to allow it; None is `load_system`.

    Raises:
        ScenewrightError: inputs or weights cannot be used, memory is too little, or no object was found.
    """
    timings: dict[str, float] = {}
    with _timed(timings, "read"):
        inputs = inputs or read_inputs(settings)
    plan = plan_of(settings, max(1, len(inputs.masks)))
    check_ceiling(plan, settings.max_memory_bytes)
    with _timed(timings, "load"):
        system = system or (open_system or load_system)(settings, progress)
    check_held(plan.label, settings.device, settings.max_memory_bytes, objects=plan.objects)
    with _timed(timings, "generate"):
        scene = _generated(settings, inputs, system, reroll, progress)
    with _timed(timings, "pack"):
        content = glb_bytes(scene)
    manifest = Manifest(
        settings=settings,
        image_sha256=inputs.sha256[0][0],
        masks_sha256=inputs.sha256[0][1],
        names=inputs.masks.names,
        weights_sha256=system.weights_sha256(),
        attempts={} if reroll is None else reroll.attempts,
        rerolled=() if reroll is None else reroll.names,
        parent=None if reroll is None else reroll.parent,
        scene_path="",
        scene_sha256=sha256_of_bytes(content),
        placements={item.name: item.world_from_object.tolist() for item in scene.objects},
        environment=environment(settings.device),
        facts={
            "warnings": [*inputs.warnings, *scene.notes, *memory_notes(settings)],
            "settle": scene.provenance.get("settle"),
            "room": scene.provenance.get("room"),
            "timings_s": timings,
            "peak_memory_bytes": peak_memory_bytes(settings.device),
        },
        further_views_sha256=inputs.sha256[1:],
    )
    return Run(scene, content, manifest, timings)


def save_run(
    run: Run,
    out: Path,
    *,
    comparison: Path | None = None,
    inputs: Inputs | None = None,
    splats: Path | None = None,
    also: Mapping[Path, bytes] = MappingProxyType({}),
) -> list[Path]:
    """Writes the scene with what belongs to it, all or nothing and the manifest last; returns the paths.

    Args:
        comparison: a picture of input and result, drawn from `inputs`.
        splats: a .ply of all Gaussians.
        also: further files that the manifest names.

    Raises:
        InputError: a file cannot be written, or the scene has no splats.
    """
    writers: dict[Path, Callable[[Path], object]] = {out: lambda path: path.write_bytes(run.glb)}
    if comparison is not None and inputs is not None:
        picture = comparison_picture(inputs.views, run.scene)
        writers[comparison] = lambda path: save_image(picture, path)
    if splats is not None:
        writers[splats] = lambda path: save_scene(run.scene, path)
    for beside, held in also.items():
        writers[beside] = partial(Path.write_bytes, data=held)
    # The comparison is drawn by now, so that this is the peak of the whole run.
    facts = run.manifest.facts | {"peak_memory_bytes": peak_memory_bytes(run.manifest.settings.device)}
    placed = replace(run.manifest, scene_path=str(out.absolute()), facts=facts)
    writers[out.with_suffix(".json")] = lambda path: write_manifest(placed, path)
    with write_together(*writers) as temporaries:
        for write, temporary in zip(writers.values(), temporaries, strict=True):
            write(temporary)
    return list(writers)


def memory_notes(settings: GenerateSettings) -> list[str]:
    """A sentence where more memory was in use than the ceiling allows, which estimates had not foreseen."""
    ceiling, peak = settings.max_memory_bytes, peak_memory_bytes(settings.device)
    if ceiling is None or peak <= ceiling:
        return []
    return [f"At its peak the run held {readable_bytes(peak)}, above the {readable_bytes(ceiling)} of --max-memory."]


def _dtype(settings: GenerateSettings) -> torch.dtype | None:
    return None if settings.dtype is None else getattr(torch, settings.dtype)


def _generated(
    settings: GenerateSettings, inputs: Inputs, system: System, reroll: Reroll | None, progress: Progress
) -> Scene:
    options = GenerateOptions(
        settings.sampling,
        max_memory_bytes=settings.max_memory_bytes,
        settle=settings.settle,
        fit_layout=settings.fit_layout,
        finish=FinishOverride(settings.max_faces, settings.texture_size),
        room=settings.room,
        preset=settings.preset,
    )
    if reroll is None:
        return system.generate(inputs.views, seed=settings.seed, options=options, progress=progress)
    if not isinstance(system, RerollingSystem):
        raise InputError(f"{system.name} cannot make single objects anew; generate the whole scene again.")
    check_same_inputs(reroll.parent, inputs)
    before = _parent_scene(reroll, inputs.masks)
    attempts = {name: reroll.attempts[name] for name in reroll.names}
    return system.reroll(before, attempts, inputs.views, seed=settings.seed, options=options, progress=progress)


def _parent_scene(reroll: Reroll, masks: ObjectMasks) -> Scene:
    """The scene of the earlier run, as its file has it."""
    parent, content = reroll.parent, reroll.glb
    if content is None:
        path = Path(parent.scene_path)
        if not os.path.isfile(path):
            raise InputError(f"The scene '{path}' of the manifest is gone; make it again with `scenewright replay`.")
        content = path.read_bytes()
    if sha256_of_bytes(content) != parent.scene_sha256:
        raise InputError(f"'{parent.scene_path}' is not the scene of the manifest any more; replay the manifest first.")
    scene = parse_glb(content, name=f"'{parent.scene_path}'")
    mask_of = dict(zip(masks.names, masks.regions, strict=True))
    return replace(
        scene,
        objects=tuple(
            replace(
                item,
                world_from_object=torch.tensor(parent.placements[item.name], dtype=torch.float32),
                mask=mask_of.get(item.name),
            )
            for item in scene.objects
        ),
    )


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    timings[stage] = round(time.perf_counter() - begin, 3)
