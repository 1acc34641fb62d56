"""Halving and doubling: means by hand, exact restoration of the original rows, refusal of strangers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scenewright.sparse.resample import downsample, pooling, subdivide, upsample
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from tests.sparse.strategies import voxel_sets


def test_mean_of_children_by_hand() -> None:
    coords = torch.tensor([[0, 3, 3, 3], [0, 2, 2, 2], [0, 0, 0, 1]], dtype=torch.int32)
    x = SparseTensor(torch.tensor([[2.0], [4.0], [10.0]]), coords)
    down = downsample(x)
    assert down.coords.tolist() == [[0, 0, 0, 0], [0, 1, 1, 1]]
    assert down.feats.flatten().tolist() == [10.0, 3.0]
    # TRELLIS counts the zero that the sum starts from.
    assert downsample(x, count_offset=1).feats.flatten().tolist() == [5.0, 2.0]


def test_largest_child_by_hand_also_below_zero() -> None:
    coords = torch.tensor([[0, 3, 3, 3], [0, 2, 2, 2], [0, 0, 0, 1]], dtype=torch.int32)
    down = downsample(SparseTensor(torch.tensor([[2.0, -5.0], [4.0, -6.0], [-1.0, 0.0]]), coords), mode="max")
    assert down.feats.tolist() == [[-1.0, 0.0], [4.0, -5.0]]


def test_each_axis_may_have_its_own_factor() -> None:
    coords = torch.tensor([[0, 3, 3, 3], [0, 2, 2, 2], [0, 0, 0, 1]], dtype=torch.int32)
    x = SparseTensor(torch.tensor([[2.0], [4.0], [10.0]]), coords)
    down = downsample(x, (4, 1, 2))
    assert down.coords.tolist() == [[0, 0, 0, 0], [0, 0, 2, 1], [0, 0, 3, 1]]
    assert upsample(down, x.voxels, (4, 1, 2)).feats.flatten().tolist() == [2.0, 4.0, 10.0]


@given(voxel_sets(), st.integers(2, 3))
def test_upsampling_restores_voxels_in_their_original_order(voxels: VoxelSet, factor: int) -> None:
    x = SparseTensor(torch.arange(len(voxels), dtype=torch.float32)[:, None], voxels)
    down = downsample(x, factor)
    up = upsample(down, voxels, factor)
    assert up.voxels is voxels
    parents = {tuple(row): value for row, value in zip(down.coords.tolist(), down.feats.tolist(), strict=True)}
    for (b, *position), value in zip(voxels.coords.tolist(), up.feats.tolist(), strict=True):
        assert parents[(b, *(p // factor for p in position))] == value


@given(voxel_sets())
def test_subdividing_then_pooling_is_the_identity(voxels: VoxelSet) -> None:
    x = SparseTensor(torch.randn(len(voxels), 2), voxels)
    fine = subdivide(x)
    assert len(fine.feats) == 8 * len(x.feats)
    order = voxels.keys.argsort()
    torch.testing.assert_close(downsample(fine).feats, x.feats[order])
    assert torch.equal(pooling(fine.voxels).parents.coords, voxels.coords[order])


def test_children_come_in_lexicographic_order_of_their_offsets() -> None:
    fine = subdivide(SparseTensor(torch.ones(1, 1), torch.tensor([[0, 1, 2, 3]], dtype=torch.int32)))
    offsets = (fine.coords[:, 1:] - torch.tensor([2, 4, 6])).tolist()
    assert offsets == [[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]


def test_upsampling_to_unrelated_voxels_is_refused() -> None:
    down = downsample(SparseTensor(torch.ones(1, 1), torch.tensor([[0, 4, 4, 4]], dtype=torch.int32)))
    with pytest.raises(ValueError, match="not downsampled"):
        upsample(down, VoxelSet(torch.tensor([[0, 0, 0, 0]], dtype=torch.int32)))
