"""Gaussian sums over a point cloud by the permutohedral lattice in three dimensions.

Adams, Baek, Davis 2010 ("Fast high-dimensional filtering using the permutohedral lattice"), in the single-precision
form that probreg 0.3.8 uses for FilterReg, which SceneGen's evaluation calls. The lattice's coarse interpolation is
part of the published numbers: a dense Gaussian sum ends in rotations up to ten degrees away.

Legend: m target points (values are splatted), n source points (queried). Every point touches 4 lattice vertices.
"""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float

from scenewright.compiled import njit

__all__ = ["GaussianLattice", "GaussianSums", "gaussian_sums"]

Points = Float[np.ndarray, "_ 3"]

# More lattice vertices than this share of the target's points: the cloud is sparse and the blur is left out.
SPARSE_SHARE = 0.015


@dataclass(frozen=True)
class GaussianSums:
    """Sum of weights `m0` and of weighted target coordinates `m1` at every source point, up to a common factor."""

    m0: Float[np.ndarray, " n"]
    m1: Float[np.ndarray, "n 3"]
    lattice_size: int


def gaussian_sums(source: Points, target: Points, sigma: float, *, blur: bool | None = None) -> GaussianSums:
    """Gaussian-weighted sums over `target` at the points of `source`, standard deviation `sigma`.

    Args:
        blur: with (True) or without (False) the blur stage; None blurs unless the lattice is sparse for the target.

    Source points farther from every splatted vertex than the lattice reaches get zeros.
    """
    return GaussianLattice(target, sigma).sums(source, blur=blur)


class GaussianLattice:
    """One target splatted once, to be asked at many places: `gaussian_sums` of every new source, to the last bit."""

    def __init__(self, target: Points, sigma: float) -> None:
        self._target, self._sigma = np.ascontiguousarray(target, dtype=np.float64), float(sigma)
        self._splatted: dict[bool, tuple] = {}

    def sums(self, source: Points, *, blur: bool | None = None) -> GaussianSums:
        """The sums at the points of `source`; see `gaussian_sums`."""
        if blur is None:
            blurred = self.sums(source, blur=True)
            sparse = blurred.lattice_size > SPARSE_SHARE * len(self._target)
            return self.sums(source, blur=False) if sparse else blurred
        # Rounding follows the library to the last bit: its stop test reads differences of large single-precision sums.
        stretch = np.float32(np.sqrt(2.0 / 3.0) * 4.0 if blur else np.sqrt(1.0 / 6.0) * 4.0)
        axes = (float(stretch) / np.sqrt(np.array([2.0, 6.0, 12.0]))).astype(np.float32)
        if blur not in self._splatted:
            self._splatted[blur] = _splat(self._target, self._sigma, axes)
        # The library fills its last group of four points with zeros, whose vertices join the lattice.
        is_padded = (len(source) + len(self._target)) % 4 != 0
        source = np.ascontiguousarray(source, dtype=np.float64)
        sums, size = _slice(source, self._sigma, axes, *self._splatted[blur], is_padded, blur)
        return GaussianSums(sums[:, 0], sums[:, 1:], int(size))


@njit(cache=True, nogil=True, inline="always")
@no_type_check
def _embed(x, y, z, sigma, axes):
    """Simplex of one point: where its remainder-0 vertex lies, ranks of the axes, and what the weights come from."""
    cx, cy, cz = np.float32(x / sigma) * axes[0], np.float32(y / sigma) * axes[1], np.float32(z / sigma) * axes[2]
    e3 = np.float32(0) - np.float32(3) * cz
    total = cz
    e2 = total - np.float32(2) * cy
    total += cy
    e1 = total - cx
    e0 = total + cx
    quarter = np.float32(0.25)
    n0, n1, n2, n3 = np.rint(e0 * quarter), np.rint(e1 * quarter), np.rint(e2 * quarter), np.rint(e3 * quarter)
    i0, i1, i2, i3 = np.int64(n0), np.int64(n1), np.int64(n2), np.int64(n3)
    d0, d1, d2, d3 = e0 - 4 * i0, e1 - 4 * i1, e2 - 4 * i2, e3 - 4 * i3
    b01, b02, b03, b12, b13, b23 = d0 < d1, d0 < d2, d0 < d3, d1 < d2, d1 < d3, d2 < d3
    shift = i0 + i1 + i2 + i3
    k0 = np.int64(b01) + np.int64(b02) + np.int64(b03) + shift
    k1 = 1 - np.int64(b01) + np.int64(b12) + np.int64(b13) + shift
    k2 = 2 - np.int64(b02) - np.int64(b12) + np.int64(b23) + shift
    k3 = 3 - np.int64(b03) - np.int64(b13) - np.int64(b23) + shift
    i0, k0 = _wrapped(i0, k0)
    i1, k1 = _wrapped(i1, k1)
    i2, k2 = _wrapped(i2, k2)
    i3, k3 = _wrapped(i3, k3)
    v0, v1 = (e0 - np.float32(4 * i0)) * quarter, (e1 - np.float32(4 * i1)) * quarter
    v2, v3 = (e2 - np.float32(4 * i2)) * quarter, (e3 - np.float32(4 * i3)) * quarter
    return 4 * i0, 4 * i1, 4 * i2, k0, k1, k2, k3, v0, v1, v2, v3


