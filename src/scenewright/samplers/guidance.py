"""Velocity functions composed from others: classifier-free guidance, guidance in an interval, several images.

A velocity is any `velocity(x, t, step)` with flow time t in [0, 1] and the index of the sampling step. A network call
with a condition becomes one by `functools.partial` or a small closure; the functions here combine them.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from scenewright.samplers.flow import SIGMA_MIN, clean_sample, velocity_to

__all__ = [
    "Velocity",
    "dense_deviation",
    "guided",
    "mean_velocity",
    "packed_deviation",
    "rescaled_guidance",
    "round_robin",
]

Velocity = Callable[[Tensor, float, int], Tensor]


def guided(
    conditional: Velocity,
    unconditional: Velocity,
    strength: float,
    interval: tuple[float, float] = (0.0, 1.0),
) -> Velocity:
    """(1 + s) v_cond - s v_uncond while interval[0] <= t <= interval[1] (both ends included), else v_cond alone.

    This is the form TRELLIS v1 publishes its strengths in: s = 0 is no guidance. The unconditional velocity is not
    evaluated outside the interval.
    """
    low, high = interval

    def velocity(x: Tensor, t: float, step: int) -> Tensor:
        v = conditional(x, t, step)
        if not low <= t <= high:
            return v
        return (1 + strength) * v - strength * unconditional(x, t, step)

    return velocity


def rescaled_guidance(
    conditional: Velocity,
    unconditional: Velocity,
    strength: float,
    *,
    interval: tuple[float, float] = (0.0, 1.0),
    rescale: float = 0.0,
    deviation: Callable[[Tensor], Tensor],
    sigma_min: float = SIGMA_MIN,
) -> Velocity:
    """g v_cond + (1 - g) v_uncond while interval[0] <= t <= interval[1] (both ends included), else v_cond alone.

    This is the form TRELLIS.2 publishes its strengths in: g = 1 is no guidance and g = 0 leaves the condition out; in
    both cases only one velocity is evaluated and nothing is rescaled. Otherwise a share `rescale` of the clean sample
    that the guided velocity points to is brought to the deviation of the one that v_cond points to.

    Args:
        deviation: standard deviation of every sample, in a shape that broadcasts against the data: `dense_deviation`
            or `packed_deviation(...)`.
    """
    low, high = interval

    def velocity(x: Tensor, t: float, step: int) -> Tensor:
        if strength == 1 or not low <= t <= high:
            return conditional(x, t, step)
        if strength == 0:
            return unconditional(x, t, step)
        v_cond = conditional(x, t, step)
        v = strength * v_cond + (1 - strength) * unconditional(x, t, step)
        if rescale <= 0:
            return v
        x_0 = clean_sample(x, v, t, sigma_min)
        ratio = deviation(clean_sample(x, v_cond, t, sigma_min)) / deviation(x_0)
        return velocity_to(rescale * ratio * x_0 + (1 - rescale) * x_0, x, t, sigma_min)

    return velocity


def dense_deviation(x: Tensor) -> Tensor:
    """Unbiased standard deviation of each sample of a `[B, ...]` tensor over all other axes, kept as ones."""
    return x.std(dim=tuple(range(1, x.ndim)), keepdim=True)


def packed_deviation(sample_of_row: Tensor, num_samples: int) -> Callable[[Tensor], Tensor]:
    """Population standard deviation of each sample's rows and channels, as one value per row `[N, 1]`.

    The dense and the packed case use different estimators, as published (trellis2 sheet, section 10).
    """
    counts = torch.bincount(sample_of_row, minlength=num_samples).clamp(min=1)

    def mean_per_row(values: Tensor) -> Tensor:
        return (values.new_zeros(num_samples).index_add(0, sample_of_row, values) / counts)[sample_of_row, None]

    def deviation(x: Tensor) -> Tensor:
        centred = x - mean_per_row(x.mean(1))
        return mean_per_row(centred.square().mean(1)).sqrt()

    return deviation


def round_robin(velocities: Sequence[Velocity]) -> Velocity:
    """Uses one velocity per step in turn: the "stochastic" way to sample from several images."""
    return lambda x, t, step: velocities[step % len(velocities)](x, t, step)


def mean_velocity(velocities: Sequence[Velocity]) -> Velocity:
    """Mean of all velocities at every step: the "multidiffusion" way to sample from several images."""

    def velocity(x: Tensor, t: float, step: int) -> Tensor:
        total = velocities[0](x, t, step)
        for other in velocities[1:]:
            total = total + other(x, t, step)
        return total / len(velocities)

    return velocity
