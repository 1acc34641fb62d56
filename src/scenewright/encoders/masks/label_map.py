"""Mask pictures to one integer per pixel: indexed, grey, or colour-coded; and their colours and opacity as stored.

Source of the packing rule: LuLing06/I-Scene-project iscene/inference/segmentation_utils.py.
"""

import numpy as np
from jaxtyping import Bool, Integer
from PIL import Image

__all__ = ["is_opaque", "label_map", "stored_channels", "whole_labels"]

_LARGEST_LABEL = 2**32 - 1


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


def stored_channels(
    image: Image.Image,
) -> tuple[Integer[np.ndarray, "height width *channels"], Bool[np.ndarray, "height width"]]:
    """Grey levels or RGB of a mask picture as stored, and where it is opaque: alpha above half of its highest value."""
    is_grey = image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16")
    pixels = np.asarray(image) if is_grey else np.asarray(image.convert("RGB"))
    return whole_labels(pixels).astype(np.uint32), is_opaque(image)


def whole_labels(values: np.ndarray) -> Integer[np.ndarray, "*shape"]:
    """Labels of numbers as files hold them: 1 where shares (all at most 1) are above a half, 0 for what is no label.

    No labels are what is below 0, not finite, or beyond 32 bits.
    """
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=0, posinf=0, neginf=0)
        if values.max(initial=0) <= 1:
            return (values > 0.5).astype(np.int64)
    return np.where((values > 0) & (values <= _LARGEST_LABEL), values, 0).astype(np.int64)


def is_opaque(image: Image.Image) -> Bool[np.ndarray, "height width"]:
    """Where alpha is above half of its highest value, which is 255, or 1 in files of 0 and 1."""
    if not image.has_transparency_data:
        return np.ones((image.height, image.width), dtype=bool)
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    return alpha > alpha.max() // 2
