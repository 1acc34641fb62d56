"""Convolution in blocks of rows gives what convolution at once gives, with and without a kept neighbour map."""

import pytest
import torch

from scenewright.nn.sparse_conv import SparseConv3d
from scenewright.sparse import row_blocks
from scenewright.sparse.row_blocks import assembled, row_slices
from scenewright.sparse.tensor import SparseTensor, VoxelSet


def cloud(count: int = 200) -> VoxelSet:
    rows = torch.randint(0, 7, (count, 3), generator=torch.Generator().manual_seed(1)).unique(dim=0)
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(2))]
    return VoxelSet(torch.cat([torch.nn.functional.pad(rows, (1, 0), value=item) for item in (0, 1)]).int())


@pytest.mark.parametrize("kept_rows", [0, 1 << 21])
@pytest.mark.parametrize("rows_per_block", [1, 7, 100, 10**6])
@pytest.mark.parametrize("dilation", [1, 2])
def test_blocks_agree_with_the_whole(kept_rows, rows_per_block, dilation, monkeypatch):
    monkeypatch.setattr(row_blocks, "_MAX_KEPT_ROWS", kept_rows)
    voxels = cloud()
    layer = SparseConv3d(5, 3, dilation=dilation)
    x = SparseTensor(torch.randn(len(voxels), 5), voxels)
    blocks = list(layer.by_rows(x, rows_per_block))
    assert sum(rows.stop - rows.start for rows, _ in blocks) == len(voxels)
    torch.testing.assert_close(assembled(len(voxels), iter(blocks)), layer(x).feats)


def test_slices_cover_all_rows_and_an_empty_set_gets_one():
    assert [(rows.start, rows.stop) for rows in row_slices(7, 3)] == [(0, 3), (3, 6), (6, 7)]
    assert list(row_slices(0, 3)) == [slice(0, 0)]


def test_an_only_block_is_passed_on_without_a_copy():
    values = torch.randn(4, 2)
    assert assembled(4, iter([(slice(0, 4), values)])) is values
    order = torch.tensor([2, 0, 3, 1])
    assert torch.equal(assembled(4, iter([(order, values)]))[order], values)
