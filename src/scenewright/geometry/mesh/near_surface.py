"""Which pieces of a surface lie farther than a tolerance from another surface, a voxel or less away?

A triangle is halved across its longest edge until each piece is decided. A piece with centre c and radius r is near
when c is within `tolerance` - r of the other surface, for then all of it is within `tolerance`: most pieces are
decided at nearly that radius, a few to a voxel. At the smallest radius the centre decides.

The other surface lists its triangles per voxel such that every triangle within a voxel of a point is listed in the
point's voxel or one of its 26 neighbours: by the voxels that a triangle goes through (`surface_by_voxels`), or, for the
surface of a dual grid, by the voxels of its vertices (`surface_by_vertices`).

Legend: V vertices, T triangles, N listed voxels. Lengths in voxels from the grid's low corner, float64. Work is linear
in the surfaces' areas in voxels. The brick index: see voxelize_index. Kernels carry no annotations: they are compiled.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from scenewright.geometry.mesh.triangle_tree import on_triangle
from scenewright.geometry.ovoxel.voxelize_index import brick_rows, index_coords, row_at, touch_row
from scenewright.machine import available_cores

__all__ = [
    "FINEST",
    "NearSurface",
    "closest_on_surface",
    "far_pieces",
    "farthest_of_quad",
    "points_in_voxel",
    "surface_by_vertices",
    "surface_by_voxels",
    "surface_distance",
    "working_room",
]

# Pieces this small are judged by their centre alone.
FINEST = 0.1
_STACK = 128
_FAR = 1e9
_MAX_TRIANGLES_PER_TASK = 16384


class NearSurface(NamedTuple):
    """A surface and the triangles near each voxel: `members[table[n] : table[n + 1]]` are those of the n-th.

    A triangle's points lie at most `reach` outside of the voxels that list it.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    table: np.ndarray
    members: np.ndarray
    top: np.ndarray
    bricks: np.ndarray
    shape: np.ndarray
    reach: float


def surface_by_vertices(coords: np.ndarray, vertices: np.ndarray, triangles: np.ndarray) -> NearSurface:
    """The surface of a dual grid: `coords` int32 [V, 3] are the voxels of its vertices, with no triangle beyond."""
    table, members = _triangles_of_vertices(triangles, len(coords))
    shape = coords.max(0).astype(np.int64) + 1 if len(coords) else np.zeros(3, np.int64)
    top, bricks, _ = index_coords(coords, shape)
    return NearSurface(vertices, triangles, table, members, top, bricks, shape, 1.0)


def surface_by_voxels(vertices: np.ndarray, triangles: np.ndarray, resolution: int) -> NearSurface:
    """Any surface inside the grid, by the voxels that its triangles go through (or come near to)."""
    shape = np.full(3, resolution, np.int64)
    table, members, top, bricks = _triangles_through_voxels(vertices, triangles, shape)
    return NearSurface(vertices, triangles, table, members, top, bricks, shape, 0.0)


