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
from numba import njit

__all__ = ["GaussianSums", "gaussian_sums"]

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
    if blur is None:
        sums = gaussian_sums(source, target, sigma, blur=True)
        sparse = sums.lattice_size > SPARSE_SHARE * len(target)
        return gaussian_sums(source, target, sigma, blur=False) if sparse else sums
    # Rounding follows the library to the last bit: its stop test reads differences of large single-precision sums.
    stretch = np.float32(np.sqrt(2.0 / 3.0) * 4.0 if blur else np.sqrt(1.0 / 6.0) * 4.0)
    axes = (float(stretch) / np.sqrt(np.array([2.0, 6.0, 12.0]))).astype(np.float32)
    num_points = len(source) + len(target)
    # The library fills its last group of four points with zeros, whose vertices join the lattice.
    features = np.zeros((-(-num_points // 4) * 4, 3), np.float32)
    features[:num_points] = np.concatenate([source, target]) / sigma
    keys, weights = _embed(features, axes)
    sums, size = _filter(keys, weights, target.astype(np.float32), len(source), blur)
    return GaussianSums(sums[:, 0], sums[:, 1:], int(size))


@njit(cache=True, nogil=True)
@no_type_check
def _embed(features, axes):
    """Lattice keys int32 [N, 4, 3] and barycentric weights float32 [N, 4] of every point."""
    num = features.shape[0]
    keys = np.empty((num, 4, 3), np.int32)
    weights = np.empty((num, 4), np.float32)
    elevated = np.empty(4, np.float32)
    remainder = np.empty(4, np.int32)
    rank = np.empty(4, np.int32)
    barycentric = np.empty(5, np.float32)
    for p in range(num):
        total = np.float32(0)
        for j in range(3, 0, -1):
            c = features[p, j - 1] * axes[j - 1]
            elevated[j] = total - np.float32(j) * c
            total += c
        elevated[0] = total
        shift = 0
        for i in range(4):
            nearest = int(np.rint(elevated[i] * np.float32(0.25)))
            remainder[i] = 4 * nearest
            shift += nearest
            rank[i] = 0
        for i in range(3):
            for k in range(i + 1, 4):
                if elevated[i] - remainder[i] < elevated[k] - remainder[k]:
                    rank[i] += 1
                else:
                    rank[k] += 1
        for i in range(4):
            rank[i] += shift
            if rank[i] < 0:
                rank[i] += 4
                remainder[i] += 4
            elif rank[i] >= 4:
                rank[i] -= 4
                remainder[i] -= 4
        barycentric[:] = 0
        for i in range(4):
            v = (elevated[i] - np.float32(remainder[i])) * np.float32(0.25)
            barycentric[3 - rank[i]] += v
            barycentric[4 - rank[i]] -= v
        barycentric[0] += np.float32(1) + barycentric[4]
        for k in range(4):
            weights[p, k] = barycentric[k]
            for i in range(3):
                keys[p, k, i] = remainder[i] + (k if rank[i] <= 3 - k else k - 4)
    return keys, weights


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
def _filter(keys, weights, target, num_source, blur):
    """Splat (1, coordinates) of the target, blur along the four lattice axes, slice at the source."""
    table = np.full(1024, -1, np.int64)
    vertices = np.empty((512, 3), np.int64)
    vertex_of = np.empty((keys.shape[0], 4), np.int64)
    size = 0
    for p in range(keys.shape[0]):
        for k in range(4):
            x, y, z = np.int64(keys[p, k, 0]), np.int64(keys[p, k, 1]), np.int64(keys[p, k, 2])
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

    values = np.zeros((size, 4), np.float32)
    for p in range(target.shape[0]):
        for k in range(4):
            v, w = vertex_of[num_source + p, k], weights[num_source + p, k]
            values[v, 0] += w
            for i in range(3):
                values[v, i + 1] += w * target[p, i]

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

    sums = np.zeros((num_source, 4), np.float32)
    scale = np.float32(1.0 / 1.125)
    for p in range(num_source):
        for k in range(4):
            v, w = vertex_of[p, k], weights[p, k]
            for i in range(4):
                sums[p, i] += w * values[v, i] * scale
    return sums, size
