"""What a run reads: pictures, masks and camera, repaired and hashed."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from scenewright.data.probe_scenes import read_test_scene
from scenewright.encoders.masks import find_masks
from scenewright.errors import InputError
from scenewright.io.images import load_image
from scenewright.runs.manifest import GenerateSettings, Manifest, sha256_of_bytes
from scenewright.systems.assembly.views import SceneView, in_same_order
from scenewright.types import Camera, ObjectMasks
from scenewright.weights.hub import sha256_of

__all__ = ["Inputs", "check_same_inputs", "read_inputs"]


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
