"""Steps that published preparations share: box of the opaque pixels, square crop round it, black background.

Boxes follow Pillow: (left, upper, right, lower) in pixels, may reach outside the picture (filled with transparent
black) and are rounded half to even. Results must match grey level by grey level, so resizing and cropping are Pillow's.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError
from scenewright.types import Mask

__all__ = [
    "ALPHA_THRESHOLD",
    "BackgroundRemover",
    "Box",
    "drop_alpha",
    "has_cut_out",
    "image_to_tensor",
    "mask_extent",
    "on_black",
    "opaque_extent",
    "rounded_box",
    "shrunk_to",
    "square_box",
    "with_alpha",
]

Box = tuple[float, float, float, float]
BackgroundRemover = Callable[[Image.Image], Image.Image]

ALPHA_THRESHOLD = 204  # 0.8 * 255; a pixel belongs to the object where its alpha is above this


def with_alpha(image: Image.Image) -> Image.Image:
    """The picture as RGBA where its mode carries transparency (also a palette's or grey's), else as RGB."""
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def has_cut_out(image: Image.Image) -> bool:
    """Whether the picture brings its own cut-out: an alpha channel that is not opaque everywhere."""
    return image.mode == "RGBA" and bool((np.asarray(image.getchannel("A")) < 255).any())


def drop_alpha(image: Image.Image) -> Image.Image:
    """RGB where fully transparent pixels are black and partly transparent ones keep their full colour.

    This is what compositing over *transparent* black and dropping alpha does; I-Scene reads its pictures so.
    """
    image = with_alpha(image)
    if image.mode == "RGB":
        return image
    pixels = np.asarray(image)
    return Image.fromarray(np.where(pixels[..., 3:] > 0, pixels[..., :3], np.uint8(0)))


def shrunk_to(image: Image.Image, longest_side: int) -> Image.Image:
    """The picture with its longer side at most `longest_side` (Lanczos, sizes truncated to whole pixels)."""
    scale = min(1.0, longest_side / max(image.size))
    if scale == 1.0:
        return image
    size = max(1, int(image.width * scale)), max(1, int(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)


def opaque_extent(opaque: Bool[np.ndarray, "height width"], what: str = "The picture") -> Box:
    """First and last column and row (inclusive) that hold a True, as (left, upper, right, lower).

    Raises:
        InputError: nothing is True, or the extent is a single pixel, which leaves no crop.
    """
    return mask_extent(Mask.of(opaque), what)


def mask_extent(mask: Mask, what: str = "The picture") -> Box:
    """As `opaque_extent`, of a mask.

    Raises:
        InputError: it is empty or a single pixel.
    """
    if not mask.area:
        raise InputError(
            f"{what} has no object: no pixel is more than 80 % opaque. "
            "Give a picture without alpha to have its background removed, or repair its alpha channel."
        )
    left, upper, right, lower = mask.box
    extent = (float(left), float(upper), float(right - 1), float(lower - 1))
    if max(extent[2] - extent[0], extent[3] - extent[1]) < 1:
        raise InputError(f"{what} has an object of one single pixel; give a picture with more pixels on the object.")
    return extent


def square_box(extent: Box, *, margin: float = 1.0) -> Box:
    """The square round the extent's middle whose side is `margin` times the longer extent, truncated and made even."""
    left, upper, right, lower = extent
    half = int(margin * max(right - left, lower - upper)) // 2
    x, y = (left + right) / 2, (upper + lower) / 2
    return x - half, y - half, x + half, y + half


def rounded_box(box: Box) -> tuple[int, int, int, int]:
    """Whole-pixel box; halves go to the even neighbour, as in Pillow's crop."""
    left, upper, right, lower = (round(side) for side in box)
    return left, upper, right, lower


def on_black(image: Image.Image) -> Image.Image:
    """RGB times alpha, truncated to 8 bit: the object on black."""
    pixels = np.asarray(image.convert("RGBA")).astype(np.float32) / 255
    return Image.fromarray((pixels[..., :3] * pixels[..., 3:] * 255).astype(np.uint8))


def image_to_tensor(image: Image.Image) -> Float[Tensor, "3 height width"]:
    """The picture's RGB channels in [0, 1]."""
    pixels: UInt8[np.ndarray, "height width 3"] = np.array(image.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
