"""A dual grid as it is stored: dual vertices in 8 bits, three flags in one byte.

Legend: N voxels. One step of a dual vertex is 1/255 of a voxel; values are truncated, and what was stored once is
stored the same again (microsoft/TRELLIS.2, `o-voxel`).
"""

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from scenewright.errors import InputError
from scenewright.types import DualGrid

__all__ = ["dequantize_dual_grid", "quantize_dual_grid"]

_TOLERANCE = 1e-3


def quantize_dual_grid(grid: DualGrid) -> tuple[UInt8[Tensor, "N 3"], UInt8[Tensor, "N 1"]]:
    """Bytes of the dual vertices and of the flags (bit a: the edge along axis a is intersected).

    Raises:
        InputError: a dual vertex is more than a thousandth of a voxel outside its voxel.
    """
    dual = grid.dual_vertices.detach()
    if dual.numel() and not bool(((dual >= -_TOLERANCE) & (dual <= 1 + _TOLERANCE)).all()):
        raise InputError(
            "Expected dual vertices inside their voxels, got offsets "
            f"from {float(dual.min()):g} to {float(dual.max()):g}; clamp them to [0, 1] before storing."
        )
    bits = grid.intersected.to(torch.uint8)
    flags = bits[:, 0] | bits[:, 1] << 1 | bits[:, 2] << 2
    return (dual.clamp(0, 1) * 255).to(torch.uint8), flags[:, None]


def dequantize_dual_grid(
    coords: Int[Tensor, "N 3"], vertices: UInt8[Tensor, "N 3"], flags: UInt8[Tensor, "N 1"], resolution: int
) -> DualGrid:
    """Inverse of `quantize_dual_grid`, to within 1/255 of a voxel."""
    intersected = torch.cat([flags >> axis & 1 for axis in range(3)], 1).bool()
    return DualGrid(coords, vertices.float() / 255, intersected, resolution)
