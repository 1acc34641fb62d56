"""Pictures that the mini networks see: an object, the scene, and an object in the scene, cut out on black.

Legend: B pictures, N objects, H/W picture size, P side of the small pictures.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from scenewright.encoders.preprocess.crop import mask_extent, rounded_box, square_box
from scenewright.types import Mask, ObjectMasks, PixelBox

__all__ = [
    "PICTURE_SIZE",
    "ScenePictures",
    "beyond_picture",
    "crop_from_pixels",
    "cut_out_pictures",
    "occluder_pictures",
    "relit",
]

PICTURE_SIZE = 128
_MARGIN = 1.2
# Crops up to so many times the small pictures are resized in one step, as those of training were.
_EXACT_SIDES = 16


@dataclass(frozen=True)
class ScenePictures:
    """Colours times alpha, and alpha (the share of a pixel that belongs to the object), in [0, 1].

    `own` is each object in a square crop round itself, `placed` each object in the scene's crop, `scene` all of them.
    """

    own: Float[Tensor, "N 4 P P"]
    placed: Float[Tensor, "N 4 P P"]
    scene: Float[Tensor, "4 P P"]


def cut_out_pictures(image: Image.Image, objects: ObjectMasks, size: int = PICTURE_SIZE) -> ScenePictures:
    """The small pictures of all objects of a picture; crops are squares 1.2 times the longer side of a mask.

    Raises:
        InputError: a mask is empty or a single pixel.
    """
    image, union = image.convert("RGB"), objects.union
    scene_box = _box(union, "The scene mask")
    own, placed = [], []
    for number, mask in enumerate(objects.regions, 1):
        own.append(_cut_out(image, mask, _box(mask, f"Mask {number}"), size))
        placed.append(_cut_out(image, mask, scene_box, size))
    return ScenePictures(torch.stack(own), torch.stack(placed), _cut_out(image, union, scene_box, size))


def occluder_pictures(
    objects: ObjectMasks, size: int = PICTURE_SIZE, *, counts: Bool[Tensor, "N N"] | None = None
) -> Float[Tensor, "N P P"]:
    """Share of every pixel of each object's own crop that belongs to other objects.

    Args:
        counts: which others (columns) those are for each object (rows); None is all.
    """
    union, shares = objects.union, []
    for index, mask in enumerate(objects.regions):
        box = _box(mask)
        if counts is None:
            others = union.within(box)
        else:
            others = np.zeros_like(mask.within(box))
            for other in counts[index].nonzero()[:, 0].tolist():
                others |= objects.regions[other].within(box)
        shares.append(_small(_white(others & ~mask.within(box)), size)[0])
    return torch.stack(shares)


def beyond_picture(mask: Mask, size: int = PICTURE_SIZE) -> Bool[Tensor, "P P"]:
    """Whether a pixel of the mask's own crop lies beyond the picture's edge, where nothing is known."""
    left, upper, right, lower = _box(mask)
    steps = (torch.arange(size) + 0.5) / size
    x, y = left + steps * (right - left), upper + steps * (lower - upper)
    return ((x < 0) | (x > mask.width)) | ((y < 0) | (y > mask.height))[:, None]


def crop_from_pixels(mask: Mask) -> Float[Tensor, "3 3"]:
    """Takes homogeneous pixels of the picture to the mask's own crop, in which each axis runs from -1 to 1."""
    left, upper, right, lower = _box(mask)
    width, height = right - left, lower - upper
    rows = [[2 / width, 0, -2 * left / width - 1], [0, 2 / height, -2 * upper / height - 1], [0, 0, 1]]
    return torch.tensor(rows, dtype=torch.float64)


def relit(pictures: Float[Tensor, "B 4 H W"], generator: torch.Generator) -> Float[Tensor, "B 4 H W"]:
    """Gains per picture and per channel in linear light, taken through the display's gamma."""
    count = len(pictures)
    exposure = 0.8 * (torch.rand(count, 1, generator=generator) - 0.5)
    balance = 0.16 * (torch.rand(count, 3, generator=generator) - 0.5)
    gain = torch.exp((exposure + balance) / 2.2)[:, :, None, None]
    return torch.cat([torch.minimum(pictures[:, :3] * gain, pictures[:, 3:]), pictures[:, 3:]], 1)


def _box(mask: Mask, what: str = "The mask") -> PixelBox:
    """The square crop round one object, in whole pixels.

    Raises:
        InputError: the mask is empty or a single pixel.
    """
    return rounded_box(square_box(mask_extent(mask, what), margin=_MARGIN))


def _cut_out(image: Image.Image, mask: Mask, box: PixelBox, size: int) -> Float[Tensor, "4 P P"]:
    """The object on black, and its share of every pixel."""
    left, upper = mask.box[:2]
    share, colour = _white(mask.within(box)), Image.new("RGB", (box[2] - box[0], box[3] - box[1]))
    # Only the mask's own part is drawn: the scene's crop may be all of a large photograph, for every object.
    colour.paste(image.crop(mask.box), (left - box[0], upper - box[1]), _white(mask.within(mask.box)))
    return torch.cat([_small(colour, size), _small(share, size)])


def _white(pixels: Bool[np.ndarray, "rows columns"]) -> Image.Image:
    """White where a pixel is True."""
    return Image.fromarray(pixels.astype(np.uint8) * 255)


def _small(picture: Image.Image, size: int) -> Float[Tensor, "C P P"]:
    """A square picture in [0, 1] at `size`; of what is far larger, areas are averaged first."""
    if picture.width > _EXACT_SIDES * size:
        picture = picture.resize((_EXACT_SIDES * size // 2,) * 2, Image.Resampling.BOX)
    pixels = torch.from_numpy(np.array(picture)).reshape(*picture.size, -1).permute(2, 0, 1).contiguous().float() / 255
    small = F.interpolate(pixels[None], (size, size), mode="bilinear", antialias=True, align_corners=False)
    return small[0].clamp(0, 1)
