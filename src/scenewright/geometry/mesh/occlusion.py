"""Ambient occlusion of an object by itself: how much of the sky each texel of its texture sees.

The value of a texel is the share of rays over its face, spread by the cosine, that meet nothing within reach: 1 on
convex shapes, less in corners, folds and below tops. Other objects do not count, as they may be moved.

Directions are a Fibonacci spiral, turned from texel to texel by the golden angle: the same mesh gives the same bytes.

Legend: M texels, N rays of a texel, T texture side. Frame and unit: those of the mesh.
"""

import math
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from scenewright.compiled import njit
from scenewright.geometry.mesh.area_vectors import area_vectors
from scenewright.geometry.mesh.bake import fill_gutters, texel_surface
from scenewright.geometry.mesh.material_bake import to_bytes
from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.geometry.threads import run_bands
from scenewright.types import Mesh

__all__ = ["bake_occlusion", "is_seen_from_outside", "open_share"]

_NUM_RAYS = 64
# A ray that has gone this share of the surface's longest side is free: a closed room is not dark.
_REACH = 0.3
# Rays begin so far off the surface, as a share of its longest side, that they do not meet the face they leave.
_OFFSET = 1e-4
_GOLDEN_ANGLE = math.pi * (3 - 5**0.5)


def bake_occlusion(mesh: Mesh, size: int, tree: TriangleTree, *, double_sided: bool) -> UInt8[Tensor, "T T 1"]:
    """The occlusion map of `mesh`, 255 where nothing is in the way.

    Args:
        mesh: needs `uv`.
        size: texels per side.
        tree: of the surface that is in the way, which holds the mesh.
        double_sided: both sides are seen, so that the side that sees more counts.

    Raises:
        InputError: the mesh has no texture coordinates, or none of its triangles covers a texel.
    """
    surface = texel_surface(mesh, size)
    points = surface.interpolate(mesh, mesh.vertices.double()).cpu()
    corners = mesh.vertices.double()[mesh.faces[surface.faces].long()].cpu()
    normals = area_vectors(corners)
    share = open_share(tree, points, normals)
    if double_sided and len(hidden := (share < 1).nonzero()[:, 0]):
        share[hidden] = torch.maximum(share[hidden], open_share(tree, points[hidden], -normals[hidden]))
    return to_bytes(fill_gutters(surface, share[:, None]).values)


def is_seen_from_outside(
    tree: TriangleTree, points: Float[Tensor, "M 3"], normals: Float[Tensor, "M 3"]
) -> Bool[Tensor, " M"]:
    """Which points of a surface are not hidden by the rest of it from everywhere outside, whichever side they show.

    Each looks along `_NUM_RAYS` lines, half of them to either side: openings that are very narrow may be missed.
    """
    seen = torch.zeros(len(points), dtype=torch.bool)
    for side in (normals, -normals):
        unknown = (~seen).nonzero()[:, 0]
        share = open_share(tree, points[unknown], side[unknown], num_rays=_NUM_RAYS // 2, reach=math.inf)
        seen[unknown] = share > 0
    return seen


def open_share(
    tree: TriangleTree,
    points: Float[Tensor, "M 3"],
    normals: Float[Tensor, "M 3"],
    *,
    num_rays: int = _NUM_RAYS,
    reach: float = _REACH,
) -> Float[Tensor, " M"]:
    """The share of rays from points of a surface, over the side that `normals` (of any length) point to, that are free.

    Weighted by the cosine, as a matt surface gathers light.

    Args:
        reach: how far a ray must go to be free, in longest sides of the surface.
    """
    side = float((tree.high[0] - tree.low[0]).max())
    k = np.arange(num_rays)
    radius, angle = np.sqrt((k + 0.5) / num_rays), _GOLDEN_ANGLE * k
    dome = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.sqrt(1 - radius**2)], 1)
    unit = torch.nn.functional.normalize(normals.double(), dim=1).numpy()
    origins = points.double().numpy() + _OFFSET * side * unit
    surface = (tree.corners, tree.leaf_start, tree.low, tree.high)
    free = np.zeros(len(origins), np.int64)

    def band(first: int, last: int) -> None:
        _count_free_rays(origins, unit, dome, *surface, reach * side, first, last, free)

    run_bands(band, len(origins))
    return torch.from_numpy((free / num_rays).astype(np.float32))


