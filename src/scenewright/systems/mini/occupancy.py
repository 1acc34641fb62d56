"""Occupancy of objects as the camera sees them: the outer shell in a cube turned so that the camera looks along +y.

Gravity is kept (yaw only), as in I-Scene's view-centric space. Voxels that no path from outside reaches through empty
voxels are left out: no picture shows them.

Legend: N points, R resolution. Frame: z up; voxel i spans [i, i + 1) / R - 0.5 per axis.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

__all__ = ["filled", "outer_shell", "points_occupancy", "solid"]

_FILL = 0.9999


def points_occupancy(
    points: Float[np.ndarray, "N 3"], centre: Float[np.ndarray, " 3"], side: float, resolution: int
) -> Bool[np.ndarray, "R R R"]:
    """Voxels of the cube of that centre and side that hold a point; points outside the cube are left out."""
    unit = (points - centre) / side * _FILL + 0.5
    cells = np.floor(unit * resolution).astype(np.int64)
    cells = cells[((cells >= 0) & (cells < resolution)).all(1)]
    grid = np.zeros((resolution,) * 3, dtype=bool)
    grid[cells[:, 0], cells[:, 1], cells[:, 2]] = True
    return grid


def filled(occupied: Bool[np.ndarray, "X Y Z"]) -> Bool[np.ndarray, "X Y Z"]:
    """Occupied voxels and all that they enclose (paths go through faces)."""
    padded = np.pad(~occupied, 1, constant_values=True)
    regions, _ = ndimage.label(padded)
    return (regions != regions[0, 0, 0])[1:-1, 1:-1, 1:-1]


def solid(occupied: Bool[np.ndarray, "R R R"]) -> Bool[np.ndarray, "R R R"]:
    """Occupied voxels and all that they enclose together with the floor below the lowest.

    Many models have no bottom; what stands on the floor is closed by it.
    """
    lowest = int(np.argmax(occupied.any((0, 1))))
    closed = np.concatenate([np.ones((*occupied.shape[:2], 1), dtype=bool), occupied[:, :, lowest:]], axis=2)
    inside = filled(closed)[:, :, 1:]
    return np.concatenate([occupied[:, :, :lowest], inside], axis=2)


def outer_shell(occupied: Bool[np.ndarray, "R R R"]) -> Bool[np.ndarray, "R R R"]:
    """Occupied voxels with a neighbour (by face, edge or corner) that is reached from outside."""
    outside = np.pad(~filled(occupied), 1, constant_values=True)
    near = ndimage.binary_dilation(outside, structure=np.ones((3, 3, 3), dtype=bool))[1:-1, 1:-1, 1:-1]
    return occupied & near
