"""Adaptive gradient clipping: the limit follows the norms seen, and broken steps leave it alone."""

import math

import pytest
import torch
from torch import nn

from scenewright.training.clip import AdaptiveGradClipper


def step(clipper: AdaptiveGradClipper, norm: float) -> float:
    """Norm after clipping of a gradient of the given norm, spread over two parameters."""
    parameters = [nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(2))]
    parameters[0].grad = torch.full((3,), norm / 2)
    parameters[1].grad = torch.full((1,), norm / 2)
    clipper.clip(parameters)  # the third has no gradient
    return math.sqrt(sum(float(parameter.grad.square().sum()) for parameter in parameters[:2]))


def test_small_gradients_pass_and_large_ones_are_brought_to_the_limit():
    clipper = AdaptiveGradClipper(max_norm=1.0)
    assert step(clipper, 0.5) == pytest.approx(0.5)
    assert step(clipper, 8.0) == pytest.approx(1.0, rel=1e-5)


def test_the_limit_falls_to_the_percentile_once_the_buffer_is_full_and_never_rises_above_the_maximum():
    clipper = AdaptiveGradClipper(max_norm=1.0, percentile=50, buffer_size=3)
    step(clipper, 0.2)
    step(clipper, 0.4)
    assert clipper.limit == 1.0
    step(clipper, 0.3)
    assert clipper.limit == pytest.approx(0.3)
    assert step(clipper, 0.9) == pytest.approx(0.3, rel=1e-5)
    for _ in range(3):
        step(clipper, 50.0)
    assert clipper.limit == 1.0


def test_a_norm_that_is_not_finite_is_not_remembered():
    clipper = AdaptiveGradClipper(max_norm=1.0, buffer_size=2)
    step(clipper, 0.1)
    step(clipper, math.inf)
    assert clipper.limit == 1.0
    assert clipper.state_dict()["norms"] == pytest.approx([0.1])


def test_its_state_can_be_saved_and_resumed():
    clipper = AdaptiveGradClipper(buffer_size=2)
    step(clipper, 0.1)
    step(clipper, 0.3)
    resumed = AdaptiveGradClipper(buffer_size=2)
    resumed.load_state_dict(clipper.state_dict())
    assert resumed.limit == clipper.limit
    assert step(resumed, 5.0) == pytest.approx(step(clipper, 5.0))
