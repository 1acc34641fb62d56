"""The cut-out of one object: a square crop around its mask, with the mask as alpha."""

import numpy as np
from jaxtyping import Bool
from PIL import Image
from torch import Tensor

__all__ = ["cut_out"]


def cut_out(image: Image.Image, mask: Bool[Tensor, "H W"]) -> Image.Image:
    """RGBA, transparent outside the mask; the side is 1.1 times the longer side of the mask's box."""
    rgba = image.convert("RGB").resize((mask.shape[1], mask.shape[0])).convert("RGBA")
    alpha = Image.fromarray(mask.cpu().numpy().astype(np.uint8) * 255)
    rgba.putalpha(alpha)
    left, top, right, bottom = alpha.getbbox() or (0, 0, *alpha.size)
    half = max(1, round(1.1 * max(right - left, bottom - top) / 2))
    x, y = (left + right) // 2, (top + bottom) // 2
    return rgba.crop((x - half, y - half, x + half, y + half))
