"""The moving average of the weights."""

import pytest
import torch
from torch import nn

from scenewright.training.config import EmaConfig
from scenewright.training.ema import WeightAverage


def test_the_average_follows_its_recurrence():
    weight = nn.Parameter(torch.zeros(1))
    average = WeightAverage({"w": weight}, EmaConfig(0.9))
    expected = 0.0
    for step in range(1, 6):
        with torch.no_grad():
            weight.fill_(float(step))
        average.update()
        expected = 0.9 * expected + 0.1 * step
    assert float(average.averages["w"]) == pytest.approx(expected)


def test_warmup_forgets_the_start_and_reaches_the_decay():
    average = WeightAverage({"w": nn.Parameter(torch.zeros(1))}, EmaConfig(0.99, warmup=True))
    assert average.decay == pytest.approx(0.1)
    average.updates = 89
    assert average.decay == pytest.approx(90 / 99)
    average.updates = 10_000
    assert average.decay == 0.99


def test_parameters_hold_the_averages_only_inside_the_block():
    weight = nn.Parameter(torch.zeros(2, dtype=torch.bfloat16))
    average = WeightAverage({"w": weight}, EmaConfig(0.5))
    with torch.no_grad():
        weight.fill_(4)
    average.update()
    assert average.averages["w"].dtype == torch.float32
    with average.in_place():
        assert weight.tolist() == [2, 2]
    assert weight.tolist() == [4, 4]
