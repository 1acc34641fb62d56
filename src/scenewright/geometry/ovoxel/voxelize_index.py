"""A two-level index from voxel coordinates to row numbers: a dense grid of bricks, each holding 8^3 row numbers.

Surfaces touch few bricks and touch them many times in a row, so a look-up is two loads that are nearly always in
cache; a hash table of the same voxels costs a cache miss each time. Memory is linear in touched bricks plus 1/512 of
the covered box. Only numba kernels live here; they carry no annotations because they are compiled.

Legend: `top` int32 [bricks in the box], -1 where empty; `bricks` int32 [B, 512], -1 where no voxel; `counters` int64
[2] = (rows, bricks) in use. The box starts at brick-aligned x `x0`, and at 0 on y and z; `nby`, `nbz` are its size in
bricks.
"""

from typing import no_type_check

import numpy as np

from scenewright.compiled import njit

__all__ = ["brick_rows", "grown", "index_coords", "row_at", "sorted_voxels", "touch_row"]

_EMPTY = np.int32(-1)


@njit(cache=True, nogil=True)
@no_type_check
def row_at(top, bricks, x0, nby, nbz, x, y, z):
    """Row of voxel (x, y, z), or -1. The voxel must lie in the box."""
    brick = top[(((x - x0) >> 3) * nby + (y >> 3)) * nbz + (z >> 3)]
    if brick < 0:
        return np.int64(-1)
    return np.int64(bricks[brick, ((x & 7) << 6) | ((y & 7) << 3) | (z & 7)])


@njit(cache=True, nogil=True)
@no_type_check
def grown(rows, used, capacity):
    """`capacity` rows: the first `used` of `rows`, then zeros."""
    # Loops, because numba compiles an assignment to a slice, with its check of shapes, for two seconds.
    larger = np.zeros((capacity, rows.shape[1]), rows.dtype)
    for row in range(used):
        for column in range(rows.shape[1]):
            larger[row, column] = rows[row, column]
    return larger


@njit(cache=True, nogil=True)
@no_type_check
def touch_row(top, bricks, counters, x0, nby, nbz, x, y, z):
    """Row of voxel (x, y, z), made when missing. The caller keeps one spare brick per call (see `brick_rows`)."""
    at = (((x - x0) >> 3) * nby + (y >> 3)) * nbz + (z >> 3)
    brick = top[at]
    if brick < 0:
        brick = counters[1]
        counters[1] += 1
        top[at] = brick
        bricks[brick, :] = _EMPTY
    cell = ((x & 7) << 6) | ((y & 7) << 3) | (z & 7)
    row = np.int64(bricks[brick, cell])
    if row < 0:
        row = counters[0]
        counters[0] += 1
        bricks[brick, cell] = row
    return row


@njit(cache=True, nogil=True)
@no_type_check
def brick_rows(bricks, used, spare):
    """`bricks` itself, or a copy at least half as large again, with room for `spare` more than `used`."""
    if used + spare <= bricks.shape[0]:
        return bricks
    return grown(bricks, used, used + spare + used // 2)


@njit(cache=True, nogil=True)
@no_type_check
def index_coords(coords, shape):
    """Index of the given voxels: (top, bricks, duplicates). A row is a position in `coords`; the last one wins."""
    nbx, nby, nbz = (shape[0] + 7) >> 3, (shape[1] + 7) >> 3, (shape[2] + 7) >> 3
    top = np.full(nbx * nby * nbz, _EMPTY, np.int32)
    used = 0
    for n in range(coords.shape[0]):
        at = ((coords[n, 0] >> 3) * nby + (coords[n, 1] >> 3)) * nbz + (coords[n, 2] >> 3)
        if top[at] < 0:
            top[at] = used
            used += 1
    bricks = np.full((used, 512), _EMPTY, np.int32)
    duplicates = 0
    for n in range(coords.shape[0]):
        x, y, z = coords[n, 0], coords[n, 1], coords[n, 2]
        brick = top[((x >> 3) * nby + (y >> 3)) * nbz + (z >> 3)]
        cell = ((x & 7) << 6) | ((y & 7) << 3) | (z & 7)
        duplicates += bricks[brick, cell] >= 0
        bricks[brick, cell] = n
    return top, bricks, duplicates


@njit(cache=True, nogil=True)
@no_type_check
def sorted_voxels(top, bricks, num_rows, cells, x0, x1):
    """Coordinates int32 [N, 3] in ascending (x, y, z) order, with the row of each; the box is x0 <= x < x1."""
    nby, nbz = (cells[1] + 7) >> 3, (cells[2] + 7) >> 3
    coords = np.empty((num_rows, 3), np.int32)
    order = np.empty(num_rows, np.int64)
    column, column_z = np.empty(nbz, np.int64), np.empty(nbz, np.int64)
    n = 0
    for bx in range((x1 - x0 + 7) >> 3):
        for lx in range(8):
            for by in range(nby):
                filled = 0
                for bz in range(nbz):
                    brick = top[(bx * nby + by) * nbz + bz]
                    if brick >= 0:
                        column[filled], column_z[filled] = brick, 8 * bz
                        filled += 1
                if filled == 0:
                    continue
                for ly in range(8):
                    for entry in range(filled):
                        for lz in range(8):
                            row = bricks[column[entry], (lx << 6) | (ly << 3) | lz]
                            if row >= 0:
                                coords[n, 0], coords[n, 1] = x0 + 8 * bx + lx, 8 * by + ly
                                coords[n, 2] = column_z[entry] + lz
                                order[n] = row
                                n += 1
    return coords, order
