"""Exact evaluation of per-voxel networks in blocks of output rows, so that temporaries stay small at any voxel count.

A submanifold convolution reads any input row but writes one row per voxel; so its output rows can be computed block by
block, with whatever follows per row, without halos and with the same result. Beyond a voxel count the neighbour map
itself is not kept either: each block looks its neighbours up.

Legend: N voxels.
"""

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor

from scenewright.sparse.hashing import key_offset
from scenewright.sparse.kernel_map import KernelMap, submanifold_map
from scenewright.sparse.tensor import VoxelSet

__all__ = ["assembled", "blocked_maps", "row_slices"]

# Neighbour maps of larger voxel sets (about 200 bytes per voxel of a surface) are looked up block by block.
_MAX_KEPT_ROWS = 1 << 21


def row_slices(num_rows: int, rows_per_block: int) -> Iterator[slice]:
    """Consecutive slices that cover `num_rows` rows; one empty slice where there is no row."""
    for begin in range(0, max(num_rows, 1), rows_per_block):
        yield slice(begin, min(begin + rows_per_block, num_rows))


def assembled(num_rows: int, blocks: Iterator[tuple[slice | Tensor, Tensor]]) -> Tensor:
    """One tensor of `num_rows` rows from pairs (rows, values); rows are a slice or indices.

    A first block with all rows, in order, is returned as it is: differentiable and without a copy.
    """
    out: Tensor | None = None
    for rows, values in blocks:
        if out is None:
            if isinstance(rows, slice) and len(values) == num_rows:
                return values
            out = values.new_empty(num_rows, *values.shape[1:])
        out[rows] = values
    assert out is not None, "no block was given"
    return out


def blocked_maps(
    voxels: VoxelSet, kernel_size: int, dilation: int, rows_per_block: int
) -> Iterator[tuple[slice, KernelMap]]:
    """The submanifold map of `voxels` cut into blocks of target rows; targets of a block count from its first row."""
    if len(voxels) <= rows_per_block:
        yield slice(0, len(voxels)), submanifold_map(voxels, kernel_size, dilation)
    elif len(voxels) <= _MAX_KEPT_ROWS:
        yield from _cut(submanifold_map(voxels, kernel_size, dilation), rows_per_block)
    else:
        for rows in row_slices(len(voxels), rows_per_block):
            yield rows, _map_of_rows(voxels, kernel_size, dilation, rows)


def _cut(kernel_map: KernelMap, rows_per_block: int) -> Iterator[tuple[slice, KernelMap]]:
    blocks = list(row_slices(kernel_map.num_targets, rows_per_block))
    borders = torch.tensor([rows.start for rows in blocks], device=kernel_map.targets[0].device)
    begins = [[*torch.searchsorted(target, borders).tolist(), len(target)] for target in kernel_map.targets]
    for index, rows in enumerate(blocks):
        pairs = [slice(begin[index], begin[index + 1]) for begin in begins]
        yield (
            rows,
            KernelMap(
                tuple(source[pair] for source, pair in zip(kernel_map.sources, pairs, strict=True)),
                tuple(target[pair] - rows.start for target, pair in zip(kernel_map.targets, pairs, strict=True)),
                kernel_map.num_sources,
                rows.stop - rows.start,
            ),
        )


def _map_of_rows(voxels: VoxelSet, kernel_size: int, dilation: int, rows: slice) -> KernelMap:
    radius = (kernel_size - 1) // 2
    keys = voxels.keys[rows]
    pairs = [
        voxels.table.find(keys + key_offset(*((step - radius) * dilation for step in tap)))
        for tap in product(range(kernel_size), repeat=3)
    ]
    targets, sources = zip(*pairs, strict=True)
    return KernelMap(sources, targets, len(voxels), len(keys))
