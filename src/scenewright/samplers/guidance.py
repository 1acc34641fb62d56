"""Velocity functions composed from others: classifier-free guidance, guidance in an interval, several images.

A velocity is any `velocity(x, t, step)` with flow time t in [0, 1] and the index of the sampling step. A network call
with a condition becomes one by `functools.partial` or a small closure; the functions here combine them.
"""

from collections.abc import Callable, Sequence

from torch import Tensor

__all__ = ["Velocity", "guided", "mean_velocity", "round_robin"]

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
