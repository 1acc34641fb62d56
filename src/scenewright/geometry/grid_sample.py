"""Values of a sparse voxel volume at arbitrary points.

A voxel's value sits at its centre, i + 0.5 in voxel units. Trilinear: the eight surrounding centres, missing voxels
left out and the remaining weights renormalised, zero where nothing is near. Nearest: the voxel that contains the
point.

Legend: N voxels, B batch, M queries per batch item, C channels. Frame: voxel units from the grid's low corner.
Source: JeffreyXiang/FlexGEMM flex_gemm/kernels/cuda/grid_sample/grid_sample.cu.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Literal, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.compiled import njit
from scenewright.geometry.ovoxel.voxelize_index import index_coords, row_at
from scenewright.machine import available_cores
from scenewright.sparse.hashing import MAX_COORDINATE, CoordTable, coord_keys

__all__ = [
    "sample_sparse_grid",
]

Mode = Literal["trilinear", "nearest"]

_TINY_WEIGHT = 1e-12
_MAX_BRICKS = 1 << 27
_CHUNK = 1 << 16


def sample_sparse_grid(
    coords: Int[Tensor, "N 4"], feats: Float[Tensor, "N C"], query: Float[Tensor, "B M 3"], mode: Mode = "trilinear"
) -> Float[Tensor, "B M C"]:
    """Values at `query`, in voxel units, of the batch items that `coords` (batch, x, y, z) name.

    Linear in queries plus voxels. Differentiable in `feats` (trilinear also in `query`); on the CPU, where no
    gradient is asked for, a compiled path gives the same numbers faster.
    """
    wants_gradient = torch.is_grad_enabled() and (feats.requires_grad or query.requires_grad)
    if feats.device.type == "cpu" and not wants_gradient and feats.dtype == query.dtype == torch.float32:
        sampled = [_sample_item(coords, feats, query, item, mode) for item in range(len(query))]
        if all(item is not None for item in sampled):
            return torch.stack([item for item in sampled if item is not None]) if sampled else _nothing(feats, query)
    return _sample_by_sorting(coords, feats, query, mode)


def _nothing(feats: Tensor, query: Tensor) -> Tensor:
    return feats.new_zeros(*query.shape[:2], feats.shape[1])


def _sample_item(coords: Tensor, feats: Tensor, query: Tensor, item: int, mode: Mode) -> Tensor | None:
    """One batch item by the compiled path; None where its bounding box is too large for the index."""
    rows = (coords[:, 0] == item).nonzero().squeeze(1)
    if not len(rows) or not query.shape[1]:
        return feats.new_zeros(query.shape[1], feats.shape[1])
    is_all = len(rows) == len(coords)
    own = (coords[:, 1:] if is_all else coords[rows, 1:]).int().contiguous().numpy()
    values = (feats if is_all else feats[rows]).detach().contiguous().numpy()
    shape = own.max(0).astype(np.int64) + 1
    if own.min() < 0 or int(np.prod(-(-shape // 8))) > _MAX_BRICKS:
        return None
    points = query[item].detach().contiguous().numpy()
    top, bricks, _ = index_coords(own, shape)
    out = np.zeros((len(points), values.shape[1]), np.float32)
    sample = _trilinear_by_index if mode == "trilinear" else _nearest_by_index
    if len(points) <= _CHUNK:
        sample(top, bricks, shape, values, points, out)
        return torch.from_numpy(out)
    # The kernels release the interpreter lock; slices of `out` are written in place.
    with ThreadPoolExecutor(available_cores()) as pool:
        starts = range(0, len(points), _CHUNK)
        pieces = [(points[at : at + _CHUNK], out[at : at + _CHUNK]) for at in starts]
        list(pool.map(lambda piece: sample(top, bricks, shape, values, *piece), pieces))
    return torch.from_numpy(out)


def _sample_by_sorting(coords: Tensor, feats: Tensor, query: Tensor, mode: Mode) -> Tensor:
    """The plain path, on any device: binary search of each corner's key."""
    table = CoordTable(coord_keys(coords))
    num_items, num_queries, _ = query.shape
    item = torch.arange(num_items, device=query.device)[:, None].expand(num_items, num_queries)

    def rows_of(cell: Tensor) -> Tensor:
        inside = ((cell >= 0) & (cell <= MAX_COORDINATE)).all(-1)
        keys = coord_keys(torch.cat([item[..., None], cell.clamp(0, MAX_COORDINATE)], -1).reshape(-1, 4))
        return torch.where(inside.reshape(-1), table.rows(keys), -1).view(num_items, num_queries)

    if mode == "nearest":
        row = rows_of(query.trunc().long())
        return torch.where(row[..., None] >= 0, feats[row.clamp(min=0)], 0.0) if len(feats) else _nothing(feats, query)
    base = (query - 0.5).floor()
    total, weights = _nothing(feats, query), query.new_zeros(num_items, num_queries, 1)
    for corner in range(8) if len(feats) else ():
        cell = base + base.new_tensor([corner >> 2, corner >> 1 & 1, corner & 1])
        row = rows_of(cell.long())
        weight = (1 - (query - cell - 0.5).abs()).prod(-1, keepdim=True) * (row >= 0)[..., None]
        total = total + weight * feats[row.clamp(min=0)]
        weights = weights + weight
    return total / weights.clamp(min=_TINY_WEIGHT)


@njit(cache=True, nogil=True)
@no_type_check
def _row(top, bricks, shape, x, y, z):
    # Asked this way round, a position that is not a number lies outside.
    if not (0 <= x < shape[0] and 0 <= y < shape[1] and 0 <= z < shape[2]):
        return np.int64(-1)
    return row_at(top, bricks, 0, (shape[1] + 7) >> 3, (shape[2] + 7) >> 3, np.int64(x), np.int64(y), np.int64(z))


@njit(cache=True, nogil=True)
@no_type_check
def _nearest_by_index(top, bricks, shape, values, points, out):
    for n in range(points.shape[0]):
        row = _row(top, bricks, shape, np.trunc(points[n, 0]), np.trunc(points[n, 1]), np.trunc(points[n, 2]))
        if row >= 0:
            out[n] = values[row]


@njit(cache=True, nogil=True)
@no_type_check
def _trilinear_by_index(top, bricks, shape, values, points, out):
    for n in range(points.shape[0]):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        bx, by, bz = np.floor(x - 0.5), np.floor(y - 0.5), np.floor(z - 0.5)
        weights = 0.0
        for corner in range(8):
            cx, cy, cz = bx + (corner >> 2), by + (corner >> 1 & 1), bz + (corner & 1)
            row = _row(top, bricks, shape, cx, cy, cz)
            if row >= 0:
                weight = (1.0 - abs(x - cx - 0.5)) * (1.0 - abs(y - cy - 0.5)) * (1.0 - abs(z - cz - 0.5))
                weights += weight
                for channel in range(values.shape[1]):
                    out[n, channel] += weight * values[row, channel]
        if weights > 0.0:
            scale = 1.0 / max(weights, _TINY_WEIGHT)
            for channel in range(values.shape[1]):
                out[n, channel] *= scale
