"""Structure inversion: start the coarse flow from the latent of partial geometry instead of from noise.

The state is (1 - a) z + (sigma + (1 - sigma) a) noise with a in (0, 1], 1 being noise alone. The published code enters
the time grid in three ways, none of which agrees with that noise level; `exact` does: it starts where t = a.

    published_batch     the state replaces the noise at t = 1; all steps
    published_demo      t = r u / (1 + (r - 1) u), u from a to 0
    training_snapshot   t from a to 0, evenly, no rescaling
    exact               as published_demo with u from a / (r - (r - 1) a), so that the first t is a

Source: naver/inspace eval/pipeline/eval_pipeline.py, demo/app_inspace_utils.py, mixins/erp_image_conditioned.py;
SDEdit (Meng et al. 2022) for the idea.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor

from scenewright.errors import InputError
from scenewright.samplers.flow import SIGMA_MIN, interpolate
from scenewright.samplers.schedule import rescaled_times

__all__ = ["Inversion", "inversion_start", "inversion_times"]

Inversion = Literal["published_batch", "published_demo", "training_snapshot", "exact"]


def inversion_start(latent: Tensor, noise: Tensor, alpha: float, sigma_min: float = SIGMA_MIN) -> Tensor:
    """The state that sampling starts from: `latent` at alpha 0, `noise` at 1.

    Raises:
        InputError: alpha is outside [0, 1].
    """
    if not 0 <= alpha <= 1:
        raise InputError(f"The share of noise must be between 0 (keep the depth's geometry) and 1, got {alpha}.")
    return interpolate(latent, noise, alpha, sigma_min)


def inversion_times(form: Inversion, alpha: float, steps: int, rescale: float) -> Float[np.ndarray, " steps_plus_1"]:
    """Descending flow times for a state of `inversion_start`, float64."""
    if form == "published_batch":
        return rescaled_times(steps, rescale)
    if form == "training_snapshot":
        return alpha * rescaled_times(steps)
    first = alpha if form == "published_demo" else alpha / (rescale - (rescale - 1) * alpha)
    uniform = np.linspace(first, 0.0, steps + 1)
    return rescale * uniform / (1 + (rescale - 1) * uniform)
