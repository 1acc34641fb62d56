"""Times, noised samples, dropped conditions and the loss of rectified flow."""

import pytest
import torch

from scenewright.errors import InputError
from scenewright.samplers.flow import SIGMA_MIN, clean_sample, velocity_target
from scenewright.training.flow_matching import TimeSchedule, drop_condition, flow_loss, noised, sample_times


def test_logit_normal_times_have_their_median_and_quartiles():
    torch.manual_seed(0)
    t = sample_times(40_000, TimeSchedule("logit_normal", 1.0, 1.0))
    quartiles = torch.quantile(t, torch.tensor([0.25, 0.5, 0.75]))
    expected = torch.sigmoid(1 + torch.tensor([-0.6745, 0.0, 0.6745]))
    torch.testing.assert_close(quartiles, expected, atol=0.01, rtol=0)


def test_uniform_times_fill_the_interval():
    torch.manual_seed(0)
    t = sample_times(40_000, TimeSchedule("uniform"))
    assert t.min() >= 0
    assert t.max() < 1
    assert torch.histc(t, 10, 0, 1).div(4000).sub(1).abs().max() < 0.1


def test_an_unknown_schedule_is_refused():
    with pytest.raises(InputError, match="logit_normal or uniform, got 'normal'"):
        TimeSchedule("normal")


def test_the_true_velocity_leads_back_to_the_sample_and_has_no_loss():
    torch.manual_seed(0)
    x_0, t = torch.randn(5, 3, 2), torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0])
    x_t, noise = noised(x_0, t)
    velocity = velocity_target(x_0, noise)
    torch.testing.assert_close(clean_sample(x_t, velocity, t.view(-1, 1, 1)), x_0, atol=1e-5, rtol=1e-4)
    assert flow_loss(velocity, x_0, noise) == 0
    assert flow_loss(velocity + 2, x_0, noise) == pytest.approx(4)


def test_the_ends_of_time_are_the_sample_and_the_noise():
    x_0 = torch.randn(2, 4)
    x_t, noise = noised(x_0, torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(x_t[0], x_0[0] + SIGMA_MIN * noise[0])
    torch.testing.assert_close(x_t[1], noise[1])


def test_conditions_are_dropped_by_whole_rows_at_the_given_rate():
    torch.manual_seed(0)
    cond = torch.ones(4000, 3, 2)
    dropped = drop_condition(cond, 0.1)
    rows = dropped.flatten(1)
    assert bool(((rows == 0).all(1) | (rows == 1).all(1)).all())
    assert (rows[:, 0] == 0).float().mean() == pytest.approx(0.1, abs=0.02)
    assert torch.equal(drop_condition(cond, 0.0), cond)
    assert not drop_condition(cond, 1.0).any()
