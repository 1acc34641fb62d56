"""The Euler loop, its schedule and guidance, against closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from scenewright.samplers.config import Quality, SamplerConfig, SamplingOverride
from scenewright.samplers.euler import euler
from scenewright.samplers.flow import clean_sample, interpolate, velocity_target
from scenewright.samplers.guidance import guided, mean_velocity, round_robin
from scenewright.samplers.schedule import rescaled_times


@given(st.integers(1, 60), st.floats(0.2, 8))
def test_times_fall_from_one_to_zero(steps: int, rescale: float) -> None:
    times = rescaled_times(steps, rescale)
    assert times[0] == pytest.approx(1, abs=1e-12)
    assert times[-1] == 0
    assert len(times) == steps + 1
    assert bool((np.diff(times) < 0).all())


def test_published_schedule_guides_nineteen_of_twenty_five_steps() -> None:
    times = rescaled_times(25, 3.0)[:-1]
    assert int(((times >= 0.5) & (times <= 1.0)).sum()) == 19


@pytest.mark.parametrize(
    ("usual", "quality", "expected"),
    [
        *((25, "draft", 12), (25, "standard", 25), (25, "best", 50)),
        *((12, "draft", 6), (8, "draft", 4), (8, "best", 8), (3, "draft", 3), (3, "best", 3)),
    ],
)
def test_a_quality_halves_or_doubles_steps_but_few_stay_few(usual: int, quality: Quality, expected: int) -> None:
    published = SamplerConfig(steps=usual, guidance_strength=2.0)
    changed = published.overridden(SamplingOverride(quality=quality))
    assert changed == replace(published, steps=expected)
    assert published.overridden(SamplingOverride(steps=7, quality=quality)).steps == 7


def test_zero_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one step"):
        rescaled_times(0)


@given(st.integers(1, 30), st.floats(0.5, 5))
def test_a_straight_flow_is_integrated_exactly(steps: int, rescale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x_0, noise = (torch.randn(2, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    v = velocity_target(x_0, noise)
    start = interpolate(x_0, noise, 1.0)
    end = euler(lambda x, t, step: v, start, rescaled_times(steps, rescale))
    torch.testing.assert_close(end, interpolate(x_0, noise, 0.0))


@given(st.floats(0, 1))
def test_the_clean_sample_is_recovered_from_the_true_velocity(t: float) -> None:
    x_0, noise = torch.randn(4, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    estimate = clean_sample(interpolate(x_0, noise, t), velocity_target(x_0, noise), t)
    torch.testing.assert_close(estimate, x_0)


def test_guidance_acts_on_both_ends_of_its_interval_and_costs_nothing_outside() -> None:
    unconditional_calls = []

    def unconditional(x: Tensor, t: float, step: int) -> Tensor:
        unconditional_calls.append(t)
        return torch.ones(1)

    velocity = guided(lambda x, t, step: torch.full((1,), 3.0), unconditional, 2.0, (0.25, 0.75))
    values = [velocity(torch.zeros(1), t, 0).item() for t in (1.0, 0.75, 0.5, 0.25, 0.2)]
    assert values == [3.0, 7.0, 7.0, 7.0, 3.0]
    assert unconditional_calls == [0.75, 0.5, 0.25]


def test_several_images_take_turns_or_are_averaged() -> None:
    velocities = [lambda x, t, step, value=value: torch.full((1,), value) for value in (1.0, 2.0, 6.0)]
    assert [round_robin(velocities)(torch.zeros(1), 0.5, step).item() for step in range(4)] == [1.0, 2.0, 6.0, 1.0]
    assert mean_velocity(velocities)(torch.zeros(1), 0.5, 0).item() == 3.0


def test_every_step_is_reported_before_it_is_taken() -> None:
    seen = []
    euler(
        lambda x, t, step: torch.ones(1),
        torch.zeros(1),
        [1.0, 0.5, 0.0],
        on_step=lambda step, t, x, v: seen.append((step, t, x.item())),
    )
    assert seen == [(0, 1.0, 0.0), (1, 0.5, -0.5)]
