"""Random voxel sets for property tests."""

import torch
from hypothesis import strategies as st
from torch import Tensor

from scenewright.sparse.tensor import VoxelSet


@st.composite
def voxel_sets(draw: st.DrawFn, max_size: int = 60, side: int = 7, max_batch: int = 3) -> VoxelSet:
    """Distinct voxels, batch items contiguous, rows of an item in random order; items may be empty."""
    batch_size = draw(st.integers(1, max_batch))
    cells = draw(st.sets(st.integers(0, batch_size * side**3 - 1), max_size=max_size))
    shuffled = draw(st.permutations(sorted(cells)))
    return VoxelSet(coords_of(sorted(shuffled, key=lambda cell: cell // side**3), side), batch_size)


def coords_of(cells: list[int], side: int) -> Tensor:
    rows = [(c // side**3, c // side**2 % side, c // side % side, c % side) for c in cells]
    return torch.tensor(rows, dtype=torch.int32).reshape(-1, 4)


def dense(feats: Tensor, coords: Tensor, batch_size: int, side: int) -> Tensor:
    """Rows scattered into a zero grid `[B, C, side, side, side]`."""
    grid = feats.new_zeros(batch_size, side, side, side, feats.shape[1])
    grid[tuple(coords.long().unbind(1))] = feats
    return grid.movedim(-1, 1)
