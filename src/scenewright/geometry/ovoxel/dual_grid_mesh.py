"""The triangle mesh of a flexible dual grid: one vertex per voxel, one quad per crossed grid edge.

Flag a of a voxel belongs to the grid edge along axis a at the voxel's maximum corner in the two other axes; the four
voxels round that edge, the flagged one first, are the quad's corners q0..q3. A quad with a missing corner is dropped.
Quads always wind the same way for their axis, so the mesh is NOT oriented: render it double-sided or re-orient it.

Legend: N voxels, Q quads, V vertices, F triangles. Frame: [-0.5, 0.5]^3, see docs/conventions.md#grid.
Source: microsoft/TRELLIS.2 o-voxel/o_voxel/convert/flexible_dual_grid.py. Work and memory are linear in N.
"""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenewright.compiled import njit
from scenewright.errors import InputError
from scenewright.geometry.ovoxel.voxelize_index import index_coords, row_at
from scenewright.sparse.hashing import CoordTable, coord_keys, key_offset
from scenewright.types import DualGrid, Mesh

__all__ = ["dual_grid_quads", "dual_grid_to_mesh", "split_quads"]

# Steps from the flagged voxel to q1, q2, q3, per axis of the crossed edge.
QUAD_STEPS = (
    ((0, 0, 1), (0, 1, 1), (0, 1, 0)),
    ((1, 0, 0), (1, 0, 1), (0, 0, 1)),
    ((0, 1, 0), (1, 1, 0), (1, 0, 0)),
)
_STEPS = np.array(QUAD_STEPS, np.int64)
# The brick index covers the bounding box with 4 bytes per 8^3 cells: 512 MB at most.
_MAX_BRICKS = 1 << 27


def dual_grid_to_mesh(grid: DualGrid, *, fan: bool = False) -> Mesh:
    """The surface stored in `grid`, in the cube's frame; V = N, vertex n belongs to row n even where no face uses it.

    Args:
        grid: `split_weight` picks each quad's diagonal: q0-q2 when w0 w2 > w1 w3, else q1-q3. Without weights the
            diagonal is always q0-q2, which is what the published converter does in effect.
        fan: training form. Every quad becomes four triangles round a centre vertex, a blend of both diagonals'
            midpoints by those products (evenly without weights); the Q centres follow the N vertices.

    Returns:
        Unoriented mesh on the grid's device, perhaps without faces. Differentiable in `dual_vertices`; with `fan` in
        `split_weight` too.

    Raises:
        InputError: a coordinate lies outside the grid.
    """
    coords = grid.coords
    if coords.numel() and (int(coords.min()) < 0 or int(coords.max()) >= grid.resolution):
        raise InputError(
            f"Expected voxel coordinates from 0 to {grid.resolution - 1}, got {int(coords.min())} to "
            f"{int(coords.max())}; is the resolution right?"
        )
    vertices = (coords + grid.dual_vertices) / grid.resolution - 0.5
    quads = dual_grid_quads(coords, grid.intersected)
    q0, q1, q2, q3 = quads.unbind(1)
    weight = grid.split_weight
    if fan:
        corners = vertices[quads.long()]
        weight = vertices.new_ones(len(coords)) if weight is None else weight
        even, odd = (weight[q0.long()] * weight[q2.long()])[:, None], (weight[q1.long()] * weight[q3.long()])[:, None]
        centres = (even * (corners[:, 0] + corners[:, 2]) + odd * (corners[:, 1] + corners[:, 3])) / (2 * (even + odd))
        centre = torch.arange(len(quads), device=quads.device, dtype=quads.dtype) + len(coords)
        triangles = [
            torch.stack(t, 1) for t in ((q0, q1, centre), (q1, q2, centre), (q2, q3, centre), (q3, q0, centre))
        ]
        return Mesh(torch.cat([vertices, centres]), torch.stack(triangles, 1).reshape(-1, 3))
    return Mesh(vertices, split_quads(quads, weight))


def split_quads(quads: Int[Tensor, "Q 4"], weight: Float[Tensor, " N"] | None = None) -> Int[Tensor, "Q2 3"]:
    """Two triangles per quad, on the diagonal q0-q2 where w0 w2 > w1 w3 (or without weights), else on q1-q3."""
    q0, q1, q2, q3 = quads.unbind(1)
    first, second = torch.stack([q0, q1, q2], 1), torch.stack([q0, q2, q3], 1)
    if weight is not None:
        is_even = (weight[q0.long()] * weight[q2.long()] > weight[q1.long()] * weight[q3.long()])[:, None]
        first = torch.where(is_even, first, torch.stack([q0, q1, q3], 1))
        second = torch.where(is_even, second, torch.stack([q3, q1, q2], 1))
    return torch.stack([first, second], 1).reshape(-1, 3)


def dual_grid_quads(coords: Int[Tensor, "N 3"], intersected: Bool[Tensor, "N 3"]) -> Int[Tensor, "Q 4"]:
    """Rows of the four voxels round each crossed edge (int32), by ascending (row, axis); incomplete ones dropped."""
    if coords.device.type == "cpu" and len(coords):
        rows = coords.int().contiguous().numpy()
        shape = rows.max(0).astype(np.int64) + 1
        if int(np.prod(-(-shape // 8))) <= _MAX_BRICKS:
            return torch.from_numpy(_quads_by_index(rows, intersected.contiguous().numpy(), shape))
    return _quads_by_sorting(coords, intersected)


def _quads_by_sorting(coords: Int[Tensor, "N 3"], intersected: Bool[Tensor, "N 3"]) -> Int[Tensor, "Q 4"]:
    """The plain path, on any device: binary search of each corner's key."""
    keys = coord_keys(torch.nn.functional.pad(coords.long(), (1, 0)))
    table = CoordTable(keys)
    row, axis = intersected.nonzero().unbind(1)
    offsets = torch.tensor([[key_offset(*step) for step in steps] for steps in QUAD_STEPS], device=coords.device)
    neighbours = table.rows((keys[row][:, None] + offsets[axis]).reshape(-1)).view(-1, 3)
    quads = torch.cat([row[:, None], neighbours], 1)
    return quads[(neighbours >= 0).all(1)].int()


@njit(cache=True, nogil=True)
@no_type_check
def _quads_by_index(coords, intersected, shape):
    """The fast path on the CPU: the same quads from the brick index."""
    top, bricks, _ = index_coords(coords, shape)
    nby, nbz = (shape[1] + 7) >> 3, (shape[2] + 7) >> 3
    quads = np.empty((np.sum(intersected), 4), np.int32)
    count = 0
    for n in range(coords.shape[0]):
        for axis in range(3):
            if not intersected[n, axis]:
                continue
            quads[count, 0] = n
            is_complete = True
            for corner in range(3):
                x = coords[n, 0] + _STEPS[axis, corner, 0]
                y = coords[n, 1] + _STEPS[axis, corner, 1]
                z = coords[n, 2] + _STEPS[axis, corner, 2]
                row = np.int64(-1)
                if x < shape[0] and y < shape[1] and z < shape[2]:
                    row = row_at(top, bricks, 0, nby, nbz, x, y, z)
                if row < 0:
                    is_complete = False
                    break
                quads[count, corner + 1] = row
            count += is_complete
    return quads[:count].copy()
