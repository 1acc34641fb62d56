"""Overlap of cells and pairing of parts, by hand."""

import pytest
import torch

from scenewright.metrics.voxels import match_parts, voxel_overlap


def test_overlap_counts_cells_once() -> None:
    first = torch.tensor([[0, 0, 0], [0, 0, 0], [1, 0, 0]])
    second = torch.tensor([[1, 0, 0], [2, 0, 0], [3, 0, 0]])
    overlap = voxel_overlap(first, second)
    assert (overlap.shared, overlap.predicted, overlap.true) == (1, 2, 3)
    assert overlap.iou == pytest.approx(1 / 4)
    assert overlap.f1 == pytest.approx(2 / 5)
    assert voxel_overlap(first[:0], second[:0]).iou == 0


def test_the_nearest_pair_is_matched_first_and_empty_parts_never() -> None:
    cells = torch.zeros(1, 3)
    parts = [cells + 3, cells[:0], cells + 1]
    matches = match_parts(parts, [cells, cells + 40], 9.6)
    assert [(m.predicted, m.true) for m in matches] == [(2, 0)]
    assert matches[0].distance == pytest.approx(3**0.5)
    assert match_parts([], [cells], 9.6) == []
