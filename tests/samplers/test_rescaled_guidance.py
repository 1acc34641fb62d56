"""Guidance: when one velocity is enough, an interval with both ends, rescaled clean samples."""

import pytest
import torch

from scenewright.samplers.flow import clean_sample, velocity_to
from scenewright.samplers.guidance import dense_deviation, guided, packed_deviation
from scenewright.samplers.schedule import rescaled_times


def counted(value: float, calls: list[float]):
    def velocity(x, t, step):
        calls.append(t)
        return value * x

    return velocity


X = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("strength", "asked"), [(0.0, (1, 0)), (-1.0, (0, 1)), (2.0, (1, 1))])
def test_without_guidance_or_without_condition_only_one_network_is_asked(strength, asked):
    with_condition, without = [], []
    velocity = guided(counted(2.0, with_condition), counted(5.0, without), strength)
    torch.testing.assert_close(velocity(X, 0.8, 0), ((1 + strength) * 2 - strength * 5) * X)
    assert (len(with_condition), len(without)) == asked


def test_the_ends_of_the_interval_belong_to_it():
    """The ninth of twelve times at rescale 3 is 0.6 exactly in float64: nine guided steps, not eight."""
    calls = []
    velocity = guided(counted(1.0, []), counted(2.0, calls), 6.5, (0.6, 1.0), rescale=0.5, deviation=dense_deviation)
    for step, t in enumerate(rescaled_times(12, 3.0)[:-1]):
        velocity(X, float(t), step)
    assert len(calls) == 9


def test_full_rescaling_gives_the_clean_sample_the_deviation_of_the_conditional_one():
    conditional = lambda x, t, step: 0.3 * x + 1  # noqa: E731
    velocity = guided(conditional, lambda x, t, step: -0.2 * x, 3.0, rescale=1.0, deviation=dense_deviation)
    wanted = dense_deviation(clean_sample(X, conditional(X, 0.7, 0), 0.7))
    torch.testing.assert_close(dense_deviation(clean_sample(X, velocity(X, 0.7, 0), 0.7)), wanted)


def test_rescaling_asks_for_a_deviation():
    with pytest.raises(ValueError, match="needs `deviation`"):
        guided(counted(1.0, []), counted(2.0, []), 6.5, rescale=0.7)


def test_packed_deviation_is_that_of_each_samples_rows():
    rows = torch.randn(9, 4)
    sample = torch.tensor([0] * 5 + [2] * 4)
    deviation = packed_deviation(sample, 3)(rows)
    assert deviation.shape == (9, 1)
    torch.testing.assert_close(deviation[0, 0], rows[:5].std(correction=0))
    torch.testing.assert_close(deviation[8, 0], rows[5:].std(correction=0))


def test_a_velocity_and_the_clean_sample_it_points_to_determine_each_other():
    v = torch.randn_like(X)
    torch.testing.assert_close(velocity_to(clean_sample(X, v, 0.4), X, 0.4), v)
