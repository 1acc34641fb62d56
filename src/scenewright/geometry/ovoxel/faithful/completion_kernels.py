"""Kernels behind `complete`: how well does a candidate quad hold lost points, and how far does it stray from the mesh?

Legend: C quads [C, 4, 3], split along their diagonal q0-q2; P points. Lengths in voxels, float64.
"""

from typing import no_type_check

import numpy as np
from numba import njit

from scenewright.geometry.mesh.near_surface import FINEST, farthest_of_quad, working_room
from scenewright.geometry.mesh.triangle_tree import on_triangle

__all__ = ["quad_reach", "quad_strays"]


@njit(cache=True, nogil=True)
@no_type_check
def quad_strays(corners, surface, tolerance):
    """Largest distance of each quad from the surface, float64 [C]; 0 where it is within `tolerance`."""
    strays = np.zeros(corners.shape[0])
    room = working_room()
    for c in range(corners.shape[0]):
        strays[c] = farthest_of_quad(corners[c], surface, tolerance, FINEST, room)
    return strays


@njit(cache=True, nogil=True)
@no_type_check
def quad_reach(points, starts, group, corners):
    """Largest distance from the points of a quad's group to the quad (its diagonal q0-q2), float64 [C].

    `starts` int64 [G + 1] cuts `points` into groups; `group` int64 [C] names each quad's; `corners` is [C, 4, 3].
    """
    reach = np.zeros(corners.shape[0])
    first, second = np.empty((3, 3)), np.empty((3, 3))
    for c in range(corners.shape[0]):
        first[:] = corners[c, :3]
        second[0], second[1], second[2] = corners[c, 0], corners[c, 2], corners[c, 3]
        for n in range(starts[group[c]], starts[group[c] + 1]):
            x, y, z = points[n, 0], points[n, 1], points[n, 2]
            reach[c] = max(reach[c], min(on_triangle(x, y, z, first)[0], on_triangle(x, y, z, second)[0]))
    return np.sqrt(reach)
