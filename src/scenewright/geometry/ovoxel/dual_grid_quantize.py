"""A dual grid as it is stored: dual vertices in 8 bits, three flags in one byte.

Legend: N voxels. Source: sheet section 2.4. One step of a dual vertex is 1/255 of a voxel; values are truncated.
"""

import torch

from scenewright.errors import InputError
from scenewright.types import DualGrid, SparseVoxels

__all__ = ["dequantize_dual_grid", "quantize_dual_grid"]

_TOLERANCE = 1e-3


def quantize_dual_grid(grid: DualGrid) -> SparseVoxels:
    """Attributes `vertices` uint8 `[N, 3]` and `intersected` uint8 `[N, 1]` (bit a: the edge along axis a).

    Raises:
        InputError: a dual vertex is more than a thousandth of a voxel outside its voxel.
    """
    dual = grid.dual_vertices.detach()
    if dual.numel() and not bool(((dual >= -_TOLERANCE) & (dual <= 1 + _TOLERANCE)).all()):
        raise InputError(
            "Expected dual vertices inside their voxels, got offsets "
            f"from {float(dual.min()):g} to {float(dual.max()):g}; clamp them to [0, 1] before storing."
        )
    vertices = (dual.clamp(0, 1) * 255).to(torch.uint8)
    bits = grid.intersected.to(torch.uint8)
    intersected = bits[:, 0] | bits[:, 1] << 1 | bits[:, 2] << 2
    return SparseVoxels(grid.coords, grid.resolution, {"vertices": vertices, "intersected": intersected[:, None]})


def dequantize_dual_grid(voxels: SparseVoxels) -> DualGrid:
    """Inverse of `quantize_dual_grid`, to within 1/255 of a voxel; other attributes are ignored.

    Raises:
        InputError: the voxels do not hold a dual grid.
    """
    vertices, intersected = voxels.attributes.get("vertices"), voxels.attributes.get("intersected")
    if vertices is None or intersected is None:
        found = ", ".join(voxels.attributes) or "none"
        raise InputError(
            f"Expected voxels with the attributes 'vertices' and 'intersected' of a dual grid, got {found}."
        )
    if vertices.dtype != torch.uint8 or vertices.shape[1:] != (3,) or intersected.dtype != torch.uint8:
        raise InputError(
            f"Expected uint8 'vertices' of shape [N, 3] and 'intersected' of shape [N, 1], got {vertices.dtype} "
            f"{tuple(vertices.shape)} and {intersected.dtype} {tuple(intersected.shape)}."
        )
    bits = intersected.reshape(len(vertices))
    flags = torch.stack([bits >> axis & 1 for axis in range(3)], 1).bool()
    return DualGrid(voxels.coords, vertices.float() / 255, flags, voxels.resolution)
