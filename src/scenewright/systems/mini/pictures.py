"""Pictures that the mini preset's networks see: an object, the scene, and an object in the scene, cut out on black.

Legend: N objects, H/W picture size, P side of the small pictures.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from scenewright.encoders.preprocess.crop import Box, opaque_extent, rounded_box, square_box

__all__ = ["PICTURE_SIZE", "ScenePictures", "cut_out_pictures"]

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
        box = square_box(opaque_extent(mask.cpu().numpy(), f"Mask {number}"), margin=_MARGIN)
        own.append(_cut_out(picture, mask, box, size))
        placed.append(_cut_out(picture, mask, scene_box, size))
    return ScenePictures(torch.stack(own), torch.stack(placed), _cut_out(picture, union, scene_box, size))


def _cut_out(picture: Float[Tensor, "3 H W"], mask: Bool[Tensor, "H W"], box: Box, size: int) -> Float[Tensor, "4 P P"]:
    left, upper, right, lower = rounded_box(box)
    pads = (-left, right - mask.shape[1], -upper, lower - mask.shape[0])
    alpha = F.pad(mask[None].to(picture.dtype), pads)
    cut = torch.cat([F.pad(picture, pads) * alpha, alpha])
    return F.interpolate(cut[None], (size, size), mode="bilinear", antialias=True, align_corners=False)[0].clamp(0, 1)
