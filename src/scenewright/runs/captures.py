"""One run from a capture folder to a scene file; results of stages are kept beside it until it is written.

CaptureSettings -> placed -> open_capture -> OpenedCapture (a report to look at) -> run_capture -> scene, report

`placed` finds the cameras of plain photographs and videos; captures go through it as they are.
"""

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge, Le

from scenewright.errors import InputError
from scenewright.files import Seed
from scenewright.geometry.mesh.finish_options import FinishOverride
from scenewright.io.atomic import write_together
from scenewright.io.glb import glb_bytes
from scenewright.io.images import encode_png, pixels_of
from scenewright.jobs.store import to_json
from scenewright.machine import choose_device
from scenewright.progress import SILENT, Progress
from scenewright.runs.capture_masks import labelled_views
from scenewright.runs.capture_picture import capture_picture
from scenewright.samplers.config import Quality, SamplingOverride
from scenewright.systems.assembly.memory import parse_bytes
from scenewright.systems.calibration import chosen_dtype, kept
from scenewright.systems.costs import REFERENCE, stage_seconds
from scenewright.systems.genrecon.capture_report import CaptureReport, report_capture
from scenewright.systems.genrecon.captures import (
    CAMERA_HEIGHT_M,
    Alignment,
    Capture,
    aligned,
    is_capture,
    read_capture,
)
from scenewright.systems.genrecon.instances import LabelledView
from scenewright.systems.genrecon.pipeline import is_kept_by_us
from scenewright.systems.genrecon.registration import capture_from_photographs
from scenewright.systems.genrecon.scene_pieces import PUBLISHED_FINISH
from scenewright.systems.genrecon.scene_plan import PlanOptions, ScenePlan, plan_scene
from scenewright.systems.genrecon.system import CaptureSystem, GenReconSystem
from scenewright.systems.loading import choose_weights, load, refuse_ignored, refuse_steps_and_quality
from scenewright.systems.memory_plan import MemoryPlan, check_ceiling, memory_plan
from scenewright.systems.mini.genrecon import MINI_OPTIONS
from scenewright.systems.options import GenerateOptions
from scenewright.types import Scene

__all__ = [
    "CaptureSettings",
    "OpenedCapture",
    "check_stages",
    "expected_seconds",
    "load_capture_system",
    "open_capture",
    "picture_path",
    "placed",
    "placed_folder",
    "plan_of_capture",
    "run_capture",
    "stage_folder",
]


# Cutting the objects of the masks out and finishing them, against finishing the chunks themselves.
_OBJECTS_TO_CHUNKS = {"clean": 5.0, "texture": 2.5}


@dataclass(frozen=True)
class CaptureSettings:
    """The choices of one run; None keeps published or measured values.

    Attributes:
        folder: a capture; plain photographs of a place or a video of it before `placed`; a URL before it is fetched.
        photographs: the folder they lay in, where `placed` made the capture from them.
        masks: "auto", a folder with masks of some pictures under the pictures' names, or a COCO file; see
            `runs.capture_masks`.
        room_labels: grey levels from this on are the room, not objects.
        segmenter: folder or hub repository of the SAM that finds masks.
        published: assemble and bake as published; see `scene_objects`.
        max_memory: such as "6GB".
        commercial: refuse weights that are not cleared for commercial use.
    """

    folder: str | Path
    weights: str | None = None
    photographs: Path | None = None
    masks: str | None = None
    room_labels: Annotated[int, Ge(1)] | None = None
    segmenter: str | None = None
    published: bool = False
    metres_per_unit: float | None = None
    camera_height_m: float | None = None
    seed: Seed = 0
    steps: Annotated[int, Ge(1), Le(100_000)] | None = None
    quality: Quality | None = None
    max_faces: Annotated[int, Ge(4), Le(1 << 40)] | None = None
    texture_size: Annotated[int, Ge(16), Le(8192)] | None = None
    max_memory: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    offline: bool = False
    commercial: bool = False

    @property
    def options(self) -> GenerateOptions:
        return GenerateOptions(
            sampling=SamplingOverride(self.steps, quality=self.quality or "standard"),
            max_memory_bytes=None if self.max_memory is None else parse_bytes(self.max_memory),
            finish=FinishOverride(max_faces=self.max_faces, texture_size=self.texture_size),
        )


