"""Surface occupancy: the cells of a cube that a triangle mesh touches, exactly, without sampling.

A cell is occupied if its closed cube and a triangle overlap (separating axes: three of the box, the triangle's normal,
nine products of edges). Source: Akenine-Moller, "Fast 3D Triangle-Box Overlap Testing", 2001; the backbones' toolkits
voxelise their training meshes by the same definition.

Legend: V vertices, F faces, R grid side. Frame: the cube [-0.5, 0.5]^3, see docs/conventions.md#grid.
"""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenewright.compiled import njit
from scenewright.data.asset import Asset, merged_geometry

__all__ = ["cube_from_points", "mesh_occupancy", "surface_occupancy"]


def mesh_occupancy(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], resolution: int
) -> Bool[Tensor, "R R R"]:
    """Cells of the cube that the surface touches, indexed [x, y, z]; what lies outside the cube is left out."""
    grid = np.zeros((resolution,) * 3, dtype=np.bool_)
    if len(faces):
        cells = (np.ascontiguousarray(vertices, dtype=np.float64) + 0.5) * resolution
        _mark(cells, np.ascontiguousarray(faces, dtype=np.int64), grid)
    return torch.from_numpy(grid)


def cube_from_points(points: Float[np.ndarray, "N 3"]) -> tuple[Float[np.ndarray, " 3"], float]:
    """Centre and scale that fit points into the cube, (point - centre) * scale; the longest side is just below 1."""
    low, high = points.min(0), points.max(0)
    # A hair below one, so that a face on the rim touches the last layer of cells and nothing beyond it.
    return (low + high) / 2, (1 - 1e-6) / max(float((high - low).max()), 1e-12)


def surface_occupancy(asset: Asset, resolution: int) -> Bool[Tensor, "R R R"]:
    """Cells of the unit cube that an asset's surface touches, the longest side filling the cube, centred."""
    vertices, faces = merged_geometry(asset.parts)
    points = vertices.astype(np.float64)
    centre, scale = cube_from_points(points[np.unique(faces)])
    return mesh_occupancy((points - centre) * scale, faces, resolution)


@njit(cache=True, nogil=True)
@no_type_check
def _is_apart(axis_x, axis_y, axis_z, v, half):
    """Whether an axis separates triangle v (relative to the box's centre) from the box of half side `half`."""
    reach = half * (abs(axis_x) + abs(axis_y) + abs(axis_z))
    p0 = axis_x * v[0, 0] + axis_y * v[0, 1] + axis_z * v[0, 2]
    p1 = axis_x * v[1, 0] + axis_y * v[1, 1] + axis_z * v[1, 2]
    p2 = axis_x * v[2, 0] + axis_y * v[2, 1] + axis_z * v[2, 2]
    return min(p0, p1, p2) > reach or max(p0, p1, p2) < -reach


@njit(cache=True, nogil=True)
@no_type_check
def _overlaps(triangle, x, y, z, v):
    """Whether a triangle overlaps the unit cell (x, y, z); the cell's own three axes were tested by the caller."""
    for k in range(3):
        v[k, 0] = triangle[k, 0] - (x + 0.5)
        v[k, 1] = triangle[k, 1] - (y + 0.5)
        v[k, 2] = triangle[k, 2] - (z + 0.5)
    e = np.empty((3, 3))
    for k in range(3):
        for c in range(3):
            e[k, c] = v[(k + 1) % 3, c] - v[k, c]
    normal_x = e[0, 1] * e[1, 2] - e[0, 2] * e[1, 1]
    normal_y = e[0, 2] * e[1, 0] - e[0, 0] * e[1, 2]
    normal_z = e[0, 0] * e[1, 1] - e[0, 1] * e[1, 0]
    if _is_apart(normal_x, normal_y, normal_z, v, 0.5):
        return False
    for k in range(3):
        if _is_apart(0.0, -e[k, 2], e[k, 1], v, 0.5):
            return False
        if _is_apart(e[k, 2], 0.0, -e[k, 0], v, 0.5):
            return False
        if _is_apart(-e[k, 1], e[k, 0], 0.0, v, 0.5):
            return False
    return True


@njit(cache=True, nogil=True)
@no_type_check
def _mark(cells, faces, grid):
    """Mark every cell that a triangle (in cell units) overlaps; each triangle looks at the cells of its own box."""
    side = grid.shape[0]
    triangle, v = np.empty((3, 3)), np.empty((3, 3))
    first, last = np.empty(3, np.int64), np.empty(3, np.int64)
    for f in range(len(faces)):
        is_outside = False
        for c in range(3):
            for k in range(3):
                triangle[k, c] = cells[faces[f, k], c]
            low = min(triangle[0, c], triangle[1, c], triangle[2, c])
            high = max(triangle[0, c], triangle[1, c], triangle[2, c])
            # Written so that a coordinate that is not a number counts as outside.
            if not (low < side and high >= 0):
                is_outside = True
                break
            first[c], last[c] = max(int(np.floor(low)), 0), min(int(np.floor(high)), side - 1)
        if is_outside:
            continue
        for x in range(first[0], last[0] + 1):
            for y in range(first[1], last[1] + 1):
                for z in range(first[2], last[2] + 1):
                    if not grid[x, y, z] and _overlaps(triangle, x, y, z, v):
                        grid[x, y, z] = True
