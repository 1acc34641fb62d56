"""Inputs of a run: pictures, masks, camera and depth, repaired and hashed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image

from scenewright.data.probe_scenes import read_test_scene
from scenewright.encoders.masks import find_masks
from scenewright.encoders.records import DEPTH_ANYTHING_METRIC, DEPTH_ANYTHING_RELATIVE, SMALL_DISTANCE
from scenewright.errors import InputError
from scenewright.files import name_of, read_json, reading
from scenewright.geometry.camera.checks import check_camera
from scenewright.geometry.camera.projection import scale_camera
from scenewright.io.camera_file import load_camera
from scenewright.io.depth_file import load_depth
from scenewright.io.images import load_photograph
from scenewright.io.linear_image import LINEAR_SUFFIXES, TONE_MAPPING
from scenewright.runs.manifest import GenerateSettings, Manifest
from scenewright.systems.registry import find_system
from scenewright.systems.system import in_same_order
from scenewright.types import Camera, ObjectMasks, PanoramaCamera, View
from scenewright.weights.hub import cached_file, sha256_of

__all__ = ["ChosenDepth", "Inputs", "check_same_inputs", "choose_depth", "read_inputs"]


_DEPTH_MODELS = {
    "metric": DEPTH_ANYTHING_METRIC.repository,
    "relative": DEPTH_ANYTHING_RELATIVE.repository,
    "small": SMALL_DISTANCE,
}


@dataclass(frozen=True)
class ChosenDepth:
    """Where a panorama's distances come from: a file, a network, or nowhere."""

    file: str | None = None
    model: str | None = None


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
        views[0] = replace(views[0], camera=_read_camera(Path(settings.camera), views[0].image, views[0].name))
    in_same_order(views)  # refuses views of other objects before weights are loaded
    paths = [image for image, _ in files]
    return Inputs(tuple(views), tuple(sha256_of(Path(image)) for image in paths), _notes(paths))


def choose_depth(depth: str | Path | None = None, model: str | None = None) -> ChosenDepth:
    """The source of distances that the words of a user mean.

    Args:
        depth: a file, "auto" (a network, downloaded if need be) or "none"; None is "auto" with the small network
            that ships where no model is named and the usual one is not on this machine.
        model: "metric", "relative", "small", a folder or a repository; None is "metric".

    Raises:
        InputError: a network is named that would not be used.
    """
    place = _DEPTH_MODELS.get(model or "metric", model)
    if depth is None and model is None and cached_file(str(place), DEPTH_ANYTHING_METRIC.file) is None:
        return ChosenDepth(model=SMALL_DISTANCE)
    if depth is None or str(depth) == "auto":
        return ChosenDepth(model=place)
    if model is not None:
        raise InputError(f"The distances are '{depth}', so the network '{model}' would change nothing; leave it out.")
    return ChosenDepth() if str(depth) == "none" else ChosenDepth(file=str(Path(depth).absolute()))


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
    image = load_photograph(path)
    source: str | tuple[str, ...] = masks[0] if len(masks) == 1 else masks
    device = settings.device.partition(":")[0]
    objects = find_masks(
        image,
        source,
        image_name=Path(path).name,
        segmenter=settings.segmenter,
        device=device,
        offline=settings.offline,
    )
    return View(image, objects, name=name_of(Path(path).name))


def _read_panorama(settings: GenerateSettings) -> View:
    """A panorama and its depth, where there is a file of it."""
    if settings.camera is not None:
        raise InputError(f"'{settings.image}' is a panorama, so a camera would change nothing; leave it out.")
    image = load_photograph(settings.image)
    camera = PanoramaCamera(torch.eye(4), *image.size)
    depth = None if settings.depth is None else load_depth(settings.depth)
    return View(image, camera=camera, name=name_of(Path(settings.image).name), depth_m=depth)


def _notes(paths: Sequence[str]) -> tuple[str, ...]:
    return (TONE_MAPPING,) if any(Path(path).suffix.lower() in LINEAR_SUFFIXES for path in paths) else ()


def _masks(view: View) -> ObjectMasks:
    return view.objects or ObjectMasks(())


def _masks_sha256(view: View) -> str:
    masks = _masks(view)
    digest = hashlib.sha256("\n".join(masks.names).encode() + b"\0")
    for mask in masks.regions:
        digest.update(mask.dense().numpy().tobytes())
    if view.depth_m is not None:
        digest.update(view.depth_m.numpy().tobytes())
    return digest.hexdigest()


def _read_camera(path: Path, image: Image.Image, name: str) -> Camera:
    """The camera of a picture from any file that `load_camera` reads, or from the `scene.json` of a test scene."""
    if path.name == "scene.json":
        with reading(path, "a test scene or a camera", "export it again"):
            content = read_json(path, object)
        if isinstance(content, dict) and content.get("kind") == "single_view":
            known = read_test_scene(path.parent).camera
            assert known is not None
            return check_camera(scale_camera(known, image.width / known.width), f"The camera '{path}'")
    return load_camera(path, image, image_name=name)
