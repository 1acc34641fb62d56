"""Mask pictures to one integer per pixel: indexed, grey, or colour-coded.

Source of the packing rule: I-Scene spec sheet, section 4.1.
"""

import numpy as np
from jaxtyping import Integer

__all__ = ["label_map"]


def label_map(pixels: Integer[np.ndarray, "height width *channels"]) -> Integer[np.ndarray, "height width"]:
    """The label of each pixel; 0 is background.

    One channel (grey, palette index, 16 bit) is its own label. Three channels are R where all pixels are grey, else
    R + 256 G + 65536 B; a fourth channel is ignored.
    """
    if pixels.ndim == 2:
        return pixels.astype(np.uint32)
    if pixels.shape[2] < 3:
        return pixels[..., 0].astype(np.uint32)
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return red
    return red + 256 * green + 65536 * blue
