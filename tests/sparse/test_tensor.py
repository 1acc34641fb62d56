"""Voxel sets: batch layout, caching, and what is refused."""

import pytest
import torch

from scenewright.sparse.tensor import SparseTensor, VoxelSet


def coords(*rows: tuple[int, int, int, int]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.int32).reshape(-1, 4)


def test_lengths_count_empty_middle_and_last_items() -> None:
    voxels = VoxelSet(coords((0, 1, 1, 1), (0, 0, 0, 0), (2, 5, 5, 5)), batch_size=4)
    assert voxels.lengths == (2, 0, 1, 0)


def test_batch_size_defaults_to_the_largest_index() -> None:
    assert VoxelSet(coords((0, 0, 0, 0), (2, 0, 0, 0))).batch_size == 3
    assert VoxelSet(coords()).batch_size == 0


def test_interleaved_batch_items_are_refused() -> None:
    with pytest.raises(ValueError, match="contiguous"):
        VoxelSet(coords((1, 0, 0, 0), (0, 0, 0, 0)))


def test_batch_size_below_the_coordinates_is_refused() -> None:
    with pytest.raises(ValueError, match="batch size 1"):
        VoxelSet(coords((0, 0, 0, 0), (1, 0, 0, 0)), batch_size=1)


def test_negative_coordinates_are_refused_when_keys_are_needed() -> None:
    with pytest.raises(ValueError, match=r"\[0, "):
        _ = VoxelSet(coords((0, -1, 0, 0))).keys


def test_feature_rows_must_match_the_voxels() -> None:
    with pytest.raises(ValueError, match="2 rows of features for 1 voxels"):
        SparseTensor(torch.zeros(2, 3), coords((0, 0, 0, 0)))


def test_maps_are_built_once_and_shared_by_replaced_tensors() -> None:
    x = SparseTensor(torch.zeros(1, 3), coords((0, 0, 0, 0)))
    built = []
    first = x.voxels.cached("thing", lambda: built.append(1) or object())
    second = x.replace(torch.ones(1, 2)).voxels.cached("thing", lambda: built.append(1) or object())
    assert first is second
    assert built == [1]


def test_item_gives_the_rows_of_one_batch_item() -> None:
    x = SparseTensor(torch.arange(3.0)[:, None], coords((0, 1, 1, 1), (2, 2, 2, 2), (2, 3, 3, 3)))
    item_coords, feats = x.item(2)
    assert item_coords.tolist() == [[2, 2, 2], [3, 3, 3]]
    assert feats.flatten().tolist() == [1.0, 2.0]