def far_pieces(
    vertices: Float[np.ndarray, "V 3"],
    triangles: Int[np.ndarray, "T 3"],
    surface: NearSurface,
    tolerance: float,
    *,
    chosen: Int[np.ndarray, " n"] | None = None,
    num_threads: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Float[np.ndarray, "M 5"]:
    """Pieces of the triangles (of those `chosen`) farther than `tolerance`: centre, distance and triangle, in order.

    Distances are exact up to one voxel, and beyond that too large or sqrt(1e9). The result does not depend on
    `num_threads` (None: one per processor).
    """
    chosen = np.arange(len(triangles)) if chosen is None else chosen
    size = min(max(len(chosen) // 16, 64), _MAX_TRIANGLES_PER_TASK)
    tasks = [chosen[at : at + size] for at in range(0, len(chosen), size)]

    def solve(task: np.ndarray) -> np.ndarray:
        return np.asarray(_far_pieces(vertices, triangles, task, surface, tolerance))

    # Kernels release the interpreter lock. The first call compiles; one thread must do that alone.
    parts = [np.empty((0, 5)), *(solve(task) for task in tasks[:1])]
    with ThreadPoolExecutor(num_threads or available_cores()) as pool:
        for done, part in enumerate(pool.map(solve, tasks[1:]), start=2):
            parts.append(part)
            if progress is not None:
                progress(done / len(tasks))
    return np.concatenate(parts)


@njit(cache=True, nogil=True)
@no_type_check
def _triangles_of_vertices(triangles, num_vertices):
    table = np.zeros(num_vertices + 1, np.int64)
    for n in range(triangles.shape[0]):
        for corner in range(3):
            table[triangles[n, corner] + 1] += 1
    table = np.cumsum(table)
    members = np.empty(3 * triangles.shape[0], np.int32)
    cursor = table[:-1].copy()
    for n in range(triangles.shape[0]):
        for corner in range(3):
            members[cursor[triangles[n, corner]]] = n
            cursor[triangles[n, corner]] += 1
    return table, members


@njit(cache=True, nogil=True)
@no_type_check
def _load(vertices, triangles, n, stack, depth):
    for corner in range(3):
        for axis in range(3):
            stack[depth, 3 * corner + axis] = vertices[triangles[n, corner], axis]


@njit(cache=True, nogil=True)
@no_type_check
def _turn_longest_first(s):
    """Turn the corners of s = (a, b, c) so that a-b is the longest edge; returns its squared length."""
    ab = (s[3] - s[0]) ** 2 + (s[4] - s[1]) ** 2 + (s[5] - s[2]) ** 2
    bc = (s[6] - s[3]) ** 2 + (s[7] - s[4]) ** 2 + (s[8] - s[5]) ** 2
    ca = (s[0] - s[6]) ** 2 + (s[1] - s[7]) ** 2 + (s[2] - s[8]) ** 2
    if bc > ab and bc >= ca:
        s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8] = s[3], s[4], s[5], s[6], s[7], s[8], s[0], s[1], s[2]
        return bc
    if ca > ab:
        s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8] = s[6], s[7], s[8], s[0], s[1], s[2], s[3], s[4], s[5]
        return ca
    return ab


@njit(cache=True, nogil=True)
@no_type_check
def _push_halves(s, stack, depth):
    """Put the two halves of s = (a, b, c), cut from c to the middle of a-b, on the stack; returns its depth."""
    for half in range(2):
        for axis in range(3):
            stack[depth, axis] = (s[axis] + s[3 + axis]) / 2
            stack[depth, 3 + axis] = s[6 + axis] if half == 0 else s[3 + axis]
            stack[depth, 6 + axis] = s[axis] if half == 0 else s[6 + axis]
        depth += 1
    return depth


@njit(cache=True, nogil=True)
@no_type_check
def _triangles_through_voxels(vertices, triangles, shape):
    """(table, members, top, bricks) of the voxels in the boxes round pieces of at most a voxel."""
    nby, nbz = (shape[1] + 7) >> 3, (shape[2] + 7) >> 3
    top = np.full(((shape[0] + 7) >> 3) * nby * nbz, np.int32(-1), np.int32)
    counters = np.zeros(2, np.int64)
    bricks = np.empty((64, 512), np.int32)
    # Lists while they grow: the newest entry of each voxel, and each entry's triangle and the entry before it.
    newest = np.empty(4096, np.int64)
    triangle_of = np.empty(4096, np.int32)
    before = np.empty(4096, np.int64)
    num_entries = 0
    stack, s = np.empty((_STACK, 9)), np.empty(9)
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for n in range(triangles.shape[0]):
        _load(vertices, triangles, n, stack, 0)
        depth = 1
        while depth > 0:
            depth -= 1
            s[:] = stack[depth]
            if _turn_longest_first(s) > 1.0:
                depth = _push_halves(s, stack, depth)
                continue
            for axis in range(3):
                most = shape[axis] - 1
                low[axis] = min(max(np.int64(np.floor(min(s[axis], s[3 + axis], s[6 + axis]))), 0), most)
                high[axis] = min(max(np.int64(np.floor(max(s[axis], s[3 + axis], s[6 + axis]))), 0), most)
            bricks = brick_rows(bricks, counters[1], 8)
            for x in range(low[0], high[0] + 1):
                for y in range(low[1], high[1] + 1):
                    for z in range(low[2], high[2] + 1):
                        known = counters[0]
                        row = touch_row(top, bricks, counters, 0, nby, nbz, x, y, z)
                        if row == known:
                            if row == newest.shape[0]:
                                newest = np.concatenate((newest, np.empty_like(newest)))
                            newest[row] = -1
                        # All pieces of a triangle come one after the other.
                        elif triangle_of[newest[row]] == n:
                            continue
                        if num_entries == before.shape[0]:
                            before = np.concatenate((before, np.empty_like(before)))
                            triangle_of = np.concatenate((triangle_of, np.empty_like(triangle_of)))
                        triangle_of[num_entries], before[num_entries] = n, newest[row]
                        newest[row] = num_entries
                        num_entries += 1
    table = np.empty(counters[0] + 1, np.int64)
    table[0] = 0
    members = np.empty(num_entries, np.int32)
    filled = 0
    for row in range(counters[0]):
        entry = newest[row]
        while entry >= 0:
            members[filled] = triangle_of[entry]
            entry = before[entry]
            filled += 1
        table[row + 1] = filled
    return table, members, top, bricks[: counters[1]].copy()


@njit(cache=True, nogil=True)
@no_type_check
def _row(x, y, z, surface):
    shape = surface.shape
    if x < 0 or y < 0 or z < 0 or x >= shape[0] or y >= shape[1] or z >= shape[2]:
        return np.int64(-1)
    return row_at(surface.top, surface.bricks, 0, (shape[1] + 7) >> 3, (shape[2] + 7) >> 3, x, y, z)


@njit(cache=True, nogil=True)
@no_type_check
def _near_voxel(px, py, pz, row, surface, best, enough, t, found):
    """The smaller of `best` and the squared distance to one voxel's triangles; stops at `enough`; `found` is where."""
    for at in range(surface.table[row], surface.table[row + 1]):
        for corner in range(3):
            vertex = surface.triangles[surface.members[at], corner]
            for axis in range(3):
                t[corner, axis] = surface.vertices[vertex, axis]
        distance2, a, b, c = on_triangle(px, py, pz, t)
        if distance2 < best:
            best = distance2
            for axis in range(3):
                found[axis] = a * t[0, axis] + b * t[1, axis] + c * t[2, axis]
        if best <= enough:
            break
    return best


@njit(cache=True, nogil=True)
@no_type_check
def _near(px, py, pz, surface, rings, enough, t, found):
    """Squared distance to the surface, exact up to `rings` voxels, then a bound or 1e9; stops at `enough`."""
    x, y, z = np.int64(np.floor(px)), np.int64(np.floor(py)), np.int64(np.floor(pz))
    best = limit2 = _FAR
    for ring in range(rings + 1):
        for i in range(x - ring, x + ring + 1):
            for j in range(y - ring, y + ring + 1):
                for k in range(z - ring, z + ring + 1):
                    if max(abs(i - x), abs(j - y), abs(k - z)) < ring:
                        continue
                    gx, gy, gz = (
                        max(i - px, px - i - 1, 0.0),
                        max(j - py, py - j - 1, 0.0),
                        max(k - pz, pz - k - 1, 0.0),
                    )
                    if gx * gx + gy * gy + gz * gz >= limit2:
                        continue
                    row = _row(i, j, k, surface)
                    if row >= 0:
                        best = _near_voxel(px, py, pz, row, surface, best, enough, t, found)
                        if best <= enough:
                            return best
                        limit2 = (np.sqrt(best) + surface.reach) ** 2
        # A triangle that no voxel so far lists is at least this far.
        if ring > 0 and best <= ring * ring:
            return best
    return best


@njit(cache=True, nogil=True)
@no_type_check
def _far_of_triangle(surface, rings, tolerance, finest, stack, s, t, found, face, pieces, count):
    """Add the undecided or far pieces of the triangle in `stack[0]` to `pieces`; returns both (it may have grown)."""
    depth = 1
    while depth > 0:
        depth -= 1
        s[:] = stack[depth]
        ab = _turn_longest_first(s)
        if ab <= 4 * tolerance * tolerance:
            # The middle of the longest edge, or the centroid: whichever has all corners nearer.
            px, py, pz = (s[0] + s[3]) / 2, (s[1] + s[4]) / 2, (s[2] + s[5]) / 2
            radius2 = max(ab / 4, (s[6] - px) ** 2 + (s[7] - py) ** 2 + (s[8] - pz) ** 2)
            gx, gy, gz = (s[0] + s[3] + s[6]) / 3, (s[1] + s[4] + s[7]) / 3, (s[2] + s[5] + s[8]) / 3
            other2 = 0.0
            for corner in range(3):
                other2 = max(
                    other2,
                    (s[3 * corner] - gx) ** 2 + (s[3 * corner + 1] - gy) ** 2 + (s[3 * corner + 2] - gz) ** 2,
                )
            if other2 < radius2:
                px, py, pz, radius2 = gx, gy, gz, other2
            radius = np.sqrt(radius2)
            if radius < tolerance:
                is_last = radius <= finest
                enough = tolerance**2 if is_last else (tolerance - radius) ** 2
                row = _row(np.int64(np.floor(px)), np.int64(np.floor(py)), np.int64(np.floor(pz)), surface)
                best = _FAR
                if row >= 0:
                    best = _near_voxel(px, py, pz, row, surface, best, enough, t, found)
                # Other voxels' triangles are many: ask them last, or where there is no voxel.
                if best > enough and (is_last or row < 0):
                    best = _near(px, py, pz, surface, rings, enough, t, found)
                if best <= enough:
                    continue
                if is_last:
                    if count == pieces.shape[0]:
                        pieces = np.concatenate((pieces, np.empty_like(pieces)))
                    pieces[count, 0], pieces[count, 1], pieces[count, 2] = px, py, pz
                    pieces[count, 3], pieces[count, 4] = np.sqrt(best), face
                    count += 1
                    continue
        # The stack holds one waiting half per level.
        depth = _push_halves(s, stack, depth)
    return pieces, count


@njit(cache=True, nogil=True)
@no_type_check
def _far_pieces(vertices, triangles, chosen, surface, tolerance):
    pieces = np.empty((64, 5))
    count = 0
    stack, s, t, found = np.empty((_STACK, 9)), np.empty(9), np.empty((3, 3)), np.empty(3)
    for n in chosen:
        _load(vertices, triangles, n, stack, 0)
        pieces, count = _far_of_triangle(surface, 1, tolerance, FINEST, stack, s, t, found, n, pieces, count)
    return pieces[:count].copy()


@njit(cache=True, nogil=True)
@no_type_check
def working_room():
    """Arrays to work in, made once: a stack of pieces, one piece, one triangle, one point, and far pieces."""
    return np.empty((_STACK, 9)), np.empty(9), np.empty((3, 3)), np.empty(3), np.empty((256, 5))


@njit(cache=True, nogil=True)
@no_type_check
def farthest_of_quad(corners, surface, tolerance, finest, room):
    """Largest distance of a quad [4, 3] (its diagonal q0-q2) from the surface, 0 where it is within `tolerance`."""
    stack, s, t, found, pieces = room
    farthest = 0.0
    for first in (1, 2):
        for axis in range(3):
            stack[0, axis] = corners[0, axis]
            stack[0, 3 + axis] = corners[first, axis]
            stack[0, 6 + axis] = corners[first + 1, axis]
        pieces, count = _far_of_triangle(surface, 2, tolerance, finest, stack, s, t, found, 0, pieces, 0)
        for n in range(count):
            farthest = max(farthest, pieces[n, 3])
    return farthest


@njit(cache=True, nogil=True)
@no_type_check
def closest_on_surface(px, py, pz, surface, t, found):
    """Fill `found` with the closest point of the surface within about two voxels; returns the squared distance."""
    return _near(px, py, pz, surface, 2, 0.0, t, found)


@njit(cache=True, nogil=True)
@no_type_check
def points_in_voxel(x, y, z, surface, spacing, stack, s, points, count):
    """Add points of the surface inside a voxel, about `spacing` apart, to `points` [M, 3]; returns both."""
    row = _row(x, y, z, surface)
    if row < 0:
        return points, count
    for at in range(surface.table[row], surface.table[row + 1]):
        _load(surface.vertices, surface.triangles, surface.members[at], stack, 0)
        depth = 1
        while depth > 0:
            depth -= 1
            s[:] = stack[depth]
            if min(s[0], s[3], s[6]) >= x + 1 or min(s[1], s[4], s[7]) >= y + 1 or min(s[2], s[5], s[8]) >= z + 1:
                continue
            if max(s[0], s[3], s[6]) < x or max(s[1], s[4], s[7]) < y or max(s[2], s[5], s[8]) < z:
                continue
            if _turn_longest_first(s) > spacing * spacing:
                depth = _push_halves(s, stack, depth)
                continue
            px, py, pz = (s[0] + s[3] + s[6]) / 3, (s[1] + s[4] + s[7]) / 3, (s[2] + s[5] + s[8]) / 3
            if np.floor(px) != x or np.floor(py) != y or np.floor(pz) != z:
                continue
            if count == points.shape[0]:
                points = np.concatenate((points, np.empty_like(points)))
            points[count, 0], points[count, 1], points[count, 2] = px, py, pz
            count += 1
    return points, count


@njit(cache=True, nogil=True)
@no_type_check
def surface_distance(points, surface, tolerance):
    """Distance of points [M, 3] to the surface, float64 [M]: exact from `tolerance` to one voxel, else a bound."""
    distance = np.empty(points.shape[0])
    t, found = np.empty((3, 3)), np.empty(3)
    for n in range(points.shape[0]):
        distance[n] = np.sqrt(_near(points[n, 0], points[n, 1], points[n, 2], surface, 1, tolerance**2, t, found))
    return distance