@dataclass(frozen=True)
class OpenedCapture:
    """The capture upright and in metres, how it is divided, what it is good for, and the pictures that have masks."""

    capture: Capture
    plan: ScenePlan
    report: CaptureReport
    labelled: tuple[LabelledView, ...]


def placed(settings: CaptureSettings, out: Path, *, progress: Progress = SILENT) -> CaptureSettings:
    """The settings with a capture for their folder; cameras of photographs and videos are found, once, beside `out`.

    Raises:
        MissingExtraError: pycolmap is not installed.
        InputError: there are no photographs, they do not fit together, or a setting would change nothing.
    """
    _refuse_ignored(settings)
    folder = Path(settings.folder)
    if is_capture(folder):
        return settings
    made = capture_from_photographs(folder, placed_folder(out), seed=settings.seed, progress=progress)
    return replace(settings, folder=made, photographs=folder if folder.is_dir() else None)


def open_capture(
    settings: CaptureSettings, plan_options: PlanOptions | None = None, *, progress: Progress = SILENT
) -> OpenedCapture:
    """The capture of the settings, before any network of the system is loaded.

    Raises:
        InputError: the folder is no capture, or cannot be used.
    """
    alignment = Alignment(
        camera_height_m=CAMERA_HEIGHT_M if settings.camera_height_m is None else settings.camera_height_m,
        metres_per_unit=settings.metres_per_unit,
    )
    capture = aligned(read_capture(Path(settings.folder)), alignment)
    plan = plan_scene(capture, plan_options or _plan_options(settings), seed=settings.seed)
    report = report_capture(capture, plan.chunks)
    if settings.masks is None:
        return OpenedCapture(capture, plan, report, ())
    labelled = labelled_views(
        capture.pictures,
        settings.masks,
        chosen=plan.pictures,
        photographs=settings.photographs,
        room_labels=settings.room_labels,
        segmenter=settings.segmenter,
        device=choose_device(settings.device),
        offline=settings.offline,
        progress=progress,
    )
    return OpenedCapture(capture, plan, report, labelled)


def _plan_options(settings: CaptureSettings) -> PlanOptions:
    """Those of the system that the weights belong to, before it is loaded: mini needs fewer points."""
    is_mini = settings.weights in (None, "mini") and choose_weights("genrecon", settings.weights).weights == "mini"
    return MINI_OPTIONS.plan if is_mini else PlanOptions()


def run_capture(
    settings: CaptureSettings,
    out: Path,
    *,
    opened: OpenedCapture | None = None,
    system: CaptureSystem | None = None,
    resume: bool = False,
    progress: Progress = SILENT,
) -> tuple[Scene, list[Path]]:
    """The scene of a capture, written to `out` with a report beside it; returns the scene and the paths.

    Results of stages lie in `stage_folder(out)` while the run lasts; with `resume`, those of an earlier run of the same
    settings are used. They are deleted when the scene is written.

    Raises:
        ScenewrightError: capture or weights cannot be used, or nothing was found.
    """
    _refuse_ignored(settings)
    if system is None:
        check_ceiling(plan_of_capture(settings), settings.options.max_memory_bytes)
        system = load_capture_system(settings, progress)
    if settings.published:
        if not isinstance(system, GenReconSystem):
            raise InputError(
                "Scenes are assembled as published from GenRecon's own networks alone; give their --weights."
            )
        options = replace(system.options, published_assembly=True, finish=PUBLISHED_FINISH)
        system = GenReconSystem(system.networks, options)
    opened = opened or open_capture(settings, system.options.plan, progress=progress)
    check_stages(out)
    kept = stage_folder(out)
    if kept.exists() and not resume:
        shutil.rmtree(kept)
    scene = system.generate_capture(
        opened.capture,
        labelled=opened.labelled,
        seed=settings.seed,
        options=settings.options,
        keep_in=kept,
        progress=progress,
    )
    progress.stage("write")(0, 1)
    plan = plan_scene(opened.capture, system.options.plan, seed=settings.seed)
    picture = capture_picture(opened.capture, plan, scene)
    paths = [out, picture_path(out), out.with_suffix(".json")]
    contents = glb_bytes(scene), encode_png(pixels_of(picture, "RGB")), to_json(scene.provenance)
    with write_together(*paths) as temporaries:
        for temporary, content in zip(temporaries, contents, strict=True):
            temporary.write_bytes(content)
    shutil.rmtree(kept, ignore_errors=True)
    return scene, paths


