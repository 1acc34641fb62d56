"""Pictures that the mini networks see: an object, the scene, and an object in the scene, cut out on black.

Legend: B pictures, N objects, H/W picture size, P side of the small pictures.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from scenewright.encoders.preprocess.crop import Box, opaque_extent, rounded_box, square_box

__all__ = [
    "PICTURE_SIZE",
    "ScenePictures",
    "crop_from_pixels",
    "cut_out_pictures",
    "occluder_pictures",
    "own_box",
    "relit",
]

PICTURE_SIZE = 128
_MARGIN = 1.2


@dataclass(frozen=True)
class ScenePictures:
    """Colours times alpha, and alpha (the share of a pixel that belongs to the object), in [0, 1].

    `own` is each object in a square crop round itself, `placed` each object in the scene's crop, `scene` all of them.
    """

    own: Float[Tensor, "N 4 P P"]
    placed: Float[Tensor, "N 4 P P"]
    scene: Float[Tensor, "4 P P"]


def cut_out_pictures(
    picture: Float[Tensor, "3 H W"], masks: Bool[Tensor, "N H W"], size: int = PICTURE_SIZE
) -> ScenePictures:
    """The small pictures of all objects of a picture in [0, 1]; crops are squares 1.2 times the longer side of a mask.

    Raises:
        InputError: a mask is empty or a single pixel.
    """
    union = masks.any(0)
    scene_box = square_box(opaque_extent(union.cpu().numpy(), "The scene mask"), margin=_MARGIN)
    own, placed = [], []
    for number, mask in enumerate(masks, 1):
        own.append(_cut_out(picture, mask, own_box(mask, f"Mask {number}"), size))
        placed.append(_cut_out(picture, mask, scene_box, size))
    return ScenePictures(torch.stack(own), torch.stack(placed), _cut_out(picture, union, scene_box, size))


def own_box(mask: Bool[Tensor, "H W"], what: str = "The mask") -> Box:
    """The square crop round one object.

    Raises:
        InputError: the mask is empty or a single pixel.
    """
    return square_box(opaque_extent(mask.cpu().numpy(), what), margin=_MARGIN)


def occluder_pictures(masks: Bool[Tensor, "N H W"], size: int = PICTURE_SIZE) -> Float[Tensor, "N P P"]:
    """Share of every pixel of each object's own crop that belongs to other objects."""
    union = masks.any(0)
    return torch.stack([_cropped((union & ~mask)[None].float(), own_box(mask), size)[0] for mask in masks])


def crop_from_pixels(mask: Bool[Tensor, "H W"]) -> Float[Tensor, "3 3"]:
    """Takes homogeneous pixels of the picture to the mask's own crop, in which each axis runs from -1 to 1."""
    left, upper, right, lower = rounded_box(own_box(mask))
    width, height = right - left, lower - upper
    rows = [[2 / width, 0, -2 * left / width - 1], [0, 2 / height, -2 * upper / height - 1], [0, 0, 1]]
    return torch.tensor(rows, dtype=torch.float64)


def relit(pictures: Float[Tensor, "B 4 P P"], generator: torch.Generator) -> Float[Tensor, "B 4 P P"]:
    """Gains per picture and per channel in linear light, taken through the display's gamma."""
    count = len(pictures)
    exposure = 0.8 * (torch.rand(count, 1, generator=generator) - 0.5)
    balance = 0.16 * (torch.rand(count, 3, generator=generator) - 0.5)
    gain = torch.exp((exposure + balance) / 2.2)[:, :, None, None]
    return torch.cat([torch.minimum(pictures[:, :3] * gain, pictures[:, 3:]), pictures[:, 3:]], 1)


def _cut_out(picture: Float[Tensor, "3 H W"], mask: Bool[Tensor, "H W"], box: Box, size: int) -> Float[Tensor, "4 P P"]:
    alpha = mask[None].to(picture.dtype)
    return _cropped(torch.cat([picture * alpha, alpha]), box, size)


def _cropped(picture: Float[Tensor, "C H W"], box: Box, size: int) -> Float[Tensor, "C P P"]:
    left, upper, right, lower = rounded_box(box)
    cut = F.pad(picture, (-left, right - picture.shape[2], -upper, lower - picture.shape[1]))
    return F.interpolate(cut[None], (size, size), mode="bilinear", antialias=True, align_corners=False)[0].clamp(0, 1)
