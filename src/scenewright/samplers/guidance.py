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
    "round_robin",
]

Velocity = Callable[[Tensor, float, int], Tensor]


def guided(
    conditional: Velocity,
    unconditional: Velocity,
    strength: float,
    interval: tuple[float, float] = (0.0, 1.0),
    *,
    rescale: float = 0.0,
    deviation: Callable[[Tensor], Tensor] | None = None,
    sigma_min: float = SIGMA_MIN,
) -> Velocity:
    """(1 + s) v_cond - s v_uncond while interval[0] <= t <= interval[1] (both ends included), else v_cond alone.

    A strength s of 0 is no guidance, -1 leaves the condition out; both evaluate one velocity only and rescale nothing.

    Args:
        rescale: share of the clean sample that the guided velocity points to that is brought to the deviation of the
            one that v_cond points to. Source: Lin et al. 2024, "Common diffusion noise schedules and sample steps are
            flawed", section 3.4, on clean samples.
        deviation: standard deviation of every sample, in a shape that broadcasts against the data: `dense_deviation`
            or `packed_deviation(...)`; needed by `rescale`.
    """
    if rescale > 0 and deviation is None:
        raise ValueError(
            "Rescaled guidance needs `deviation`: dense_deviation, or packed_deviation(...) of packed rows."
        )
    low, high = interval

    def velocity(x: Tensor, t: float, step: int) -> Tensor:
        if strength == 0 or not low <= t <= high:
            return conditional(x, t, step)
        if strength == -1:
            return unconditional(x, t, step)
        v_cond = conditional(x, t, step)
        v = (1 + strength) * v_cond - strength * unconditional(x, t, step)
        if rescale <= 0 or deviation is None:
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

    The dense and the packed case use different estimators, as published (microsoft/TRELLIS.2
    trellis2/pipelines/samplers/classifier_free_guidance_mixin.py).
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
