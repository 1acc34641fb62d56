"""One run from a capture folder to a scene file; results of stages are kept beside it until it is written.

CaptureSettings -> open_capture -> OpenedCapture (a report to look at) -> run_capture -> scene, report
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from scenewright.encoders.masks import find_masks
from scenewright.errors import InputError
from scenewright.geometry.mesh.finish_options import FinishOverride
from scenewright.io.atomic import write_together
from scenewright.io.glb import glb_bytes
from scenewright.io.images import load_label_image
from scenewright.jobs.store import to_json
from scenewright.machine import choose_device, choose_dtype
from scenewright.progress import SILENT, Progress
from scenewright.samplers.config import SamplingOverride
from scenewright.systems.assembly.memory import parse_bytes
from scenewright.systems.genrecon.capture_report import CaptureReport, report_capture
from scenewright.systems.genrecon.captures import (
    CAMERA_HEIGHT_M,
    Alignment,
    Capture,
    PosedPicture,
    aligned,
    read_capture,
)
from scenewright.systems.genrecon.instances import LabelledView
from scenewright.systems.genrecon.scene_plan import PlanOptions, plan_scene
from scenewright.systems.genrecon.system import GenReconSystem, labelled_view
from scenewright.systems.loading import load
from scenewright.systems.options import GenerateOptions
from scenewright.types import Scene

__all__ = ["CaptureSettings", "OpenedCapture", "open_capture", "run_capture", "stage_folder"]


@dataclass(frozen=True)
class CaptureSettings:
    """The choices of one run; None keeps published or measured values.

    Attributes:
        masks: folder with masks of some pictures, under the pictures' names: grey levels, the same for an object in
            all pictures, or any form that `find_masks` reads.
        room_labels: grey levels from this on are the room, not objects.
        max_memory: such as "6GB".
    """

    folder: Path
    weights: str | None = None
    masks: Path | None = None
    room_labels: int | None = None
    metres_per_unit: float | None = None
    camera_height_m: float | None = None
    seed: int = 0
    steps: int | None = None
    max_faces: int | None = None
    texture_size: int | None = None
    max_memory: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    offline: bool = False

    @property
    def options(self) -> GenerateOptions:
        return GenerateOptions(
            sampling=SamplingOverride(steps=self.steps),
            max_memory_bytes=None if self.max_memory is None else parse_bytes(self.max_memory),
            finish=FinishOverride(max_faces=self.max_faces, texture_size=self.texture_size),
        )


@dataclass(frozen=True)
class OpenedCapture:
    """The capture upright and in metres, what it is good for, and the pictures that have masks."""

    capture: Capture
    report: CaptureReport
    labelled: tuple[LabelledView, ...]


def open_capture(settings: CaptureSettings, plan_options: PlanOptions | None = None) -> OpenedCapture:
    """The capture of the settings, before any network is loaded.

    Raises:
        InputError: the folder is no capture, or cannot be used.
    """
    alignment = Alignment(
        camera_height_m=CAMERA_HEIGHT_M if settings.camera_height_m is None else settings.camera_height_m,
        metres_per_unit=settings.metres_per_unit,
    )
    capture = aligned(read_capture(settings.folder), alignment)
    plan = plan_scene(capture, plan_options or PlanOptions(), seed=settings.seed)
    return OpenedCapture(capture, report_capture(capture, plan.chunks), _labelled(settings, capture))


def run_capture(
    settings: CaptureSettings,
    out: Path,
    *,
    opened: OpenedCapture | None = None,
    system: GenReconSystem | None = None,
    resume: bool = False,
    progress: Progress = SILENT,
) -> tuple[Scene, list[Path]]:
    """The scene of a capture, written to `out` with a report beside it; returns the scene and the paths.

    Results of stages lie in `stage_folder(out)` while the run lasts; with `resume`, those of an earlier run of the same
    settings are used. They are deleted when the scene is written.

    Raises:
        ScenewrightError: capture or weights cannot be used, or nothing was found.
    """
    system = system or _load(settings, progress)
    opened = opened or open_capture(settings, system.options.plan)
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
    paths = [out, out.with_suffix(".json")]
    contents = glb_bytes(scene), to_json(scene.provenance)
    with write_together(*paths) as temporaries:
        for temporary, content in zip(temporaries, contents, strict=True):
            temporary.write_bytes(content)
    shutil.rmtree(kept, ignore_errors=True)
    return scene, paths


def stage_folder(out: Path) -> Path:
    """Where the results of stages of a run lie until its scene is written."""
    return out.with_name(f"{out.stem}_stages")


def _load(settings: CaptureSettings, progress: Progress) -> GenReconSystem:
    device = choose_device(settings.device)
    dtype: torch.dtype | None = None if settings.dtype == "auto" else choose_dtype(settings.dtype, device)
    system = load("genrecon", settings.weights, device=device, dtype=dtype, offline=settings.offline, progress=progress)
    if not isinstance(system, GenReconSystem):
        raise TypeError(f"Expected GenRecon's system, got {type(system).__name__}.")
    return system


def _labelled(settings: CaptureSettings, capture: Capture) -> tuple[LabelledView, ...]:
    """The pictures that have masks, with them."""
    masks = settings.masks
    if masks is None:
        return ()
    if not masks.is_dir():
        raise InputError(f"Masks of a capture lie in a folder, under the names of its pictures; '{masks}' is none.")
    files = {path.stem: path for path in sorted(masks.iterdir())}
    found = []
    for picture in capture.pictures:
        path = files.get(Path(picture.name).stem)
        if path is not None:
            found.append(_labels_in(path, picture, settings.room_labels))
    if not found:
        raise InputError(f"No file in '{masks}' has the name of a picture of the capture; name the masks as those are.")
    return tuple(found)


def _labels_in(path: Path, picture: PosedPicture, room_labels: int | None) -> LabelledView:
    """Instances of one picture: grey levels are objects, 0 is none; other files as `find_masks` reads them."""
    grey = _grey_levels(path)
    if grey is None:
        return labelled_view(picture.camera, find_masks(picture.read(), path, image_name=Path(picture.name).name))
    wanted = picture.camera.height, picture.camera.width
    if grey.shape != wanted:
        raise InputError(
            f"Masks '{path}' have {grey.shape[1]}x{grey.shape[0]} pixels, their picture {wanted[1]}x{wanted[0]}; "
            "save them at the picture's size."
        )
    if room_labels is not None:
        grey = np.where(grey >= room_labels, 0, grey)
    names = {int(value): f"object_{value}" for value in np.unique(grey) if value > 0}
    return LabelledView(picture.camera, torch.from_numpy(grey.astype(np.int64)), names)


def _grey_levels(path: Path) -> np.ndarray | None:
    """The values of a grey or palette picture; None for colours, other files and folders."""
    try:
        image = load_label_image(path)
    except InputError:
        return None
    return np.asarray(image) if image.mode in ("L", "P", "I", "I;16") else None
