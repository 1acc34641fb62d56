"""Areas and directions of triangles in one vector each.

Legend: T triangles. Frame: that of the corners.
"""

from typing import overload

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["area_vectors"]


@overload
def area_vectors(corners: Float[Tensor, "T 3 3"]) -> Float[Tensor, "T 3"]: ...


@overload
def area_vectors(corners: Float[np.ndarray, "T 3 3"]) -> Float[np.ndarray, "T 3"]: ...


def area_vectors(corners: Float[Tensor | np.ndarray, "T 3 3"]) -> Float[Tensor | np.ndarray, "T 3"]:
    """The normal of each triangle by the right-hand rule, as long as twice its area."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    if isinstance(corners, Tensor):
        return torch.linalg.cross(first, second)
    return np.cross(first, second)
