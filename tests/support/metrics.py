"""Summaries of metrics that only comparisons with published values need."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class CollisionRates:
    """Both in [0, 1]; NaN where there is nothing to count."""

    col_o: float
    col_s: float


def collision_rates(hits: Sequence[Bool[np.ndarray, " _"]]) -> CollisionRates:
    """Col-O over all objects of all scenes, Col-S over the scenes (I-Scene, supplement).

    Args:
        hits: one flag per object, scene by scene: whether it collides with any other.
    """
    num_objects = sum(len(hit) for hit in hits)
    return CollisionRates(
        col_o=sum(int(hit.sum()) for hit in hits) / num_objects if num_objects else float("nan"),
        col_s=sum(bool(hit.any()) for hit in hits) / len(hits) if hits else float("nan"),
    )


def on_white(rgba: Float[Tensor, "4 H W"]) -> Float[Tensor, "3 H W"]:
    """Colour over a white background: a * rgb + (1 - a), straight alpha."""
    alpha = rgba[3:]
    return alpha * rgba[:3] + (1 - alpha)
