"""The cut-out of one object: a square crop around its mask, with the mask as alpha."""

import numpy as np
from PIL import Image

from scenewright.types import Mask

__all__ = ["cut_out"]


def cut_out(image: Image.Image, mask: Mask) -> Image.Image:
    """RGBA, transparent outside the mask; the side is 1.1 times the longer side of the mask's box."""
    left, top, right, bottom = mask.box
    half = max(1, round(1.1 * max(right - left, bottom - top) / 2))
    x, y = (left + right) // 2, (top + bottom) // 2
    box = (x - half, y - half, x + half, y + half)
    cut = image.convert("RGB").crop(box)
    cut.putalpha(Image.fromarray(mask.within(box).astype(np.uint8) * 255))
    return cut
