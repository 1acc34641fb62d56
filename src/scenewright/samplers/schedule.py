"""Time grids of a flow: from 1 (noise) to 0 (data)."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

__all__ = ["rescaled_times"]


def rescaled_times(steps: int, rescale: float = 1.0) -> Float[ndarray, " steps_plus_1"]:
    """`steps` + 1 times t_i = r u_i / (1 + (r - 1) u_i) with u_i = 1 - i / steps, in float64.

    r > 1 spends more of the steps near the noise. Source: TRELLIS, released sampler ("rescale_t").
    """
    if steps < 1:
        raise ValueError(f"A sampler needs at least one step, got {steps}.")
    uniform = np.linspace(1.0, 0.0, steps + 1)
    return rescale * uniform / (1 + (rescale - 1) * uniform)
