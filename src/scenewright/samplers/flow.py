"""The rectified flow between data (t = 0) and noise (t = 1): x_t, its velocity, and the way back to the clean sample.

x_t = (1 - t) x_0 + (sigma_min + (1 - sigma_min) t) noise, velocity = (1 - sigma_min) noise - x_0.
Source: TRELLIS, released sampler and trainer.
"""

from torch import Tensor

__all__ = ["SIGMA_MIN", "clean_sample", "interpolate", "velocity_target", "velocity_to"]

SIGMA_MIN = 1e-5


def interpolate(x_0: Tensor, noise: Tensor, t: float | Tensor, sigma_min: float = SIGMA_MIN) -> Tensor:
    """x_t; `t` broadcasts against the data."""
    return (1 - t) * x_0 + (sigma_min + (1 - sigma_min) * t) * noise


def velocity_target(x_0: Tensor, noise: Tensor, sigma_min: float = SIGMA_MIN) -> Tensor:
    """The velocity a flow network is trained to predict."""
    return (1 - sigma_min) * noise - x_0


def clean_sample(x_t: Tensor, velocity: Tensor, t: float | Tensor, sigma_min: float = SIGMA_MIN) -> Tensor:
    """The x_0 that `velocity` at (x_t, t) points to."""
    return (1 - sigma_min) * x_t - (sigma_min + (1 - sigma_min) * t) * velocity


def velocity_to(x_0: Tensor, x_t: Tensor, t: float | Tensor, sigma_min: float = SIGMA_MIN) -> Tensor:
    """The velocity at (x_t, t) that points to x_0; the inverse of `clean_sample`."""
    return ((1 - sigma_min) * x_t - x_0) / (sigma_min + (1 - sigma_min) * t)
