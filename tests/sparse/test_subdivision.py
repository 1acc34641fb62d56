"""Children and parents: by hand, round trips, and agreement with a dense reshape."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scenewright.sparse.subdivision import children_where, copy_to_children, grouped_by_parent, space_to_channel
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from tests.support.sparse_oracles import channel_to_space


def voxel_set(seed: int, batch_size: int = 2, side: int = 6) -> VoxelSet:
    """Random voxels of each item, rows of an item in random order."""
    generator = torch.Generator().manual_seed(seed)
    items = []
    for item in range(batch_size):
        rows = (torch.rand(side, side, side, generator=generator) < 0.3).nonzero().int()
        rows = torch.cat([rows, torch.tensor([[item, 0, 0]], dtype=torch.int32)]).unique(dim=0)
        rows = rows[torch.randperm(len(rows), generator=generator)]
        items.append(torch.nn.functional.pad(rows, (1, 0), value=item))
    return VoxelSet(torch.cat(items))


def test_the_first_axis_is_the_fastest_child_bit():
    division = children_where(VoxelSet(torch.tensor([[0, 3, 5, 7]], dtype=torch.int32)), torch.ones(1, 8).bool())
    assert division.fine.coords[1].tolist() == [0, 7, 10, 14]
    assert division.fine.coords[2].tolist() == [0, 6, 11, 14]
    assert division.fine.coords[4].tolist() == [0, 6, 10, 15]


@given(seed=st.integers(0, 10**6))
def test_moving_to_channels_and_back_is_the_identity_in_the_original_row_order(seed):
    voxels = voxel_set(seed)
    x = SparseTensor(torch.randn(len(voxels), 3), voxels)
    wide = space_to_channel(x)
    back = channel_to_space(wide, grouped_by_parent(voxels))
    assert back.voxels is voxels
    assert torch.equal(back.feats, x.feats)
    assert torch.equal(wide.coords, wide.coords.unique(dim=0))  # parents ascend
    assert torch.allclose(wide.feats.square().sum(), x.feats.square().sum())  # absent children are zero


@given(seed=st.integers(0, 10**6))
def test_children_that_existed_can_be_asked_for_again(seed):
    voxels = voxel_set(seed)
    division = grouped_by_parent(voxels)
    again = children_where(division.coarse, division.occupancy)
    assert torch.equal(again.fine.coords.unique(dim=0), voxels.coords.unique(dim=0))
    assert torch.equal(again.occupancy, division.occupancy)
    assert torch.equal(again.fine.coords[:, 1:] // 2, division.coarse.coords[again.parent, 1:])
    values = SparseTensor(torch.arange(len(division.coarse))[:, None].float(), division.coarse)
    assert torch.equal(copy_to_children(values, again).feats[:, 0].long(), again.parent)


@given(seed=st.integers(0, 10**6), begin=st.integers(0, 5), count=st.integers(0, 9))
def test_children_of_a_range_of_parents_are_found_in_any_row_order(seed, begin, count):
    division = grouped_by_parent(voxel_set(seed))
    end = min(begin + count, len(division.coarse))
    rows = division.children_of(slice(begin, end))
    parents = division.parent[rows]
    assert bool(((parents >= begin) & (parents < end)).all())
    assert len(parents) == int(((division.parent >= begin) & (division.parent < end)).sum())


def test_no_child_and_no_voxel_are_fine():
    voxels = voxel_set(0)
    none = children_where(voxels, torch.zeros(len(voxels), 8, dtype=torch.bool))
    assert len(none.fine) == 0
    assert none.fine.batch_size == 2
    empty = VoxelSet(torch.zeros(0, 4, dtype=torch.int32))
    assert space_to_channel(SparseTensor(torch.zeros(0, 2), empty)).feats.shape == (0, 16)


def test_a_subdivision_of_other_voxels_is_refused():
    division = grouped_by_parent(voxel_set(0))
    other = voxel_set(1)
    with pytest.raises(ValueError, match="does not fit"):
        channel_to_space(SparseTensor(torch.zeros(len(other), 8), other), division)
