"""One run from files to a scene in memory: what `generate`, `replay` and `demo` share.

    GenerateSettings -> read_inputs -> run -> Run(scene, manifest, comparison picture) -> save

A re-rolled run takes all other objects from the scene of its manifest: their meshes as they lie in the file, their
placements as the manifest has them to the last bit.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor

from scenewright.data.probe_scenes import read_test_scene
from scenewright.encoders.masks import find_masks
from scenewright.errors import InputError
from scenewright.io.atomic import write_bytes
from scenewright.io.glb import glb_bytes, parse_glb
from scenewright.io.images import load_image, save_image
from scenewright.machine import environment, peak_memory_bytes
from scenewright.presets.loading import DecoderName, load
from scenewright.rendering.preview import preview_still
from scenewright.rendering.sheet import mask_overlay, picture_sheet, top_view
from scenewright.runs.manifest import GenerateSettings, Manifest, sha256_of_bytes, write_manifest
from scenewright.systems.assembly.generator import GenerateOptions, SceneGenerator
from scenewright.systems.assembly.views import SceneView, in_same_order
from scenewright.types import Camera, ObjectMasks, Scene
from scenewright.weights.hub import sha256_of

__all__ = [
    "Inputs",
    "Run",
    "check_same_inputs",
    "comparison_picture",
    "load_system",
    "read_inputs",
    "run",
    "save_run",
]

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Inputs:
    """The picture and its objects, read and repaired."""

    image: Image.Image
    masks: ObjectMasks
    camera: Camera | None
    image_sha256: str
    further: tuple["Inputs", ...] = ()

    @property
    def views(self) -> tuple[SceneView, ...]:
        """Every picture with its masks."""
        return tuple(SceneView(each.image, each.masks.masks, each.masks.names) for each in (self, *self.further))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was repaired in any view."""
        return tuple(line for each in (self, *self.further) for line in each.masks.warnings)

    @property
    def sha256(self) -> tuple[tuple[str, str], ...]:
        """Of picture and masks of every view."""
        return tuple((each.image_sha256, each.masks_sha256) for each in (self, *self.further))

    @property
    def masks_sha256(self) -> str:
        """Of names and pixels, whatever files they came from."""
        names = "\n".join(self.masks.names).encode()
        return sha256_of_bytes(names + b"\0" + self.masks.masks.cpu().numpy().tobytes())


@dataclass(frozen=True)
class Run:
    """A finished run; nothing is written yet. `manifest` lacks where the scene will lie."""

    scene: Scene
    glb: bytes
    manifest: Manifest
    timings_s: dict[str, float]


def read_inputs(settings: GenerateSettings) -> Inputs:
    """Pictures, masks and camera of a run.

    Raises:
        InputError: a file is missing, is of another kind, no mask is usable, or views do not show the same objects.
    """
    first = _read_view(settings, settings.image, settings.masks)
    further = tuple(_read_view(settings, image, (masks,)) for image, masks in settings.further_views)
    if further:
        labels = [Path(path).name for path in (settings.image, *(image for image, _ in settings.further_views))]
        in_same_order([view for each in (first, *further) for view in each.views], _distinct(labels))
    camera = None if settings.camera is None else _read_camera(Path(settings.camera), first.image.size)
    return replace(first, camera=camera, further=further)


def load_system(settings: GenerateSettings, report: Callable[[str], None] | None = None) -> Any:
    """The system of the settings with its decoder; `report` is told each network that is being loaded.

    Raises:
        ScenewrightError: weights are missing or cannot be used.
    """
    return load(
        settings.system,
        settings.preset,
        decoder=cast(DecoderName | None, settings.decoder),
        decoder_weights=settings.decoder_weights,
        resolution=settings.resolution,
        device=settings.device,
        dtype=None if settings.dtype is None else getattr(torch, settings.dtype),
        report=report,
    )


