"""Closest points on a triangle mesh, through a bounding-volume tree; on the CPU, in bands of queries.

Triangles are sorted along a Morton curve and cut into equal blocks, which are the leaves of a complete binary tree
stored as an implicit heap (children of node i are 2i + 1 and 2i + 2). A query starts from the triangle that answered
the query before it, so queries in spatial order are cheap.

Legend: F faces, M query points. Arithmetic is float64, results are float32 on the queries' device.
"""

import math
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.compiled import njit
from scenewright.errors import InputError
from scenewright.geometry.mesh.area_vectors import area_vectors
from scenewright.geometry.threads import run_bands
from scenewright.types import Mesh

__all__ = ["SurfacePoints", "TriangleTree", "closest_points"]

_LEAF_SIZE = 4
_CHUNK = 2048  # queries in a row that start from each other's answers


@dataclass(frozen=True)
class SurfacePoints:
    """For each query: the closest point of the surface, its distance, its face and its barycentric coordinates."""

    points: Float[Tensor, "M 3"]
    distance: Float[Tensor, " M"]
    faces: Int[Tensor, " M"]
    barycentric: Float[Tensor, "M 3"]


class TriangleTree:
    """The search structure of one mesh: build once, query often. Needs about 150 bytes per face."""

    def __init__(self, mesh: Mesh) -> None:
        """
        Raises:
            InputError: the mesh has no face.
        """
        if len(mesh.faces) == 0:
            raise InputError("Expected a mesh with faces to measure distances to, got one without any.")
        corners = mesh.vertices.detach().cpu().double().numpy()[mesh.faces.cpu().numpy()]
        order = np.argsort(_morton_codes(corners.mean(1)), kind="stable")
        num_leaves = 1
        while num_leaves * _LEAF_SIZE < len(corners):
            num_leaves *= 2
        self.face_of_row = order
        self.corners = np.ascontiguousarray(corners[order])
        self.leaf_start = (np.arange(num_leaves + 1) * len(corners)) // num_leaves
        self.low, self.high = _node_bounds(self.corners, self.leaf_start)

    def query(
        self, points: Float[Tensor, "M 3"], *, facing: Float[Tensor, "M 3"] | None = None, reach: float = math.inf
    ) -> SurfacePoints:
        """Closest surface points; fastest when neighbouring rows of `points` are close in space.

        Args:
            facing: only faces that look less than 90 degrees away from these directions count, so that the far side of
                a thin board is not taken for the near one; where there is none within `reach`, every face counts.
            reach: the distance up to which facing faces are looked for.
        """
        queries = np.ascontiguousarray(points.detach().cpu().double().numpy())
        if facing is None:
            directions, normals = np.zeros((0, 3)), np.zeros((0, 3))
        else:
            directions = np.ascontiguousarray(facing.detach().cpu().double().numpy())
            normals = area_vectors(self.corners)
        row, barycentric = self._closest(queries, directions, normals, reach * reach)
        if (missed := row < 0).any():
            none = np.zeros((0, 3))
            row[missed], barycentric[missed] = self._closest(queries[missed], none, none, np.inf)
        found = np.einsum("mk,mkd->md", barycentric, self.corners[row])
        distance = np.linalg.norm(queries - found, axis=1)

        def to_tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array.astype(np.float32)).to(points.device)

        faces = torch.from_numpy(self.face_of_row[row]).to(points.device)
        return SurfacePoints(to_tensor(found), to_tensor(distance), faces, to_tensor(barycentric))

    def _closest(
        self, queries: np.ndarray, directions: np.ndarray, normals: np.ndarray, reach2: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Row of the closest face [M] (-1: none that faces the query's direction within reach), barycentrics [M, 3]."""
        tree = (self.corners, self.leaf_start, self.low, self.high)
        row, barycentric = np.empty(len(queries), np.int64), np.empty((len(queries), 3))

        def band(first: int, last: int) -> None:
            _search_chunks(queries, *tree, directions, normals, reach2, first, last, row, barycentric)

        run_bands(band, math.ceil(len(queries) / _CHUNK))
        return row, barycentric


def closest_points(mesh: Mesh, points: Float[Tensor, "M 3"]) -> SurfacePoints:
    """Closest points of `mesh` to `points`, building the tree for this one call."""
    return TriangleTree(mesh).query(points)


def _morton_codes(points: np.ndarray) -> np.ndarray:
    """30-bit codes of points scaled to their bounding cube."""
    low = points.min(0)
    extent = max(float((points.max(0) - low).max()), 1e-30)
    cells = np.clip((points - low) / extent * 1023, 0, 1023).astype(np.int64)
    code = np.zeros(len(points), dtype=np.int64)
    for bit in range(10):
        for axis in range(3):
            code |= (cells[:, axis] >> bit & 1) << (3 * bit + axis)
    return code


@njit(cache=True)
@no_type_check
def _node_bounds(corners, leaf_start):
    num_leaves = len(leaf_start) - 1
    low = np.full((2 * num_leaves - 1, 3), np.inf)
    high = np.full((2 * num_leaves - 1, 3), -np.inf)
    for leaf in range(num_leaves):
        node = num_leaves - 1 + leaf
        for row in range(leaf_start[leaf], leaf_start[leaf + 1]):
            for corner in range(3):
                for axis in range(3):
                    low[node, axis] = min(low[node, axis], corners[row, corner, axis])
                    high[node, axis] = max(high[node, axis], corners[row, corner, axis])
    for node in range(num_leaves - 2, -1, -1):
        for axis in range(3):
            low[node, axis] = min(low[2 * node + 1, axis], low[2 * node + 2, axis])
            high[node, axis] = max(high[2 * node + 1, axis], high[2 * node + 2, axis])
    return low, high


@njit(cache=True, inline="always")
@no_type_check
def _box_distance2(x, y, z, low, high, node):
    dx = max(low[node, 0] - x, 0.0, x - high[node, 0])
    dy = max(low[node, 1] - y, 0.0, y - high[node, 1])
    dz = max(low[node, 2] - z, 0.0, z - high[node, 2])
    return dx * dx + dy * dy + dz * dz


@njit(cache=True)
@no_type_check
def _on_segment(px, py, pz, ax, ay, az, bx, by, bz):
    """Fraction along a-b of the point closest to p, and the squared distance."""
    dx, dy, dz = bx - ax, by - ay, bz - az
    length2 = dx * dx + dy * dy + dz * dz
    t = 0.0
    if length2 > 0:
        t = min(max(((px - ax) * dx + (py - ay) * dy + (pz - az) * dz) / length2, 0.0), 1.0)
    ex, ey, ez = px - ax - t * dx, py - ay - t * dy, pz - az - t * dz
    return t, ex * ex + ey * ey + ez * ez


@njit(cache=True)
@no_type_check
def _on_triangle(px, py, pz, t):
    """Squared distance and barycentric coordinates of the point of triangle `t` closest to p (any triangle, any p)."""
    ux, uy, uz = t[1, 0] - t[0, 0], t[1, 1] - t[0, 1], t[1, 2] - t[0, 2]
    vx, vy, vz = t[2, 0] - t[0, 0], t[2, 1] - t[0, 1], t[2, 2] - t[0, 2]
    wx, wy, wz = px - t[0, 0], py - t[0, 1], pz - t[0, 2]
    uu, uv, vv = ux * ux + uy * uy + uz * uz, ux * vx + uy * vy + uz * vz, vx * vx + vy * vy + vz * vz
    wu, wv = wx * ux + wy * uy + wz * uz, wx * vx + wy * vy + wz * vz
    determinant = uu * vv - uv * uv
    if determinant > 1e-14 * uu * vv:
        b = (vv * wu - uv * wv) / determinant
        c = (uu * wv - uv * wu) / determinant
        if b >= 0 and c >= 0 and b + c <= 1:
            ex, ey, ez = wx - b * ux - c * vx, wy - b * uy - c * vy, wz - b * uz - c * vz
            return ex * ex + ey * ey + ez * ez, 1 - b - c, b, c
    # Outside the triangle's prism, or the triangle has no area: the answer lies on an edge.
    s, best = _on_segment(px, py, pz, t[0, 0], t[0, 1], t[0, 2], t[1, 0], t[1, 1], t[1, 2])
    a, b, c = 1 - s, s, 0.0
    s, distance2 = _on_segment(px, py, pz, t[1, 0], t[1, 1], t[1, 2], t[2, 0], t[2, 1], t[2, 2])
    if distance2 < best:
        best, a, b, c = distance2, 0.0, 1 - s, s
    s, distance2 = _on_segment(px, py, pz, t[2, 0], t[2, 1], t[2, 2], t[0, 0], t[0, 1], t[0, 2])
    if distance2 < best:
        best, a, b, c = distance2, s, 0.0, 1 - s
    return best, a, b, c


@njit(cache=True, inline="always")
@no_type_check
def _looks_along(normal, direction):
    return normal[0] * direction[0] + normal[1] * direction[1] + normal[2] * direction[2] > 0


@njit(cache=True, nogil=True)
@no_type_check
def _search_chunks(
    queries, corners, leaf_start, low, high, directions, normals, reach2, first, last, found_row, found_bary
):
    """Fills the rows of `found_row` and `found_bary` that belong to the chunks of queries from `first` to `last`."""
    first_leaf = len(leaf_start) - 2
    stack = np.empty(64, dtype=np.int64)
    stack_distance2 = np.empty(64)
    for chunk in range(first, last):
        row_guess = 0
        for query in range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, len(queries))):
            x, y, z = queries[query, 0], queries[query, 1], queries[query, 2]
            best_row, best, a, b, c = -1, reach2, 0.0, 0.0, 0.0
            if directions.shape[0] == 0 or _looks_along(normals[row_guess], directions[query]):
                distance2, ra, rb, rc = _on_triangle(x, y, z, corners[row_guess])
                if not distance2 >= best:  # also where a point is no number, which the result tells
                    best_row, best, a, b, c = row_guess, distance2, ra, rb, rc
            stack[0], stack_distance2[0], depth = 0, _box_distance2(x, y, z, low, high, 0), 1
            while depth > 0:
                depth -= 1
                if stack_distance2[depth] >= best:
                    continue
                node = stack[depth]
                if node >= first_leaf:
                    for row in range(leaf_start[node - first_leaf], leaf_start[node - first_leaf + 1]):
                        if directions.shape[0] and not _looks_along(normals[row], directions[query]):
                            continue
                        distance2, ra, rb, rc = _on_triangle(x, y, z, corners[row])
                        if distance2 < best:
                            best, best_row, a, b, c = distance2, row, ra, rb, rc
                    continue
                near, far = 2 * node + 1, 2 * node + 2
                near2, far2 = _box_distance2(x, y, z, low, high, near), _box_distance2(x, y, z, low, high, far)
                if far2 < near2:
                    near, far, near2, far2 = far, near, far2, near2
                if far2 < best:
                    stack[depth], stack_distance2[depth] = far, far2
                    depth += 1
                if near2 < best:
                    stack[depth], stack_distance2[depth] = near, near2
                    depth += 1
            row_guess = max(best_row, 0)
            found_row[query] = best_row
            found_bary[query, 0], found_bary[query, 1], found_bary[query, 2] = a, b, c
