"""Maps of a rendering as pictures."""

import numpy as np
from PIL import Image
from torch import Tensor


def depth_picture(depth: Tensor) -> Image.Image:
    """Depth or distance as grey: near is bright, nothing is black."""
    values = depth.detach().float().cpu().numpy()
    hit = values > 0
    if not hit.any():
        return Image.fromarray(np.zeros((*values.shape, 3), dtype=np.uint8))
    inverse = 1 / np.where(hit, values, 1.0)
    low, high = inverse[hit].min(), inverse[hit].max()
    grey = np.where(hit, 0.15 + 0.85 * (inverse - low) / max(high - low, 1e-9), 0.0)
    return Image.fromarray((255 * grey).round().astype(np.uint8)).convert("RGB")


def normal_picture(normal: Tensor) -> Image.Image:
    """Unit normals as the usual colours: x, y, z from [-1, 1] to [0, 255]; where there is none, mid grey."""
    values = (normal.detach().float().cpu() * 0.5 + 0.5).clamp(0, 1).numpy()
    return Image.fromarray((values * 255).round().astype(np.uint8))
