"""The smallest value of a quadratic inside a box: where a dual vertex sits in its voxel.

Minimises x.A.x + 2 b.x over 0 <= x <= s. The free minimum is kept when it lies in the closed box; otherwise the best
of the 26 constrained candidates is taken: 6 faces, 12 edges, 8 corners, each lower bound first, the first of equals
winning (sheet O-Voxel, step 5; Ju et al., Dual Contouring of Hermite Data, 2002, for the idea). Float64 throughout.

Legend: A symmetric 3x3 given by its upper triangle, s box size, o the box's low corner in the frame of the whole grid.
"""

from typing import no_type_check

import numpy as np

from scenewright.compiled import njit

__all__ = ["minimise_in_box"]

# Below this ratio of a determinant to the product of its diagonal a system is solved with pivoting (sums are float32).
_SINGULAR = 1e-6


@njit(cache=True, nogil=True)
@no_type_check
def _energy(a00, a01, a02, a11, a12, a22, b0, b1, b2, x, y, z):
    return (
        x * (a00 * x + 2.0 * (a01 * y + a02 * z + b0)) + y * (a11 * y + 2.0 * (a12 * z + b1)) + z * (a22 * z + 2.0 * b2)
    )


@njit(cache=True, nogil=True)
@no_type_check
def _pivoted_solution(a, rhs):
    """A solution of the singular system a x = rhs by elimination with full pivoting; free unknowns are zero."""
    x = np.zeros(3)
    order = np.array([0, 1, 2])
    rank = 0
    largest = 0.0
    for step in range(3):
        pivot, value = step, abs(a[order[step], order[step]])
        for other in range(step + 1, 3):
            if abs(a[order[other], order[other]]) > value:
                pivot, value = other, abs(a[order[other], order[other]])
        if step == 0:
            largest = value
        if value <= 1e-6 * largest or value == 0.0:
            break
        order[step], order[pivot] = order[pivot], order[step]
        p = order[step]
        for other in range(step + 1, 3):
            q = order[other]
            factor = a[q, p] / a[p, p]
            for column in range(3):
                a[q, column] -= factor * a[p, column]
            rhs[q] -= factor * rhs[p]
        rank += 1
    for step in range(rank - 1, -1, -1):
        p = order[step]
        total = rhs[p]
        for other in range(step + 1, rank):
            total -= a[p, order[other]] * x[order[other]]
        x[p] = total / a[p, p]
    return x


@njit(cache=True, nogil=True)
@no_type_check
def _free_minimum(a00, a01, a02, a11, a12, a22, b0, b1, b2, o0, o1, o2):
    c00, c01, c02 = a11 * a22 - a12 * a12, a02 * a12 - a01 * a22, a01 * a12 - a02 * a11
    determinant = a00 * c00 + a01 * c01 + a02 * c02
    if determinant > _SINGULAR * a00 * a11 * a22:
        c11, c12, c22 = a00 * a22 - a02 * a02, a01 * a02 - a00 * a12, a00 * a11 - a01 * a01
        scale = -1.0 / determinant
        return (
            scale * (c00 * b0 + c01 * b1 + c02 * b2),
            scale * (c01 * b0 + c11 * b1 + c12 * b2),
            scale * (c02 * b0 + c12 * b1 + c22 * b2),
        )
    # The published solver works in the grid's frame: there a free unknown of zero is the grid's origin.
    a = np.array([[a00, a01, a02], [a01, a11, a12], [a02, a12, a22]])
    rhs = np.array(
        [
            a00 * o0 + a01 * o1 + a02 * o2 - b0,
            a01 * o0 + a11 * o1 + a12 * o2 - b1,
            a02 * o0 + a12 * o1 + a22 * o2 - b2,
        ]
    )
    x = _pivoted_solution(a, rhs)
    return x[0] - o0, x[1] - o1, x[2] - o2


