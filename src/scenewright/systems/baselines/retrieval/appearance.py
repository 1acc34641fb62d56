"""Picture features without learning: silhouette, edge directions and colour of one cut-out object.

The picture is fitted to a square of 64 pixels; edges are histograms of oriented gradients (Dalal and Triggs 2005, 8 by
8 cells, 9 unsigned directions) of the luminance over mid grey, colours the mean of each of 8 by 8 cells. The blocks
are scaled to unit length each and weighted, so that the cosine of two features is the weighted mean of three cosines.

Pictures are RGBA; alpha is the object's mask.
"""

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

__all__ = ["appearance"]

_SIDE, _CELLS, _BINS = 64, 8, 9
_WEIGHTS = {"silhouette": 1.0, "edges": 1.0, "colour": 0.25}


def appearance(picture: Image.Image) -> Float[Tensor, " 1024"]:
    """The feature vector of a cut-out, unit length."""
    rgba = np.asarray(picture.convert("RGBA").resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.float64) / 255
    alpha = rgba[..., 3]
    over_grey = rgba[..., :3] * alpha[..., None] + 0.5 * (1 - alpha[..., None])
    blocks = {
        "silhouette": _cells(alpha, 16).ravel() - alpha.mean(),
        "edges": _edge_histograms(over_grey.mean(2)),
        "colour": _cells(over_grey - 0.5, _CELLS).ravel(),
    }
    return torch.from_numpy(np.concatenate([_WEIGHTS[k] ** 0.5 * _unit(block) for k, block in blocks.items()])).float()


def _cells(values: Float[np.ndarray, "..."], count: int) -> Float[np.ndarray, "..."]:
    size = _SIDE // count
    return values.reshape(count, size, count, size, *values.shape[2:]).mean((1, 3))


def _edge_histograms(luminance: Float[np.ndarray, "H W"]) -> Float[np.ndarray, " D"]:
    down, right = np.gradient(luminance)
    strength = np.hypot(down, right)
    direction = np.floor(np.mod(np.arctan2(down, right), np.pi) / np.pi * _BINS).astype(int) % _BINS
    channels = np.where(direction[..., None] == np.arange(_BINS), strength[..., None], 0.0)
    cells = _cells(channels, _CELLS)
    # Cells count by the root of their strength: one hard edge must not drown all others.
    return np.sqrt(cells / max(float(cells.sum()), 1e-12)).ravel()


def _unit(block: Float[np.ndarray, " D"]) -> Float[np.ndarray, " D"]:
    return block / max(float(np.linalg.norm(block)), 1e-12)
