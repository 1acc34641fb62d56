"""Occupancy of objects as the camera sees them: the outer shell in a cube turned so that the camera looks along +y.

Gravity is kept (yaw only), as in I-Scene's view-centric space. Voxels that no path from outside reaches through empty
voxels are left out: no picture shows them.

Legend: R resolution. Frame: z up; voxel i spans [i, i + 1) / R - 0.5 per axis.
"""

import numpy as np
import scipy
from jaxtyping import Bool

__all__ = ["filled", "outer_shell"]


def filled(occupied: Bool[np.ndarray, "X Y Z"]) -> Bool[np.ndarray, "X Y Z"]:
    """Occupied voxels and all that they enclose (paths go through faces)."""
    padded = np.pad(~occupied, 1, constant_values=True)
    regions, _ = scipy.ndimage.label(padded)
    return (regions != regions[0, 0, 0])[1:-1, 1:-1, 1:-1]


def outer_shell(occupied: Bool[np.ndarray, "R R R"]) -> Bool[np.ndarray, "R R R"]:
    """Occupied voxels with a neighbour (by face, edge or corner) that is reached from outside."""
    outside = np.pad(~filled(occupied), 1, constant_values=True)
    near = scipy.ndimage.binary_dilation(outside, structure=np.ones((3, 3, 3), dtype=bool))[1:-1, 1:-1, 1:-1]
    return occupied & near