@njit(cache=True)
@no_type_check
def _meets(x, y, z, u, v, w, t):
    """Distance along a ray of direction (u, v, w) to triangle `t`; infinity: a miss (Moeller, Trumbore 1997)."""
    ax, ay, az = t[1, 0] - t[0, 0], t[1, 1] - t[0, 1], t[1, 2] - t[0, 2]
    bx, by, bz = t[2, 0] - t[0, 0], t[2, 1] - t[0, 1], t[2, 2] - t[0, 2]
    px, py, pz = v * bz - w * by, w * bx - u * bz, u * by - v * bx
    determinant = ax * px + ay * py + az * pz
    if determinant == 0:
        return np.inf
    sx, sy, sz = x - t[0, 0], y - t[0, 1], z - t[0, 2]
    first = (sx * px + sy * py + sz * pz) / determinant
    if first < 0 or first > 1:
        return np.inf
    qx, qy, qz = sy * az - sz * ay, sz * ax - sx * az, sx * ay - sy * ax
    second = (u * qx + v * qy + w * qz) / determinant
    if second < 0 or first + second > 1:
        return np.inf
    distance = (bx * qx + by * qy + bz * qz) / determinant
    return distance if distance > 0 else np.inf


@njit(cache=True)
@no_type_check
def _enters(origin, inverse, low, high, node, reach):
    """Whether a ray passes through a box before `reach`."""
    near, far = 0.0, reach
    for axis in range(3):
        one = (low[node, axis] - origin[axis]) * inverse[axis]
        two = (high[node, axis] - origin[axis]) * inverse[axis]
        near, far = max(near, min(one, two)), min(far, max(one, two))
    return near <= far


@njit(cache=True, nogil=True)
@no_type_check
def _count_free_rays(origins, normals, dome, corners, leaf_start, low, high, reach, first, last, free):
    """Adds to rows `first` to `last` of `free` [M] the directions of the dome [N, 3] that meet nothing within reach."""
    first_leaf = len(leaf_start) - 2
    stack, inverse = np.empty(64, dtype=np.int64), np.empty(3)
    for row in range(first, last):
        origin = origins[row]
        # A frame round the normal (Duff et al. 2017), turned by the golden angle from row to row.
        nx, ny, nz = normals[row, 0], normals[row, 1], normals[row, 2]
        sign = 1.0 if nz >= 0 else -1.0
        a = -1.0 / (sign + nz)
        b = nx * ny * a
        tx, ty, tz = 1.0 + sign * nx * nx * a, sign * b, -sign * nx
        bx, by, bz = b, sign + ny * ny * a, -ny
        cosine, sine = np.cos(_GOLDEN_ANGLE * row), np.sin(_GOLDEN_ANGLE * row)
        for ray in range(len(dome)):
            p = cosine * dome[ray, 0] - sine * dome[ray, 1]
            q = sine * dome[ray, 0] + cosine * dome[ray, 1]
            u = p * tx + q * bx + dome[ray, 2] * nx
            v = p * ty + q * by + dome[ray, 2] * ny
            w = p * tz + q * bz + dome[ray, 2] * nz
            inverse[0], inverse[1], inverse[2] = 1 / (u or 1e-300), 1 / (v or 1e-300), 1 / (w or 1e-300)
            stack[0], depth, is_free = 0, 1, True
            while depth > 0 and is_free:
                depth -= 1
                node = stack[depth]
                if not _enters(origin, inverse, low, high, node, reach):
                    continue
                if node < first_leaf:
                    stack[depth], stack[depth + 1] = 2 * node + 1, 2 * node + 2
                    depth += 2
                    continue
                for face in range(leaf_start[node - first_leaf], leaf_start[node - first_leaf + 1]):
                    if _meets(origin[0], origin[1], origin[2], u, v, w, corners[face]) < reach:
                        is_free = False
                        break
            free[row] += is_free
