"""Sampling with part of the sample known: inpainting by a constraint on the velocity.

Source: GenRecon, `genrecon/pipelines/samplers/flow_euler.py` (the scene pipeline does not use it).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.samplers.flow import SIGMA_MIN, velocity_target
from scenewright.samplers.guidance import Velocity

__all__ = ["constrained"]


def constrained(
    velocity: Velocity,
    known: Float[Tensor, "*shape"],
    noise: Float[Tensor, "*shape"],
    mask: Float[Tensor, "..."],
    *,
    sigma_min: float = SIGMA_MIN,
) -> Velocity:
    """`velocity` where `mask` is 0; where it is 1, the straight way from `noise` to `known`.

    The state has to start from `noise`. An Euler run then passes the known part through its own x_t at every step, and
    ends at `known` up to `sigma_min` times the noise.

    Args:
        mask: broadcasts against the sample.
    """
    towards = velocity_target(known, noise, sigma_min)

    def mixed(x: Tensor, t: float, step: int) -> Tensor:
        return torch.where(mask > 0.5, towards, velocity(x, t, step))

    return mixed
