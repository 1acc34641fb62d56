"""Which rooms are drawn for training, and how they are divided into micro-batches."""

import numpy as np
import pytest
import torch

from scenewright.systems.inspace.training_samples import area_weights, balanced_micro_batches


@pytest.mark.parametrize(
    ("loads", "groups"),
    [
        ([1, 2, 3], [[2], [1], [0], []]),
        ([8, 9, 5, 2], [[1], [0], [2], [3]]),
        ([2, 9, 6, 5, 1], [[1], [2], [3], [0, 4]]),
    ],
)
def test_the_heaviest_sample_goes_into_the_lightest_group(loads: list[int], groups: list[list[int]]) -> None:
    assert balanced_micro_batches(loads, 4) == groups


def test_equal_loads_come_in_the_reverse_of_the_default_order() -> None:
    order = np.argsort([7, 7, 7, 7])[::-1].tolist()
    assert balanced_micro_batches([7, 7, 7, 7], 4) == [[sample] for sample in order]


def test_large_rooms_are_drawn_more_often() -> None:
    areas = torch.tensor([-1.0, 19.9, 20.0, 30.0])
    assert area_weights(areas).tolist() == [1, 1, 3, 4]
    assert area_weights(areas, (10, 25), (1, 2, 5)).tolist() == [1, 2, 2, 5]