def run(
    settings: GenerateSettings,
    inputs: Inputs | None = None,
    *,
    reroll: tuple[str, ...] = (),
    parent: Manifest | None = None,
    parent_glb: bytes | None = None,
    system: Any = None,
    progress: Progress | None = None,
) -> Run:
    """The scene of the settings; with `parent`, that of `parent` with the objects of `reroll` made anew.

    Args:
        inputs: already read; None reads them.
        parent_glb: the parent's scene file; None reads it from where the manifest says it lies.
        system: already loaded; None loads it.

    Raises:
        ScenewrightError: inputs or weights cannot be used, or nothing was found.
    """
    report = progress or (lambda stage, done: None)
    timings: dict[str, float] = {}
    with _timed(timings, "read"):
        inputs = inputs or read_inputs(settings)
    with _timed(timings, "load"):
        system = system or load_system(settings, lambda line: report(line, 0.0))
    options = _options(settings, system)
    attempts = {} if parent is None else dict(parent.attempts)
    image, masks, names = inputs.image, inputs.masks.masks, inputs.masks.names
    further = inputs.views[1:]
    with _timed(timings, "generate"):
        if parent is None:
            scene = system.generate(
                image,
                masks,
                names=names,
                camera=inputs.camera,
                further_views=further,
                seed=settings.seed,
                options=options,
                progress=progress,
            )
        else:
            check_same_inputs(parent, inputs)
            before = _parent_scene(parent, parent_glb, inputs.masks)
            for name in reroll:
                attempts[name] = attempts.get(name, 0) + 1
            wanted = {name: attempts[name] for name in reroll}
            scene = system.reroll(
                before,
                wanted,
                image,
                masks,
                names,
                further_views=further,
                seed=settings.seed,
                options=options,
                progress=progress,
            )
    with _timed(timings, "pack"):
        content = glb_bytes(scene)
    manifest = Manifest(
        settings=settings,
        image_sha256=inputs.image_sha256,
        masks_sha256=inputs.masks_sha256,
        names=tuple(names),
        weights_sha256=system.weights_sha256(),
        attempts=attempts,
        rerolled=reroll,
        parent=parent,
        scene_path="",
        scene_sha256=sha256_of_bytes(content),
        placements={item.name: item.world_from_object.tolist() for item in scene.objects},
        environment=environment(settings.device),
        facts={
            "warnings": list(inputs.warnings) + list(scene.notes),
            "settle": scene.provenance.get("settle"),
            "timings_s": timings,
            "peak_memory_bytes": peak_memory_bytes(settings.device),
        },
        further_views_sha256=inputs.sha256[1:],
    )
    return Run(scene, content, manifest, timings)


def save_run(run: Run, out: Path, *, comparison: Path | None = None, inputs: Inputs | None = None) -> list[Path]:
    """Writes scene, comparison picture and manifest, the manifest last; returns their paths."""
    written = [write_bytes(out, run.glb)]
    if comparison is not None and inputs is not None:
        written.append(save_image(comparison_picture(inputs.views, run.scene), comparison))
    placed = replace(run.manifest, scene_path=str(out.absolute()))
    written.append(write_manifest(placed, out.with_suffix(".json")))
    return written


def comparison_picture(views: Sequence[SceneView], scene: Scene, cell: int = 384) -> Image.Image:
    """The picture, its masks, the scene from the same camera and from above, side by side; further views below."""
    rows: list[list[Any]] = [[view.image.convert("RGB"), mask_overlay(view.image, list(view.masks))] for view in views]
    cells = rows[0]
    labels = ["input", "masks"]
    if scene.camera is not None:
        cells.append(preview_still(scene, camera=scene.camera))
        labels.append("scene, same camera")
    cells.append(top_view(scene))
    return picture_sheet(rows, labels=(*labels, "from above"), cell=cell)


