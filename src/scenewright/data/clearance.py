"""Proof that placed models do not touch: upright boxes first, then every pair of triangles.

Boxes (turned about the vertical only) that are separated prove separation at once. Where they overlap, as with a chair
under a table, all pairs of triangles in the common region are intersected; a model whose box lies inside the other's is
counted as colliding, because surfaces alone cannot tell that it is not buried.

Legend: T triangles of one soup, U of the other. Frame: world, z up.
"""

import math
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float

from scenewright.compiled import njit

__all__ = ["Footprint", "boxes_apart", "models_apart", "triangles_intersect"]

Triangles = Float[np.ndarray, "T 3 3"]
OtherTriangles = Float[np.ndarray, "U 3 3"]


@dataclass(frozen=True)
class Footprint:
    """An upright box: centre in the ground plane, half width and half depth, yaw, and its height range."""

    x: float
    y: float
    half_x: float
    half_y: float
    yaw: float
    low: float
    high: float

    def corners(self) -> Float[np.ndarray, "4 2"]:
        """Corners in the ground plane, counter-clockwise."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [self.half_x, self.half_y]
        return square @ np.array([[c, s], [-s, c]]) + [self.x, self.y]

    def grown(self, margin: float) -> "Footprint":
        """The box widened sideways by a margin."""
        return Footprint(self.x, self.y, self.half_x + margin, self.half_y + margin, self.yaw, self.low, self.high)


def boxes_apart(a: Footprint, b: Footprint) -> bool:
    """Whether two boxes share no interior point (separating axes of two rectangles, and height)."""
    if a.low >= b.high or b.low >= a.high:
        return True
    corners_a, corners_b = a.corners(), b.corners()
    for yaw in (a.yaw, a.yaw + math.pi / 2, b.yaw, b.yaw + math.pi / 2):
        axis = np.array([math.cos(yaw), math.sin(yaw)])
        along_a, along_b = corners_a @ axis, corners_b @ axis
        if along_a.max() <= along_b.min() or along_b.max() <= along_a.min():
            return True
    return False


def models_apart(a: Triangles, b: OtherTriangles) -> bool:
    """Whether two triangle soups neither intersect nor contain one another's bounding box."""
    if not len(a) or not len(b):
        return True
    a, b = (np.ascontiguousarray(t, dtype=np.float64) for t in (a, b))
    bounds_a, bounds_b = _bounds(a), _bounds(b)
    low, high = np.maximum(bounds_a[0], bounds_b[0]), np.minimum(bounds_a[1], bounds_b[1])
    if (low >= high).any():
        return True
    for inner, outer in ((bounds_a, bounds_b), (bounds_b, bounds_a)):
        if (inner[0] >= outer[0]).all() and (inner[1] <= outer[1]).all():
            return False
    return not triangles_intersect(_near(a, low, high), _near(b, low, high))


def triangles_intersect(a: Triangles, b: OtherTriangles) -> bool:
    """Whether any triangle of one soup crosses one of the other; triangles lying in one plane do not count."""
    a, b = (np.ascontiguousarray(t, dtype=np.float64) for t in (a, b))
    order_a, order_b = np.argsort(a[:, :, 0].min(1)), np.argsort(b[:, :, 0].min(1))
    return bool(_any_pair(a[order_a], b[order_b]))


@njit(cache=True, nogil=True)
@no_type_check
def _bounds(triangles):
    """Low and high corner, [2, 3]."""
    bounds = np.empty((2, 3))
    bounds[0], bounds[1] = np.inf, -np.inf
    for i in range(len(triangles)):
        for k in range(3):
            for c in range(3):
                value = triangles[i, k, c]
                bounds[0, c], bounds[1, c] = min(bounds[0, c], value), max(bounds[1, c], value)
    return bounds


@njit(cache=True, nogil=True)
@no_type_check
def _near(triangles, low, high):
    """The triangles whose own box reaches into a region."""
    near = np.empty_like(triangles)
    count = 0
    for i in range(len(triangles)):
        t = triangles[i]
        reaches = True
        for c in range(3):
            if max(t[0, c], t[1, c], t[2, c]) < low[c] or min(t[0, c], t[1, c], t[2, c]) > high[c]:
                reaches = False
                break
        if reaches:
            near[count] = t
            count += 1
    return near[:count].copy()


@njit(cache=True, nogil=True)
@no_type_check
def _crosses(p, q, t):
    """Whether segment p-q crosses triangle t (Moller and Trumbore, 1997)."""
    dx, dy, dz = q[0] - p[0], q[1] - p[1], q[2] - p[2]
    e1x, e1y, e1z = t[1, 0] - t[0, 0], t[1, 1] - t[0, 1], t[1, 2] - t[0, 2]
    e2x, e2y, e2z = t[2, 0] - t[0, 0], t[2, 1] - t[0, 1], t[2, 2] - t[0, 2]
    hx, hy, hz = dy * e2z - dz * e2y, dz * e2x - dx * e2z, dx * e2y - dy * e2x
    det = e1x * hx + e1y * hy + e1z * hz
    if abs(det) < 1e-18:
        return False
    sx, sy, sz = p[0] - t[0, 0], p[1] - t[0, 1], p[2] - t[0, 2]
    u = (sx * hx + sy * hy + sz * hz) / det
    if u < 0 or u > 1:
        return False
    gx, gy, gz = sy * e1z - sz * e1y, sz * e1x - sx * e1z, sx * e1y - sy * e1x
    v = (dx * gx + dy * gy + dz * gz) / det
    if v < 0 or u + v > 1:
        return False
    share = (e2x * gx + e2y * gy + e2z * gz) / det
    return 0 <= share <= 1


@njit(cache=True, nogil=True)
@no_type_check
def _any_pair(a, b):
    """Sweep along x over both lists, sorted by their low x."""
    low_a, high_a = np.empty((len(a), 3)), np.empty((len(a), 3))
    low_b, high_b = np.empty((len(b), 3)), np.empty((len(b), 3))
    for i in range(len(a)):
        for k in range(3):
            low_a[i, k] = min(a[i, 0, k], a[i, 1, k], a[i, 2, k])
            high_a[i, k] = max(a[i, 0, k], a[i, 1, k], a[i, 2, k])
    widest = 0.0
    for j in range(len(b)):
        for k in range(3):
            low_b[j, k] = min(b[j, 0, k], b[j, 1, k], b[j, 2, k])
            high_b[j, k] = max(b[j, 0, k], b[j, 1, k], b[j, 2, k])
        widest = max(widest, high_b[j, 0] - low_b[j, 0])
    first = 0
    for i in range(len(a)):
        while first < len(b) and low_b[first, 0] < low_a[i, 0] - widest:
            first += 1
        for j in range(first, len(b)):
            if low_b[j, 0] > high_a[i, 0]:
                break
            if high_b[j, 0] < low_a[i, 0] or low_b[j, 1] > high_a[i, 1] or high_b[j, 1] < low_a[i, 1]:
                continue
            if low_b[j, 2] > high_a[i, 2] or high_b[j, 2] < low_a[i, 2]:
                continue
            for k in range(3):
                if _crosses(a[i, k], a[i, (k + 1) % 3], b[j]) or _crosses(b[j, k], b[j, (k + 1) % 3], a[i]):
                    return True
    return False
