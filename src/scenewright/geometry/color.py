"""The sRGB transfer curve. Textures and images are encoded; arithmetic on colour is linear (docs/conventions.md)."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["linear_from_srgb", "linear_from_srgb_array", "srgb_from_linear"]


def linear_from_srgb(encoded: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Linear light in [0, 1] of encoded values; input is clamped to [0, 1]."""
    encoded = encoded.clamp(0, 1)
    return torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def linear_from_srgb_array(encoded: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """`linear_from_srgb` of NumPy values in [0, 1], whose powers differ from torch's in the last bit."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(linear: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Encoded values in [0, 1] of linear light; input is clamped to [0, 1]."""
    linear = linear.clamp(0, 1)
    # The inner clamp keeps the gradient of the unused branch finite at zero.
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)
