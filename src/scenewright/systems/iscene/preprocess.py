"""I-Scene's pictures: for each object, the object and the whole scene in one shared crop, and the object's own crop.

The scene crop keeps the place and the apparent size of each object; that is how the network knows where to put it.
Source: LuLing06/I-Scene-project iscene/trellis/pipelines/trellis_image_to_3d_scene_context.py.

Legend: N objects, S slots (instance, scene, and canonical where asked for).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from scenewright.encoders.preprocess.crop import (
    Box,
    opaque_extent,
    rounded_box,
    square_box,
)
from scenewright.encoders.preprocess.lanczos4 import lanczos4_resized

__all__ = ["ObjectCrops", "crop_object", "slot_pictures"]

_MARGIN = 1.2


@dataclass(frozen=True)
class ObjectCrops:
    """The crops of one object before resizing, in [0, 1] on black; boxes are unrounded.

    `scene_box` is in the picture, `canonical_box` in the scene crop.
    """

    instance: Float[Tensor, "3 side side"]
    scene: Float[Tensor, "3 side side"]
    canonical: Float[Tensor, "3 own_side own_side"]
    scene_box: Box
    canonical_box: Box


def slot_pictures(
    crops: Iterable[ObjectCrops], *, with_canonical: bool = True, size: int = 518
) -> Float[Tensor, "N S 3 size size"]:
    """Pictures of the slots of all objects, in [0, 1]: 0 the object, 1 the scene (resized once), 2 its own crop.

    Crops, which are as large as the picture, are taken one at a time.
    """
    scene: Tensor | None = None
    objects = []
    for crop in crops:
        scene = _resized(crop.scene, size) if scene is None else scene
        slots = [_resized(crop.instance, size), scene]
        if with_canonical:
            slots.append(_resized(crop.canonical, size))
        objects.append(torch.stack(slots))
    return torch.stack(objects)


def crop_object(
    pixels: Float[Tensor, "3 height width"],
    scene_mask: Bool[Tensor, "height width"],
    mask: Bool[Tensor, "height width"],
    *,
    name: str = "The mask",
) -> ObjectCrops:
    """The three crops of one object from the whole picture in [0, 1].

    Raises:
        InputError: a mask is empty or a single pixel.
    """
    scene_box = square_box(opaque_extent(scene_mask.cpu().numpy(), "The scene mask"), margin=_MARGIN)
    pixels, scene_mask, mask = (_cropped(x, scene_box) for x in (pixels, scene_mask, mask))
    scene = pixels * scene_mask
    canonical_box = square_box(opaque_extent(mask.cpu().numpy(), name), margin=_MARGIN)
    # The object's own crop is cut from the unmasked picture, so parts hidden in the scene mask stay visible.
    canonical = _cropped(pixels, canonical_box) * _cropped(mask, canonical_box)
    return ObjectCrops(scene * mask, scene, canonical, scene_box, canonical_box)


def _cropped(image: Tensor, box: Box) -> Tensor:
    """The box cut out of `[..., height, width]`, zero where it reaches outside."""
    left, upper, right, lower = rounded_box(box)
    return F.pad(image, (-left, right - image.shape[-1], -upper, lower - image.shape[-2]))


def _resized(image: Float[Tensor, "3 height width"], size: int) -> Float[Tensor, "3 size size"]:
    return lanczos4_resized(image, size, size).clamp(0, 1)
