"""`scenewright.generate`: a picture and its masks, as files or in memory, to a placed scene, in one call."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from scenewright.encoders.masks import find_masks
from scenewright.geometry.camera.checks import check_camera
from scenewright.geometry.camera.projection import scale_camera
from scenewright.io.depth_file import load_depth
from scenewright.io.images import load_image, load_photograph
from scenewright.runs.inputs import choose_depth
from scenewright.samplers.config import Quality, SamplingOverride
from scenewright.systems.loading import load
from scenewright.systems.options import GenerateOptions, RoomOverride
from scenewright.systems.registry import DEFAULT_SYSTEM, find_system
from scenewright.types import Camera, ObjectMasks, PanoramaCamera, Scene, View

__all__ = ["generate"]


Picture = str | Path | Image.Image
Masks = str | Path | Sequence[str | Path] | ObjectMasks | Bool[Tensor, "N H W"]


def generate(
    image: Picture,
    masks: Masks | None = None,
    *,
    further_views: Sequence[tuple[Picture, Masks]] = (),
    system: str = DEFAULT_SYSTEM,
    weights: str | None = None,
    decoder: str | None = None,
    seed: int = 0,
    steps: int | None = None,
    guidance: float | None = None,
    quality: Quality = "standard",
    settle: bool = False,
    fit_layout: bool | None = None,
    camera: Camera | PanoramaCamera | None = None,
    depth: str | Path | Float[Tensor, "rows columns"] | None = None,
    depth_model: str | None = None,
    room: RoomOverride | None = None,
    preset: str | None = None,
    commercial: bool = False,
    device: torch.device | str = "cpu",
) -> Scene:
    """The scene in one picture: every masked object, placed, with the camera that sees it as the picture does.

    To generate several scenes, `load` the system once and call its `generate`.

    Args:
        image: a file, or a picture in memory.
        masks: any form that `find_masks` reads (a file of labels, a folder, COCO, boxes or points, "auto"), or masks in
            memory at the picture's size; None for systems that read none.
        further_views: other pictures with masks of the same objects, for SceneGen; the names of the masks (values,
            colours or file names) say which object is which.
        system, weights, decoder: see `load`.
        steps, guidance: of the samplers; None is what is published with the weights.
        quality: "draft" halves the steps, "best" doubles them; with the mini weights a draft also fits places less
            closely, and the best scene of masks is the standard one.
        settle: rest the objects on the floor and out of each other.
        fit_layout: move objects into their masks and onto the floor; None does so for mini only.
        depth: of a panorama: distances along its rays in metres, a file of them, "auto" (a network estimates them) or
            "none"; None is a network that is on this machine already, or else the small one that ships.
        depth_model: "metric", "relative", "small", a folder or a repository.
        room: what is known of a panorama's room.
        preset: a named set of the system's options (InSpace: published, published_fixed or refined).
        commercial: refuse weights that are not cleared for commercial use.

    Raises:
        InputError: a file or mask cannot be used, or weights are not cleared.
        WeightsError: there are no weights, or they cannot be read.
        EmptyStructureError: no object was found.
    """
    views = [_view(*pair, device) for pair in ((image, masks), *further_views)]
    if isinstance(camera, Camera):
        camera = scale_camera(check_camera(camera), views[0].image.width / camera.width)
    views[0], model = replace(views[0], camera=camera), None
    if find_system(system).reads == "panorama":
        views[0], model = _with_depth(views[0], depth, depth_model)
    options = GenerateOptions(
        SamplingOverride(steps, guidance, quality),
        settle=settle,
        fit_layout=fit_layout,
        room=room or RoomOverride(),
        preset=preset,
    )
    opened = load(system, weights, decoder=decoder, device=device, depth_model=model, commercial=commercial)
    return opened.generate(views, seed=seed, options=options)


def _with_depth(view: View, depth: str | Path | Tensor | None, model: str | None) -> tuple[View, str | None]:
    """The view with the distances that are given, and the network that estimates them where there are none."""
    if isinstance(depth, Tensor):
        return replace(view, depth_m=depth), None
    chosen = choose_depth(depth, model)
    return (view if chosen.file is None else replace(view, depth_m=load_depth(chosen.file))), chosen.model


def _view(image: Picture, masks: Masks | None, device: torch.device | str) -> View:
    """A picture with its masks, both in memory."""
    if isinstance(image, Image.Image):
        picture = image
    else:  # masks in memory are at the picture's own size
        picture = load_image(image) if isinstance(masks, (Tensor, ObjectMasks)) else load_photograph(image)
    name = "" if isinstance(image, Image.Image) else Path(image).name
    if isinstance(masks, Tensor):
        masks = ObjectMasks(masks)
    elif masks is not None and not isinstance(masks, ObjectMasks):
        masks = find_masks(picture, masks, image_name=name or None, device=device)
    return View(picture, masks, name=name)
