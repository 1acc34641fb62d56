"""Rotary position embedding of voxel coordinates (TRELLIS.2).

Legend: T rows, H heads, D width of a head.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Complex64, Float, Shaped
from torch import Tensor

__all__ = ["RotaryPhases", "rotary_phases", "rotate"]


@dataclass(frozen=True)
class RotaryPhases:
    """Every row's D / 2 angles as cos + i sin; one table serves all heads, blocks and steps."""

    turns: Complex64[Tensor, "T half"]


def rotary_phases(
    coords: Shaped[Tensor, "T 3"], head_channels: int, frequency_range: tuple[float, float] = (1.0, 10000.0)
) -> RotaryPhases:
    """Angles coord * f_i with f_i = base_0 / base_1^(i / F), F = (D / 2) // 3 per axis, axes x, y, z concatenated.

    Coordinates are raw voxel indices. Angles that are left over (D / 2 not divisible by 3) are zero: no rotation.
    """
    half = head_channels // 2
    count = half // 3
    exponents = torch.arange(count, dtype=torch.float32, device=coords.device) / count
    frequencies = frequency_range[0] / frequency_range[1] ** exponents
    angles = (coords.float()[..., None] * frequencies).flatten(1)
    angles = torch.nn.functional.pad(angles, (0, half - angles.shape[1]))
    return RotaryPhases(torch.complex(angles.cos(), angles.sin()))


def rotate(x: Float[Tensor, "T H D"], phases: RotaryPhases) -> Float[Tensor, "T H D"]:
    """Rotates each pair of adjacent channels (2i, 2i + 1) by angle i, in fp32; returns the dtype of `x`."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * phases.turns[:, None]).flatten(-2).to(x.dtype)
