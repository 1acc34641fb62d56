"""Square pictures for the encoder, cut out of photographs, with the intrinsics of the cut.

Phone pictures become two squares at the two ends of their longer edge, so that nothing is lost; others one square round
the principal point. Source: GenRecon, `inference/get_images.py`.

Frame: pixels, (0, 0) is the outer corner of the top-left pixel.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

__all__ = ["SquareCrop", "centre_crop", "crop_intrinsics", "square_crops", "square_pixels"]


@dataclass(frozen=True)
class SquareCrop:
    """A square of `size` pixels at (left, top)."""

    left: int
    top: int
    size: int


def square_crops(width: int, height: int) -> list[SquareCrop]:
    """Two squares as large as the shorter edge, at both ends of the longer one; one for a square picture."""
    side = min(width, height)
    first, last = SquareCrop(0, 0, side), SquareCrop(width - side, height - side, side)
    return [first] if first == last else [first, last]


def centre_crop(intrinsics_unit: Float[Tensor, "3 3"], width: int, height: int) -> SquareCrop:
    """The largest square centred on the principal point, moved to whole pixels inside the picture."""
    cx, cy = float(intrinsics_unit[0, 2]) * width, float(intrinsics_unit[1, 2]) * height
    size = max(1, min(int(2 * min(cx, width - cx, cy, height - cy)), width, height))
    left, top = (
        min(max(int(np.rint(centre - size / 2)), 0), length - size) for centre, length in ((cx, width), (cy, height))
    )
    return SquareCrop(left, top, size)


def crop_intrinsics(
    intrinsics_unit: Float[Tensor, "3 3"], width: int, height: int, crop: SquareCrop
) -> Float[Tensor, "3 3"]:
    """Intrinsics in units of the square: f W / S and (c W - left) / S."""
    fx, fy = intrinsics_unit[0, 0] * width / crop.size, intrinsics_unit[1, 1] * height / crop.size
    cx = (intrinsics_unit[0, 2] * width - crop.left) / crop.size
    cy = (intrinsics_unit[1, 2] * height - crop.top) / crop.size
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    return torch.stack([torch.stack([fx, zero, cx]), torch.stack([zero, fy, cy]), torch.stack([zero, zero, one])])


def square_pixels(image: Image.Image, crop: SquareCrop, size: int) -> Float[Tensor, "3 size size"]:
    """The crop resized (Lanczos) to `size`, RGB in [0, 1]; transparent parts turn black."""
    box = (crop.left, crop.top, crop.left + crop.size, crop.top + crop.size)
    cut = image.crop(box)
    pixels = _channels(cut.convert("RGB").resize((size, size), Image.Resampling.LANCZOS))
    if "A" in image.getbands():
        alpha = cut.getchannel("A").resize((size, size), Image.Resampling.BILINEAR)
        pixels = pixels * _channels(alpha)
    return pixels


def _channels(image: Image.Image) -> Float[Tensor, "channels height width"]:
    array = np.asarray(image, dtype=np.float32) / 255
    return torch.from_numpy(array.reshape(*array.shape[:2], -1)).movedim(-1, 0).contiguous()
