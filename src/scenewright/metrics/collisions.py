"""Which objects of a scene interpenetrate, how deep, and the rates Col-O and Col-S.

Col-O is the share of objects that collide with at least one other object, Col-S the share of scenes with at least
one collision (I-Scene supplement). The collision test itself is unpublished; ours: the depth of a pair is the diameter
of the largest ball inside both objects, and a pair collides when that exceeds a tolerance (1 % of the scene's longest
side) or when the shared volume exceeds a share of the smaller object's (1 %). For two boxes with parallel axes the
depth is the smallest side of their intersection. Touching is no collision; containment is.

Inside is decided per cell by signed crossing counts along the three axes, two of three must agree, so that holes and
overlapping shells do no harm. An open sheet has no inside and collides with nothing.

Legend: V vertices, F faces, O objects. Cost: O(cells + faces) per pair of overlapping boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int

from scenewright.compiled import njit

__all__ = ["CollisionConfig", "SceneCollisions", "inside_grid", "scene_collisions"]

Vertices = Float[np.ndarray, "_ 3"]
Faces = Int[np.ndarray, "_ 3"]


@dataclass(frozen=True)
class CollisionConfig:
    """`depth` is a share of the scene's longest side unless `depth_is_absolute`; either criterion makes a collision."""

    depth: float = 0.01
    depth_is_absolute: bool = False
    volume_share: float | None = 0.01
    max_cells_per_axis: int = 63
    min_cells_per_axis: int = 5


@dataclass(frozen=True)
class SceneCollisions:
    """Pairwise depth (unit of the scene) and share of the smaller volume, and which objects collide with any other."""

    depth: Float[np.ndarray, "O O"]
    volume_share: Float[np.ndarray, "O O"]
    hit: Bool[np.ndarray, " O"]


def scene_collisions(
    meshes: Sequence[tuple[Vertices, Faces]], config: CollisionConfig = CollisionConfig()
) -> SceneCollisions:
    """Tests every pair of meshes, all given in one frame; an object without faces collides with nothing."""
    num = len(meshes)
    depth, share = np.zeros((num, num)), np.zeros((num, num))
    bounds = [_bounds(vertices, faces) for vertices, faces in meshes]
    solid = [b for b in bounds if b is not None]
    if not solid:
        return SceneCollisions(depth, share, np.zeros(num, bool))
    side = float((np.max([b[1] for b in solid], 0) - np.min([b[0] for b in solid], 0)).max())
    tolerance = config.depth if config.depth_is_absolute else config.depth * side
    volumes: dict[int, float] = {}
    for i in range(num):
        for j in range(i + 1, num):
            if bounds[i] is None or bounds[j] is None:
                continue
            low, high = np.maximum(bounds[i][0], bounds[j][0]), np.minimum(bounds[i][1], bounds[j][1])
            if (high - low).min() <= 0:
                continue
            pair_depth, pair_volume = _overlap(meshes[i], meshes[j], low, high, tolerance, config)
            depth[i, j] = depth[j, i] = pair_depth
            if pair_volume > 0 and config.volume_share is not None:
                for k in (i, j):
                    if k not in volumes:
                        volumes[k] = _volume(meshes[k], bounds[k], config)
                smaller = min(volumes[i], volumes[j])
                share[i, j] = share[j, i] = min(1.0, pair_volume / smaller) if smaller > 0 else 0.0
    collides = depth > tolerance
    if config.volume_share is not None:
        collides |= share > config.volume_share
    return SceneCollisions(depth, share, np.asarray(collides.any(axis=1)))