def plan_of_capture(settings: CaptureSettings) -> MemoryPlan:
    """The least memory of a capture's run; `run_capture` refuses a ceiling below it.

    Raises:
        ScenewrightError: the weights are not to be had.
    """
    device, dtype = _device_and_dtype(settings)
    return memory_plan("genrecon", choose_weights("genrecon", settings.weights).weights, device, dtype=dtype)


def stage_folder(out: Path) -> Path:
    """Where the results of stages of a run lie until its scene is written."""
    return out.with_name(f"{out.stem}_stages")


def check_stages(out: Path) -> None:
    """
    Raises:
        InputError: something else than results of a capture's run lies where they would; it is not deleted.
    """
    kept = stage_folder(out)
    if os.path.lexists(kept) and (kept.is_symlink() or not is_kept_by_us(kept)):
        raise InputError(
            f"'{kept}' holds something else than results of a capture's run, which would lie there; move it away, or "
            "write the scene under another name."
        )


def picture_path(out: Path) -> Path:
    """Where the picture report of a scene lies, beside it."""
    return out.with_name(f"{out.stem}_report.png")


def placed_folder(out: Path) -> Path:
    """Where the capture of plain photographs or a video lies, beside the scene; it is kept."""
    return out.with_name(f"{out.stem}_capture")


def load_capture_system(settings: CaptureSettings, progress: Progress = SILENT) -> CaptureSystem:
    """The system of the settings; each network that is being loaded is a stage.

    Raises:
        ScenewrightError: weights are missing or cannot be used.
    """
    device, dtype = _device_and_dtype(settings)
    system = load(
        "genrecon",
        settings.weights,
        device=device,
        dtype=dtype,
        offline=settings.offline,
        progress=progress,
        commercial=settings.commercial,
    )
    if not isinstance(system, CaptureSystem):
        raise TypeError(f"Expected a system of captures, got {type(system).__name__}.")
    return system


def expected_seconds(settings: CaptureSettings, chunks: int) -> dict[str, float]:
    """Seconds that the stages of a run may take, for a bar; empty where that is not known.

    Raises:
        ScenewrightError: the system or its weights are not to be had.
    """
    device, dtype = _device_and_dtype(settings)
    weights = choose_weights("genrecon", settings.weights).weights
    seconds = stage_seconds(
        "genrecon",
        weights,
        kept(device) or REFERENCE,
        device,
        objects=chunks,
        dtype=dtype,
        quality=settings.options.sampling.quality,
    )
    objects = {} if settings.masks is None else _OBJECTS_TO_CHUNKS
    return {stage: value * objects.get(stage, 1.0) for stage, value in seconds.items()}


def _refuse_ignored(settings: CaptureSettings) -> None:
    """
    Raises:
        InputError: a setting would change nothing.
    """
    weights = choose_weights("genrecon", settings.weights).weights
    refuse_ignored("genrecon", weights, {"steps": settings.steps, "quality": settings.quality})
    refuse_steps_and_quality(settings.steps, settings.quality)


def _device_and_dtype(settings: CaptureSettings) -> tuple[torch.device, torch.dtype | None]:
    device = choose_device(settings.device)
    if settings.dtype == "auto" and choose_weights("genrecon", settings.weights).weights == "mini":
        return device, None
    return device, chosen_dtype(settings.dtype, device)
