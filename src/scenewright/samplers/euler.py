"""The Euler loop that every system samples with."""

from collections.abc import Callable, Sequence

from numpy import ndarray
from torch import Tensor

from scenewright.samplers.guidance import Velocity

__all__ = ["euler"]


def euler(
    velocity: Velocity,
    noise: Tensor,
    times: Sequence[float] | ndarray,
    *,
    on_step: Callable[[int, float, Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Integrates dx/dt = velocity from times[0] (noise) to times[-1] (data).

    Args:
        velocity: called as velocity(x, t, step) once per step.
        noise: state at times[0]: dense `[B, ...]` or the features `[T, C]` of packed voxels.
        times: descending grid, `rescaled_times(...)`.
        on_step: called as on_step(step, t, x_t, v) before x_t is advanced; for progress bars and trajectories.

    Returns:
        The state at times[-1], in the dtype of `noise`.
    """
    x = noise
    for step in range(len(times) - 1):
        t, t_next = float(times[step]), float(times[step + 1])
        v = velocity(x, t, step)
        if on_step is not None:
            on_step(step, t, x, v)
        x = x - (t - t_next) * v
    return x