def inside_grid(
    mesh: tuple[Vertices, Faces],
    low: Float[np.ndarray, "3"],
    high: Float[np.ndarray, "3"],
    shape: tuple[int, int, int],
) -> Bool[np.ndarray, "X Y Z"]:
    """Whether the centre of each cell of the grid over [low, high] lies inside the mesh (two of three axes agree)."""
    vertices, faces = mesh
    cell = (high - low) / np.array(shape)
    # Coordinates in cells, cell centres at whole numbers.
    grid = (vertices - low) / cell - 0.5
    votes = np.zeros(shape, np.int8)
    triangles = np.ascontiguousarray(grid[faces], dtype=np.float64)
    for axis in range(3):
        order = [(axis + 1) % 3, (axis + 2) % 3, axis]
        turned = np.ascontiguousarray(triangles[:, :, order])
        crossings = _crossings(turned, shape[order[0]], shape[order[1]], shape[axis])
        inside = np.cumsum(crossings, axis=2)[:, :, :-1] != 0
        votes += np.moveaxis(inside, (0, 1, 2), order).astype(np.int8)
    return votes >= 2


def _overlap(
    first: tuple, second: tuple, low: np.ndarray, high: np.ndarray, tolerance: float, config: CollisionConfig
) -> tuple[float, float]:
    extent = high - low
    # Odd counts put a cell centre in the middle of a slab; half a tolerance per cell is fine enough to decide.
    cells = np.ceil(extent / max(tolerance / 2, 1e-12))
    counts = np.clip(cells, config.min_cells_per_axis, config.max_cells_per_axis).astype(int) | 1
    shape = (int(counts[0]), int(counts[1]), int(counts[2]))
    shared = inside_grid(first, low, high, shape)
    if shared.any():
        shared &= inside_grid(second, low, high, shape)
    if not shared.any():
        return 0.0, 0.0
    cell = extent / counts
    padded = np.pad(shared, 1)
    _, nearest = scipy.ndimage.distance_transform_edt(padded, sampling=cell, return_indices=True)
    offset = np.abs(nearest - np.indices(padded.shape))
    # The surface lies half a cell before the first cell outside.
    radius = np.sqrt(sum(np.square(np.clip(offset[a] - 0.5, 0, None) * cell[a]) for a in range(3)))
    return float(2 * radius[padded].max()), float(shared.sum() * cell.prod())


def _volume(mesh: tuple, bounds: tuple, config: CollisionConfig) -> float:
    low, high = bounds
    extent = np.maximum(high - low, 1e-9)
    count = config.max_cells_per_axis
    return float(inside_grid(mesh, low, low + extent, (count, count, count)).mean() * extent.prod())


def _bounds(vertices, faces):
    if len(faces) == 0:
        return None
    used = vertices[faces.ravel()]
    return used.min(0), used.max(0)


@njit(cache=True, nogil=True)
@no_type_check
def _crossings(triangles, num_x, num_y, num_z):
    """Signed surface crossings [num_x, num_y, num_z + 1]: entry z counts those below cell centre z and above z - 1."""
    crossings = np.zeros((num_x, num_y, num_z + 1), np.int32)
    # A tiny offset keeps columns off shared edges and vertices, where a hit would count twice.
    shift_x, shift_y = 7.3e-5, 3.1e-5
    for f in range(triangles.shape[0]):
        ax, ay, az = triangles[f, 0, 0] + shift_x, triangles[f, 0, 1] + shift_y, triangles[f, 0, 2]
        bx, by, bz = triangles[f, 1, 0] + shift_x, triangles[f, 1, 1] + shift_y, triangles[f, 1, 2]
        cx, cy, cz = triangles[f, 2, 0] + shift_x, triangles[f, 2, 1] + shift_y, triangles[f, 2, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0:
            continue
        sign = 1 if area > 0 else -1
        x0, x1 = max(0, int(np.ceil(min(ax, bx, cx)))), min(num_x - 1, int(np.floor(max(ax, bx, cx))))
        y0, y1 = max(0, int(np.ceil(min(ay, by, cy)))), min(num_y - 1, int(np.floor(max(ay, by, cy))))
        for x in range(x0, x1 + 1):
            for y in range(y0, y1 + 1):
                u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                w = 1.0 - u - v
                if u >= 0.0 and v >= 0.0 and w >= 0.0:
                    z = u * az + v * bz + w * cz
                    slot = min(max(int(np.ceil(z)), 0), num_z)
                    crossings[x, y, slot] += sign
    return crossings