def _options(settings: GenerateSettings, system: Any) -> GenerateOptions:
    finish = None
    changes: dict[str, Any] = {"max_faces": settings.max_faces, "texture_size": settings.texture_size}
    given = {name: value for name, value in changes.items() if value is not None}
    if given and isinstance(system, SceneGenerator):
        finish = replace(system.decoder.finish, **given)
    return GenerateOptions(
        steps=settings.steps,
        guidance_strength=settings.guidance,
        max_memory_bytes=settings.max_memory_bytes,
        settle=settings.settle,
        fit_places=settings.fit_places,
        finish=finish,
    )


def check_same_inputs(wanted: Manifest, inputs: Inputs) -> None:
    """Refuses inputs that are not those of the manifest's run.

    Raises:
        InputError: a picture or its masks changed since.
    """
    was = ((wanted.image_sha256, wanted.masks_sha256), *wanted.further_views_sha256)
    images = (wanted.settings.image, *(image for image, _ in wanted.settings.further_views))
    for image, before, now in zip(images, was, inputs.sha256, strict=True):
        if before[0] != now[0]:
            raise InputError(f"The picture '{image}' changed since the first run; restore it, or generate anew.")
        if before[1] != now[1]:
            raise InputError(f"The masks of '{image}' changed since the first run; restore them, or generate anew.")


def _read_view(settings: GenerateSettings, path: str, masks: tuple[str, ...]) -> Inputs:
    """One picture and its objects."""
    image = load_image(path)
    source: str | tuple[str, ...] = masks[0] if len(masks) == 1 else masks
    options: dict[str, Any] = {} if settings.segmenter is None else {"segmenter": settings.segmenter}
    place = settings.device.partition(":")[0]
    found = find_masks(image, source, image_name=Path(path).name, device=place, **options)
    return Inputs(image, found, None, sha256_of(Path(path)))


def _distinct(labels: list[str]) -> list[str] | None:
    """The labels, or None where some are alike."""
    return labels if len(set(labels)) == len(labels) else None


def _parent_scene(parent: Manifest, content: bytes | None, masks: ObjectMasks) -> Scene:
    """The scene of a manifest, as its file has it."""
    if content is None:
        path = Path(parent.scene_path)
        if not path.is_file():
            raise InputError(f"The scene '{path}' of the manifest is gone; make it again with `scenewright replay`.")
        content = path.read_bytes()
    if sha256_of_bytes(content) != parent.scene_sha256:
        raise InputError(f"'{parent.scene_path}' is not the scene of the manifest any more; replay the manifest first.")
    scene = parse_glb(content, name=f"'{parent.scene_path}'")
    mask_of: Mapping[str, Tensor] = dict(zip(masks.names, masks.masks, strict=True))
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


def _read_camera(path: Path, size: tuple[int, int]) -> Camera:
    """A camera as JSON: `intrinsics_px` (3x3) and, where it is known, `cam_from_world` (4x4; see docs/generate.md).

    The `scene.json` of a test scene serves, too.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and content.get("kind") == "single_view":
            known = read_test_scene(path.parent).camera
            assert known is not None
            return known
        intrinsics = torch.tensor(content["intrinsics_px"], dtype=torch.float32).reshape(3, 3)
        # A camera at the origin stands on the floor: its place counts as unknown.
        cam_from_world = torch.tensor(content.get("cam_from_world", torch.eye(4).tolist()), dtype=torch.float32)
        cam_from_world = cam_from_world.reshape(4, 4)
    except FileNotFoundError as error:
        raise InputError(f"Camera '{path}' does not exist; check the path.") from error
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, RecursionError) as error:
        raise InputError(
            f"Expected 'intrinsics_px' (3x3) and perhaps 'cam_from_world' (4x4) in the camera file '{path}' ({error})."
        ) from error
    return Camera(intrinsics, cam_from_world, *size)


@contextmanager
def _timed(timings: dict[str, float], stage: str):  # type: ignore[no-untyped-def]
    begin = time.perf_counter()
    yield
    timings[stage] = round(time.perf_counter() - begin, 3)
