"""Kernels behind `complete_dual_grid`: which parts of a mesh lie too far from the surface that a dual grid holds?

A triangle is halved across its longest edge until each piece is decided. A piece with centre c and radius r is kept
when c is within `tolerance` - r of the rebuilt surface, for then all of it is within `tolerance`: most pieces are
decided at nearly that radius, a few to a voxel. At the smallest radius the centre decides. Only rebuilt triangles of
c's voxel and its 26 neighbours are looked at: all others are at least a voxel away.

Legend: N voxels, T rebuilt triangles; `table` int64 [N + 1] and `members` list the triangles at each voxel's vertex.
Lengths in voxels from the grid's low corner, float64. The brick index: see voxelize_index.
"""

from typing import no_type_check

import numpy as np
from numba import njit

from scenewright.geometry.triangle_tree import on_triangle
from scenewright.geometry.voxelize_index import row_at

__all__ = ["lost_pieces", "quad_reach", "surface_distance", "triangles_of_voxels"]

# Pieces this small are judged by their centre alone.
_FINEST = 0.1
_STACK = 128
_FAR = 1e9


@njit(cache=True, nogil=True)
@no_type_check
def triangles_of_voxels(triangles, num_voxels):
    """CSR lists of the triangles at each vertex: (table [N + 1], members [3 T])."""
    table = np.zeros(num_voxels + 1, np.int64)
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
def _row(x, y, z, top, bricks, shape):
    if x < 0 or y < 0 or z < 0 or x >= shape[0] or y >= shape[1] or z >= shape[2]:
        return np.int64(-1)
    return row_at(top, bricks, 0, (shape[1] + 7) >> 3, (shape[2] + 7) >> 3, x, y, z)


@njit(cache=True, nogil=True)
@no_type_check
def _near_voxel(px, py, pz, row, positions, triangles, table, members, best, enough, t):
    """The smaller of `best` and the squared distance to the triangles at one voxel's vertex; stops at `enough`."""
    for at in range(table[row], table[row + 1]):
        for corner in range(3):
            vertex = triangles[members[at], corner]
            for axis in range(3):
                t[corner, axis] = positions[vertex, axis]
        best = min(best, on_triangle(px, py, pz, t)[0])
        if best <= enough:
            break
    return best


@njit(cache=True, nogil=True)
@no_type_check
def _near(px, py, pz, positions, triangles, table, members, top, bricks, shape, enough, t):
    """Squared distance to the rebuilt surface round p's voxel; exact up to one voxel, stops at `enough`."""
    x, y, z = np.int64(np.floor(px)), np.int64(np.floor(py)), np.int64(np.floor(pz))
    best = _FAR
    row = _row(x, y, z, top, bricks, shape)
    if row >= 0:
        best = _near_voxel(px, py, pz, row, positions, triangles, table, members, best, enough, t)
    for i in range(x - 1, x + 2):
        for j in range(y - 1, y + 2):
            for k in range(z - 1, z + 2):
                if best <= enough:
                    return best
                row = _row(i, j, k, top, bricks, shape)
                if row >= 0:
                    best = _near_voxel(px, py, pz, row, positions, triangles, table, members, best, enough, t)
    return best


