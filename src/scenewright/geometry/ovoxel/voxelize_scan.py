"""Scan conversion of a triangle against the lines of a grid: where does it cross grid edges?

Lines parallel to axis `a2` pass through the grid points of the two other axes, a0 = a2 + 1 and a1 = a2 + 2 (mod 3). A
row holds a1 fixed at (j + 1) s1; inside it, columns hold a0 fixed at (i + 1) s0; the crossing height decides the cell
k along a2. Everything is float64, and rounding is part of the definition (which side a tie falls on): sheet O-Voxel,
step 1.

Legend: s voxel size, n grid cells, t0 <= t1 <= t2 the triangle's vertices by their a1 value; rows are (a0, a1, a2).
"""

from typing import no_type_check

import numpy as np

from scenewright.compiled import njit

__all__ = ["cell_of", "row_crossings", "sorted_rows"]


@njit(cache=True, nogil=True)
@no_type_check
def cell_of(value, size, cells):
    """Cell of `value`, rounded towards zero and kept inside the grid."""
    # Compare as floats: an integer conversion of a huge value is undefined.
    cell = value / size
    if cell <= 0.0:
        return np.int64(0)
    if cell >= cells - 1:
        return np.int64(cells - 1)
    return np.int64(cell)


@njit(cache=True, nogil=True)
@no_type_check
def _between(a, b, x, value_a, value_b):
    if a == b:
        return value_a
    t = (x - a) / (b - a)
    return (1.0 - t) * value_a + t * value_b


@njit(cache=True, nogil=True)
@no_type_check
def sorted_rows(triangle, a2, size, cells, t):
    """Fill `t` with the vertices as (a0, a1, a2), sorted by a1 (stable); return the first, middle and end row."""
    a0, a1 = (a2 + 1) % 3, (a2 + 2) % 3
    i, j, k = 0, 1, 2
    y0, y1, y2 = triangle[0, a1], triangle[1, a1], triangle[2, a1]
    if y1 < y0:
        i, j = j, i
        y0, y1 = y1, y0
    if y2 < y1:
        j, k = k, j
        y1, y2 = y2, y1
        if y1 < y0:
            i, j = j, i
            y0, y1 = y1, y0
    t[0, 0], t[0, 1], t[0, 2] = triangle[i, a0], y0, triangle[i, a2]
    t[1, 0], t[1, 1], t[1, 2] = triangle[j, a0], y1, triangle[j, a2]
    t[2, 0], t[2, 1], t[2, 2] = triangle[k, a0], y2, triangle[k, a2]
    s, n = size[a1], cells[a1]
    return cell_of(y0, s, n), cell_of(y1, s, n), cell_of(y2, s, n)


@njit(cache=True, nogil=True)
@no_type_check
def row_crossings(t, j, is_first_half, a2, size, cells, low, high, heights):
    """First column of row j in [low, high) and the number of columns; `heights[c]` is the a2 value of the c-th."""
    a0, a1 = (a2 + 1) % 3, (a2 + 2) % 3
    y = (j + 1) * size[a1]
    p = 0 if is_first_half else 2
    q = 2 - p
    x_a = _between(t[p, 1], t[1, 1], y, t[p, 0], t[1, 0])
    z_a = _between(t[p, 1], t[1, 1], y, t[p, 2], t[1, 2])
    x_b = _between(t[p, 1], t[q, 1], y, t[p, 0], t[q, 0])
    z_b = _between(t[p, 1], t[q, 1], y, t[p, 2], t[q, 2])
    if x_a > x_b:
        x_a, x_b = x_b, x_a
        z_a, z_b = z_b, z_a
    first = max(cell_of(x_a, size[a0], cells[a0]), low)
    last = min(cell_of(x_b, size[a0], cells[a0]), high)
    for i in range(first, last):
        heights[i - first] = _between(x_a, x_b, (i + 1) * size[a0], z_a, z_b)
    return first, max(last - first, 0)
