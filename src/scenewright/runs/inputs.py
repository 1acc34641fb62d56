"""Inputs of a run: pictures, masks, camera and depth, repaired and hashed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from scenewright.data.probe_scenes import read_test_scene
from scenewright.encoders.masks import find_masks
from scenewright.errors import InputError
from scenewright.io.depth_file import load_depth
from scenewright.io.images import load_image
from scenewright.io.linear_image import LINEAR_SUFFIXES, TONE_MAPPING
from scenewright.runs.manifest import GenerateSettings, Manifest, sha256_of_bytes
from scenewright.systems.registry import find_system
from scenewright.systems.system import in_same_order
from scenewright.types import Camera, ObjectMasks, PanoramaCamera, View
from scenewright.weights.hub import sha256_of

__all__ = ["Inputs", "check_same_inputs", "read_inputs"]


@dataclass(frozen=True)
class Inputs:
    """The views of a run, read and repaired, and the hash of every picture file.

    `notes` say what was done to the pictures themselves.
    """

    views: tuple[View, ...]
    images_sha256: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def masks(self) -> ObjectMasks:
        """The objects of the first view; none of a panorama."""
        return _masks(self.views[0])

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each change or repair in any view."""
        return (*self.notes, *(line for view in self.views for line in _masks(view).warnings))

    @property
    def sha256(self) -> tuple[tuple[str, str], ...]:
        """Hashes of picture and masks of every view; of masks by names and pixels, whatever files they came from.

        Depth counts to the masks.
        """
        return tuple((image, _masks_sha256(view)) for view, image in zip(self.views, self.images_sha256, strict=True))


def read_inputs(settings: GenerateSettings) -> Inputs:
    """Pictures, masks and camera of a run.

    Raises:
        InputError: a file is missing, is of another kind, no mask is usable, or views do not show the same objects.
    """
    if find_system(settings.system).reads == "panorama":
        return Inputs((_read_panorama(settings),), (sha256_of(Path(settings.image)),), _notes([settings.image]))
    files = [(settings.image, settings.masks), *((image, (masks,)) for image, masks in settings.further_views)]
    views = [_read_view(settings, image, masks) for image, masks in files]
    if settings.camera is not None:
        views[0] = replace(views[0], camera=_read_camera(Path(settings.camera), views[0].image.size))
    in_same_order(views)  # refuses views of other objects before weights are loaded
    paths = [image for image, _ in files]
    return Inputs(tuple(views), tuple(sha256_of(Path(image)) for image in paths), _notes(paths))


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


def _read_view(settings: GenerateSettings, path: str, masks: tuple[str, ...]) -> View:
    """One picture and its objects."""
    image = load_image(path)
    source: str | tuple[str, ...] = masks[0] if len(masks) == 1 else masks
    options: dict[str, Any] = {} if settings.segmenter is None else {"segmenter": settings.segmenter}
    device = settings.device.partition(":")[0]
    objects = find_masks(image, source, image_name=Path(path).name, device=device, **options)
    return View(image, objects, name=Path(path).name)


def _read_panorama(settings: GenerateSettings) -> View:
    """A panorama and its depth, where there is a file of it."""
    image = load_image(settings.image)
    camera = PanoramaCamera(torch.eye(4), *image.size)
    depth = None if settings.depth is None else load_depth(settings.depth)
    return View(image, camera=camera, name=Path(settings.image).name, depth_m=depth)


def _notes(paths: Sequence[str]) -> tuple[str, ...]:
    return (TONE_MAPPING,) if any(Path(path).suffix.lower() in LINEAR_SUFFIXES for path in paths) else ()


def _masks(view: View) -> ObjectMasks:
    return view.objects or ObjectMasks(torch.zeros(0, *view.image.size[::-1], dtype=torch.bool))


def _masks_sha256(view: View) -> str:
    masks = _masks(view)
    content = "\n".join(masks.names).encode() + b"\0" + masks.masks.numpy().tobytes()
    return sha256_of_bytes(content + (b"" if view.depth_m is None else view.depth_m.numpy().tobytes()))


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