@njit(cache=True, nogil=True, inline="always")
@no_type_check
def _wrapped(cell, rank):
    if rank < 0:
        return cell + 1, rank + 4
    if rank >= 4:
        return cell - 1, rank - 4
    return cell, rank


@njit(cache=True, nogil=True)
@no_type_check
def _find(table, vertices, x, y, z):
    """Slot of a key in the open-addressing table: its entry is the vertex number, or -1 where the key is free."""
    mask = table.shape[0] - 1
    slot = ((x * 73856093) ^ (y * 19349663) ^ (z * 83492791)) & mask
    while table[slot] >= 0:
        v = table[slot]
        if vertices[v, 0] == x and vertices[v, 1] == y and vertices[v, 2] == z:
            break
        slot = (slot + 1) & mask
    return slot


@njit(cache=True, nogil=True)
@no_type_check
def _insert(points, sigma, axes, table, vertices, size):
    """Vertices [points, 4] and weights of every point; new vertices join the (grown) table."""
    num = points.shape[0]
    vertex_of, weights = np.empty((num, 4), np.int32), np.empty((num, 4), np.float32)
    by_rank = np.empty(4, np.float32)
    l0 = l1 = l2 = m0 = m1 = m2 = m3 = np.int64(-1)
    for p in range(num):
        r0, r1, r2, k0, k1, k2, k3, v0, v1, v2, v3 = _embed(points[p, 0], points[p, 1], points[p, 2], sigma, axes)
        by_rank[k0], by_rank[k1], by_rank[k2], by_rank[k3] = v0, v1, v2, v3
        weights[p, 0] = by_rank[3] + (np.float32(1) - by_rank[0])
        weights[p, 1] = by_rank[2] - by_rank[3]
        weights[p, 2] = by_rank[1] - by_rank[2]
        weights[p, 3] = by_rank[0] - by_rank[1]
        # Neighbours in the cloud mostly share their simplex.
        if p > 0 and r0 == l0 and r1 == l1 and r2 == l2 and k0 == m0 and k1 == m1 and k2 == m2 and k3 == m3:
            for k in range(4):
                vertex_of[p, k] = vertex_of[p - 1, k]
            continue
        l0, l1, l2, m0, m1, m2, m3 = r0, r1, r2, k0, k1, k2, k3
        for k in range(4):
            x = r0 + (k if k0 <= 3 - k else k - 4)
            y = r1 + (k if k1 <= 3 - k else k - 4)
            z = r2 + (k if k2 <= 3 - k else k - 4)
            slot = _find(table, vertices, x, y, z)
            if table[slot] < 0:
                if size == vertices.shape[0]:
                    grown = np.empty((2 * size, 3), np.int64)
                    grown[:size] = vertices
                    vertices = grown
                    table = np.full(4 * size, -1, np.int64)
                    for v in range(size):
                        table[_find(table, vertices, vertices[v, 0], vertices[v, 1], vertices[v, 2])] = v
                    slot = _find(table, vertices, x, y, z)
                vertices[size, 0], vertices[size, 1], vertices[size, 2] = x, y, z
                table[slot] = size
                size += 1
            vertex_of[p, k] = table[slot]
    return vertex_of, weights, table, vertices, size


@njit(cache=True, nogil=True)
@no_type_check
def _splat(target, sigma, axes):
    """Hash table, vertices and their sums of (1, coordinates) of the target."""
    table, vertices = np.full(1024, -1, np.int64), np.empty((512, 3), np.int64)
    vertex_of, weights, table, vertices, size = _insert(target, sigma, axes, table, vertices, 0)
    values = np.zeros((size, 4), np.float32)
    for p in range(target.shape[0]):
        for k in range(4):
            v, w = vertex_of[p, k], weights[p, k]
            values[v, 0] += w
            for i in range(3):
                values[v, i + 1] += w * np.float32(target[p, i])
    return table, vertices, values


@njit(cache=True, nogil=True)
@no_type_check
def _slice(source, sigma, axes, table, vertices, splatted, is_padded, blur):
    """Sums at the source and the number of vertices, after a blur along the four lattice axes if that is wanted."""
    table, vertices, size = table.copy(), vertices.copy(), splatted.shape[0]
    vertex_of, weights, table, vertices, size = _insert(source, sigma, axes, table, vertices, size)
    if is_padded:
        _, _, table, vertices, size = _insert(np.zeros((1, 3)), sigma, axes, table, vertices, size)
    values = np.zeros((size, 4), np.float32)
    values[: splatted.shape[0]] = splatted
    if blur:
        blurred = np.empty_like(values)
        for axis in range(4):
            for v in range(size):
                x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
                dx = 3 if axis == 0 else -1
                dy = 3 if axis == 1 else -1
                dz = 3 if axis == 2 else -1
                before = table[_find(table, vertices, x - dx, y - dy, z - dz)]
                after = table[_find(table, vertices, x + dx, y + dy, z + dz)]
                for i in range(4):
                    low = values[before, i] if before >= 0 else np.float32(0)
                    high = values[after, i] if after >= 0 else np.float32(0)
                    blurred[v, i] = values[v, i] + np.float32(0.5) * (low + high)
            values, blurred = blurred, values

    sums = np.zeros((source.shape[0], 4), np.float32)
    scale = np.float32(1.0 / 1.125)
    for p in range(source.shape[0]):
        for k in range(4):
            v, w = vertex_of[p, k], weights[p, k]
            for i in range(4):
                sums[p, i] += w * values[v, i] * scale
    return sums, size