@njit(cache=True, nogil=True)
@no_type_check
def minimise_in_box(a00, a01, a02, a11, a12, a22, b0, b1, b2, s0, s1, s2, o0, o1, o2):
    """The point (x, y, z) of the box [0, s] with the smallest x.A.x + 2 b.x."""
    x, y, z = _free_minimum(a00, a01, a02, a11, a12, a22, b0, b1, b2, o0, o1, o2)
    if 0.0 <= x <= s0 and 0.0 <= y <= s1 and 0.0 <= z <= s2:
        return x, y, z
    best = np.inf
    best_x, best_y, best_z = 0.0, 0.0, 0.0

    # Faces: one coordinate fixed, a 2x2 system for the others.
    d_yz, d_xz, d_xy = a11 * a22 - a12 * a12, a00 * a22 - a02 * a02, a00 * a11 - a01 * a01
    if d_yz > _SINGULAR * a11 * a22:
        for side in range(2):
            x = side * s0
            r, t = -(b1 + a01 * x), -(b2 + a02 * x)
            y, z = (a22 * r - a12 * t) / d_yz, (a11 * t - a12 * r) / d_yz
            if 0.0 <= y <= s1 and 0.0 <= z <= s2:
                energy = _energy(a00, a01, a02, a11, a12, a22, b0, b1, b2, x, y, z)
                if energy < best:
                    best, best_x, best_y, best_z = energy, x, y, z
    if d_xz > _SINGULAR * a00 * a22:
        for side in range(2):
            y = side * s1
            r, t = -(b0 + a01 * y), -(b2 + a12 * y)
            x, z = (a22 * r - a02 * t) / d_xz, (a00 * t - a02 * r) / d_xz
            if 0.0 <= x <= s0 and 0.0 <= z <= s2:
                energy = _energy(a00, a01, a02, a11, a12, a22, b0, b1, b2, x, y, z)
                if energy < best:
                    best, best_x, best_y, best_z = energy, x, y, z
    if d_xy > _SINGULAR * a00 * a11:
        for side in range(2):
            z = side * s2
            r, t = -(b0 + a02 * z), -(b1 + a12 * z)
            x, y = (a11 * r - a01 * t) / d_xy, (a00 * t - a01 * r) / d_xy
            if 0.0 <= x <= s0 and 0.0 <= y <= s1:
                energy = _energy(a00, a01, a02, a11, a12, a22, b0, b1, b2, x, y, z)
                if energy < best:
                    best, best_x, best_y, best_z = energy, x, y, z

    # Edges: two coordinates fixed.
    for corner in range(4):
        low, high = corner >> 1, corner & 1
        if a00 > 0.0:
            y, z = low * s1, high * s2
            x = -(b0 + a01 * y + a02 * z) / a00
            if 0.0 <= x <= s0:
                energy = _energy(a00, a01, a02, a11, a12, a22, b0, b1, b2, x, y, z)
                if energy < best:
                    best, best_x, best_y, best_z = energy, x, y, z
    for corner in range(4):
        low, high = corner >> 1, corner & 1
        if a11 > 0.0:
            x, z = low * s0, high * s2
            y = -(b1 + a01 * x + a12 * z) / a11
            if 0.0 <= y <= s1:
                energy = _energy(a00, a01, a02, a11, a12, a22, b0, b1, b2, x, y, z)
                if energy < best:
                    best, best_x, best_y, best_z = energy, x, y, z
    for corner in range(4):
        low, high = corner >> 1, corner & 1
        if a22 > 0.0:
            x, y = low * s0, high * s1
            z = -(b2 + a02 * x + a12 * y) / a22
            if 0.0 <= z <= s2:
                energy = _energy(a00, a01, a02, a11, a12, a22, b0, b1, b2, x, y, z)
                if energy < best:
                    best, best_x, best_y, best_z = energy, x, y, z

    for corner in range(8):
        x, y, z = (corner >> 2) * s0, ((corner >> 1) & 1) * s1, (corner & 1) * s2
        energy = _energy(a00, a01, a02, a11, a12, a22, b0, b1, b2, x, y, z)
        if energy < best:
            best, best_x, best_y, best_z = energy, x, y, z
    return best_x, best_y, best_z