@njit(cache=True, nogil=True)
@no_type_check
def lost_pieces(vertices, faces, positions, triangles, table, members, top, bricks, shape, tolerance):
    """Centres of lost pieces and their distance (up to a voxel, else 1e9 squared), float64 [M, 4], by face."""
    found = np.empty((64, 4))
    count = 0
    stack = np.empty((_STACK, 9))
    t = np.empty((3, 3))
    for f in range(faces.shape[0]):
        for corner in range(3):
            for axis in range(3):
                stack[0, 3 * corner + axis] = vertices[faces[f, corner], axis]
        depth = 1
        while depth > 0:
            depth -= 1
            ax, ay, az = stack[depth, 0], stack[depth, 1], stack[depth, 2]
            bx, by, bz = stack[depth, 3], stack[depth, 4], stack[depth, 5]
            cx, cy, cz = stack[depth, 6], stack[depth, 7], stack[depth, 8]
            ab = (bx - ax) ** 2 + (by - ay) ** 2 + (bz - az) ** 2
            bc = (cx - bx) ** 2 + (cy - by) ** 2 + (cz - bz) ** 2
            ca = (ax - cx) ** 2 + (ay - cy) ** 2 + (az - cz) ** 2
            # Turn the corners so that a-b is the longest edge.
            if bc > ab and bc >= ca:
                ax, ay, az, bx, by, bz, cx, cy, cz = bx, by, bz, cx, cy, cz, ax, ay, az
                ab, bc, ca = bc, ca, ab
            elif ca > ab:
                ax, ay, az, bx, by, bz, cx, cy, cz = cx, cy, cz, ax, ay, az, bx, by, bz
                ab, bc, ca = ca, ab, bc
            mx, my, mz = (ax + bx) / 2, (ay + by) / 2, (az + bz) / 2
            if ab <= 4 * tolerance * tolerance:
                # The middle of the longest edge, or the centroid: whichever has all corners nearer.
                px, py, pz = mx, my, mz
                radius2 = max(ab / 4, (cx - mx) ** 2 + (cy - my) ** 2 + (cz - mz) ** 2)
                gx, gy, gz = (ax + bx + cx) / 3, (ay + by + cy) / 3, (az + bz + cz) / 3
                other2 = max(
                    (ax - gx) ** 2 + (ay - gy) ** 2 + (az - gz) ** 2, (bx - gx) ** 2 + (by - gy) ** 2 + (bz - gz) ** 2
                )
                other2 = max(other2, (cx - gx) ** 2 + (cy - gy) ** 2 + (cz - gz) ** 2)
                if other2 < radius2:
                    px, py, pz, radius2 = gx, gy, gz, other2
                radius = np.sqrt(radius2)
                if radius < tolerance:
                    is_last = radius <= _FINEST
                    enough = tolerance**2 if is_last else (tolerance - radius) ** 2
                    x, y, z = np.int64(np.floor(px)), np.int64(np.floor(py)), np.int64(np.floor(pz))
                    row = _row(x, y, z, top, bricks, shape)
                    best = _FAR
                    if row >= 0:
                        best = _near_voxel(px, py, pz, row, positions, triangles, table, members, best, enough, t)
                    if best <= enough:
                        continue
                    # Other voxels' triangles are many: ask them last, or where there is no voxel.
                    if is_last or row < 0:
                        best = _near(px, py, pz, positions, triangles, table, members, top, bricks, shape, enough, t)
                        if best <= enough:
                            continue
                    if is_last:
                        if count == found.shape[0]:
                            larger = np.empty((2 * count, 4))
                            larger[:count] = found
                            found = larger
                        found[count, 0], found[count, 1], found[count, 2] = px, py, pz
                        found[count, 3] = np.sqrt(best)
                        count += 1
                        continue
            # The half that is put on top goes first; the stack holds one waiting half per level.
            for half in range(2):
                stack[depth, 0], stack[depth, 1], stack[depth, 2] = mx, my, mz
                stack[depth, 3 + 3 * half], stack[depth, 4 + 3 * half], stack[depth, 5 + 3 * half] = cx, cy, cz
                if half == 0:
                    stack[depth, 6], stack[depth, 7], stack[depth, 8] = ax, ay, az
                else:
                    stack[depth, 3], stack[depth, 4], stack[depth, 5] = bx, by, bz
                depth += 1
    return found[:count].copy()


@njit(cache=True, nogil=True)
@no_type_check
def surface_distance(points, positions, triangles, table, members, top, bricks, shape, tolerance):
    """Distance of points to the rebuilt surface, float64 [M]: exact from `tolerance` to one voxel, else a bound."""
    distance = np.empty(points.shape[0])
    t = np.empty((3, 3))
    for n in range(points.shape[0]):
        best = _near(
            points[n, 0],
            points[n, 1],
            points[n, 2],
            positions,
            triangles,
            table,
            members,
            top,
            bricks,
            shape,
            tolerance * tolerance,
            t,
        )
        distance[n] = np.sqrt(best)
    return distance


@njit(cache=True, nogil=True)
@no_type_check
def quad_reach(points, starts, group, corners):
    """Largest distance from the points of a quad's group to the quad (its diagonal q0-q2), float64 [C].

    `starts` int64 [G + 1] cuts `points` into groups; `group` int64 [C] names each quad's; `corners` is [C, 4, 3].
    """
    reach = np.zeros(corners.shape[0])
    first, second = np.empty((3, 3)), np.empty((3, 3))
    for c in range(corners.shape[0]):
        first[:] = corners[c, :3]
        second[0], second[1], second[2] = corners[c, 0], corners[c, 2], corners[c, 3]
        for n in range(starts[group[c]], starts[group[c] + 1]):
            x, y, z = points[n, 0], points[n, 1], points[n, 2]
            reach[c] = max(reach[c], min(on_triangle(x, y, z, first)[0], on_triangle(x, y, z, second)[0]))
    return np.sqrt(reach)
