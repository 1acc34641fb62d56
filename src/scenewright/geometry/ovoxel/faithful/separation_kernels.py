"""Kernel behind `separate_sheets`: take one of two sheets out of a voxel by moving grid corners to its other side.

Flagged edges of a voxel part its eight corners into components. Two sheets in one voxel cut off a component each; to
take a sheet out, its component's corners change sides: every grid edge at one of them toggles its flag (an edge inside
the component twice). So a closed surface stays closed (mod 2 the boundary of the corners' dual cells is added); it now
runs round the corners, through the voxels on their far side. An outer edge that another sheet crosses keeps its quad.

Numbers of voxels, edges and corners: see dual_grid_round. Lengths in voxels, float64. Kernels carry no annotations:
they are compiled.
"""

from typing import NamedTuple, no_type_check

import numpy as np
from numba import njit

from scenewright.geometry.mesh.near_surface import (
    FINEST,
    closest_on_surface,
    farthest_of_quad,
    points_in_voxel,
    working_room,
)
from scenewright.geometry.mesh.triangle_tree import on_triangle
from scenewright.geometry.ovoxel.faithful.round import (
    AXIS,
    ENDS,
    FAR_END,
    HAS_MIDDLE,
    LOW_END,
    MIDDLE,
    NUMBER,
    QUAD,
    STEPS,
    TOGGLES,
)
from scenewright.geometry.ovoxel.voxelize_index import brick_rows, row_at, touch_row

__all__ = ["separate_voxels"]

# Points of the surface this far apart say whether a change loses any of it.
_SPACING = 0.3
# What a change must gain, in voxels of strays and losses.
_LEAST_GAIN = 1e-3
# Surface farther than this is not looked for.
_MAX_DISTANCE2 = 9.0


class _Round(NamedTuple):
    """The 27 voxels round one: rows (-1 where none), vertices; which of the 36 edges have a quad, cross the mesh."""

    rows: np.ndarray
    position: np.ndarray
    is_flagged: np.ndarray
    is_crossed: np.ndarray


class _Plan(NamedTuple):
    """A change: vertices and flags after it, voxels that it makes, places for the vertex [16, 3] to choose from."""

    position: np.ndarray
    is_flagged: np.ndarray
    is_new: np.ndarray
    places: np.ndarray


@njit(cache=True, nogil=True)
@no_type_check
def _load_round(x, y, z, grid, top, bricks, resolution, here):
    _, position, flags, _, crossed = grid
    nb = (resolution + 7) >> 3
    for n in range(27):
        i, j, k = x + n // 9 - 1, y + n // 3 % 3 - 1, z + n % 3 - 1
        here.rows[n] = -1
        if min(i, j, k) >= 0 and max(i, j, k) < resolution:
            here.rows[n] = row_at(top, bricks, 0, nb, nb, i, j, k)
        if here.rows[n] >= 0:
            here.position[n] = position[here.rows[n]]
    for e in range(36):
        here.is_flagged[e] = True
        for corner in range(4):
            here.is_flagged[e] &= here.rows[QUAD[e, corner]] >= 0
        here.is_flagged[e] = here.is_flagged[e] and flags[here.rows[QUAD[e, 0]], AXIS[e]]
        here.is_crossed[e] = here.is_flagged[e] and crossed[here.rows[QUAD[e, 0]], AXIS[e]]


@njit(cache=True, nogil=True)
@no_type_check
def _masks_of_components(is_flagged, masks):
    """Fill `masks` with 0, the corner components of at most four corners, and all of these; returns their number."""
    label = np.arange(8)
    for _ in range(7):
        for e in range(12):
            if not is_flagged[e]:
                least = min(label[ENDS[e, 0]], label[ENDS[e, 1]])
                label[ENDS[e, 0]] = label[ENDS[e, 1]] = least
    masks[0] = 0
    count, everything = 1, 0
    for root in range(8):
        mask, size = 0, 0
        for n in range(8):
            if label[n] == root:
                mask |= 1 << n
                size += 1
        if 0 < size <= 4:
            masks[count] = mask
            count += 1
            everything |= mask
    if count > 2 and everything < 255:
        masks[count] = everything
        count += 1
    return count


@njit(cache=True, nogil=True)
@no_type_check
def _clamped(place, x, y, z, target):
    target[0], target[1], target[2] = (
        min(max(place[0], x), x + 1),
        min(max(place[1], y), y + 1),
        min(max(place[2], z), z + 1),
    )


@njit(cache=True, nogil=True)
@no_type_check
def _fill_plan(mask, x, y, z, here, surface, resolution, room, plan):
    """Flags, new voxels and places for a mask; returns the number of places, 0 where there can be no such change."""
    _, _, t, found, _ = room
    plan.position[:] = here.position
    plan.is_new[:] = False
    middle = np.zeros(3)
    if mask > 0:
        # The sheet that goes is the one nearest to its corners: new voxels' vertices turn to it.
        num_corners = 0
        for corner in range(8):
            if mask >> corner & 1:
                middle[0] += x + (corner >> 2)
                middle[1] += y + (corner >> 1 & 1)
                middle[2] += z + (corner & 1)
                num_corners += 1
        middle /= num_corners
        if closest_on_surface(middle[0], middle[1], middle[2], surface, t, found) > _MAX_DISTANCE2:
            return 0
    num_crossed = 0
    for e in range(36):
        plan.is_flagged[e] = here.is_flagged[e] != TOGGLES[mask, e]
        if e >= 12 and TOGGLES[mask, e] and here.is_crossed[e]:
            # With its far end beyond the sheet too, another sheet crosses the edge: one quad stands for both then.
            side = 0.0
            for axis in range(3):
                far = FAR_END[e, axis] + (x if axis == 0 else y if axis == 1 else z)
                side += (far - found[axis]) * (middle[axis] - found[axis])
            plan.is_flagged[e] = side > 0.0
        if e < 12 and plan.is_flagged[e]:
            corner, axis = LOW_END[e], AXIS[e]
            plan.places[2 + num_crossed, 0] = x + (corner >> 2) + 0.5 * (axis == 0)
            plan.places[2 + num_crossed, 1] = y + (corner >> 1 & 1) + 0.5 * (axis == 1)
            plan.places[2 + num_crossed, 2] = z + (corner & 1) + 0.5 * (axis == 2)
            num_crossed += 1
    # The sheet that stays is nearest to the middles of the edges that it crosses.
    for axis in range(3):
        plan.places[0, axis] = plan.places[1, axis] = here.position[MIDDLE, axis]
        if num_crossed > 0:
            plan.places[0, axis] = plan.places[2 : 2 + num_crossed, axis].mean()
    for e in range(36):
        if not (plan.is_flagged[e] and TOGGLES[mask, e]):
            continue
        for corner in range(4):
            n = QUAD[e, corner]
            i, j, k = x + n // 9 - 1, y + n // 3 % 3 - 1, z + n % 3 - 1
            if min(i, j, k) < 0 or max(i, j, k) >= resolution:
                return 0
            if here.rows[n] < 0 and not plan.is_new[n]:
                plan.is_new[n] = True
                _clamped(found, i, j, k, plan.position[n])
    return 2 + num_crossed


@njit(cache=True, nogil=True)
@no_type_check
def _stray(e, position, surface, tolerance, finest, room):
    """Excess over `tolerance` of edge e's quad, whose vertices are in `position` [27, 3]."""
    corners = np.empty((4, 3))
    for corner in range(4):
        corners[corner] = position[QUAD[e, corner]]
    return max(farthest_of_quad(corners, surface, tolerance, finest, room) - tolerance, 0.0)


@njit(cache=True, nogil=True)
@no_type_check
def _quad_distance2(p, corners, best, t):
    """The smaller of `best` and the squared distance of a point to a quad [4, 3] (its diagonal q0-q2)."""
    # Most quads are too far away to matter.
    for axis in range(3):
        low = min(corners[0, axis], corners[1, axis], corners[2, axis], corners[3, axis])
        high = max(corners[0, axis], corners[1, axis], corners[2, axis], corners[3, axis])
        gap = max(low - p[axis], p[axis] - high)
        if gap > 0 and gap * gap >= best:
            return best
    for first in (1, 2):
        t[0], t[1], t[2] = corners[0], corners[first], corners[first + 1]
        best = min(best, on_triangle(p[0], p[1], p[2], t)[0])
    return best


@njit(cache=True, nogil=True)
@no_type_check
def _quads_beyond(x, y, z, grid, top, bricks, resolution, quads):
    """Fill `quads` [648, 4, 3] with those near the 27 voxels that are of none of the 36 edges; returns their number."""
    _, position, flags, _, _ = grid
    nb = (resolution + 7) >> 3
    count = 0
    for i in range(-3, 3):
        for j in range(-3, 3):
            for k in range(-3, 3):
                if min(x + i, y + j, z + k) < 0 or max(x + i, y + j, z + k) >= resolution:
                    continue
                row = row_at(top, bricks, 0, nb, nb, x + i, y + j, z + k)
                for axis in range(3):
                    if row < 0 or not flags[row, axis]:
                        continue
                    is_near = max(abs(i), abs(j), abs(k)) <= 1
                    if is_near and NUMBER[9 * (i + 1) + 3 * (j + 1) + k + 1, axis] >= 0:
                        continue
                    is_whole = True
                    for corner in range(4):
                        step = STEPS[axis, corner]
                        a, b, c = x + i + step[0], y + j + step[1], z + k + step[2]
                        other = np.int64(-1)
                        if max(a, b, c) < resolution:
                            other = row_at(top, bricks, 0, nb, nb, a, b, c)
                        if other < 0:
                            is_whole = False
                            break
                        quads[count, corner] = position[other]
                    count += is_whole
    return count


@njit(cache=True, nogil=True)
@no_type_check
def _points_at_stake(x, y, z, surface, tolerance, quads, num_quads, points, room):
    """Points of the surface in the 27 voxels that are far from all of `quads`: (points, distances2, their number)."""
    stack, s, t, _, _ = room
    count = 0
    for n in range(27):
        i, j, k = x + n // 9 - 1, y + n // 3 % 3 - 1, z + n % 3 - 1
        points, count = points_in_voxel(i, j, k, surface, _SPACING, stack, s, points, count)
    kept, hint = 0, 0
    distance2 = np.empty(count)
    for n in range(count):
        best = 4.0
        # The quad near the point before comes first: points follow one another.
        for turn in range(num_quads):
            q = (hint + turn) % num_quads
            best = _quad_distance2(points[n], quads[q], best, t)
            if best <= tolerance * tolerance:
                hint = q
                break
        if best > tolerance * tolerance:
            points[kept] = points[n]
            distance2[kept] = best
            kept += 1
    return points, distance2, kept


@njit(cache=True, nogil=True)
@no_type_check
def _largest_loss(points, distance2, count, is_flagged, position, tolerance, room):
    """Largest excess of the points' distance to flagged edges' quads and those beyond, and which point's (or -1)."""
    _, _, t, _, _ = room
    corners = np.empty((4, 3))
    worst, place = tolerance * tolerance, -1
    for n in range(count):
        best = distance2[n]
        for e in range(36):
            if is_flagged[e] and best > worst:
                for corner in range(4):
                    corners[corner] = position[QUAD[e, corner]]
                best = _quad_distance2(points[n], corners, best, t)
        if best > worst:
            worst, place = best, n
    return np.sqrt(worst) - tolerance, place


@njit(cache=True, nogil=True)
@no_type_check
def _apply(target, x, y, z, mask, plan, here, grid, counters, top, bricks, resolution):
    """Write a change down; returns the bricks, which may have grown."""
    coords, position, flags, is_touched, _ = grid
    nb = (resolution + 7) >> 3
    position[target] = plan.position[MIDDLE]
    is_touched[target] = True
    bricks = brick_rows(bricks, counters[1], 26)
    for n in range(27):
        if plan.is_new[n]:
            i, j, k = x + n // 9 - 1, y + n // 3 % 3 - 1, z + n % 3 - 1
            row = touch_row(top, bricks, counters, 0, nb, nb, i, j, k)
            coords[row, 0], coords[row, 1], coords[row, 2] = i, j, k
            position[row] = plan.position[n]
            is_touched[row] = True
            here.rows[n] = row
    for e in range(36):
        if TOGGLES[mask, e]:
            holder = here.rows[QUAD[e, 0]]
            flags[holder, AXIS[e]] = plan.is_flagged[e]
            is_touched[holder] = True
    return bricks


@njit(cache=True, nogil=True)
@no_type_check
def separate_voxels(targets, grid, counters, top, bricks, resolution, surface, tolerance, is_thorough):
    """Change each of the voxels `targets` (rows) where quads stray less for it, in sum, or less surface is lost.

    Neither may get worse. `grid` is (coords, position, flags, is_touched, crossed) with room for 26 more rows per
    target beyond `counters[0]`; moved, new and newly flagged voxels are touched. A thorough search looks for lost
    surface too, tries more places for the vertex, and measures finer. Returns the number of voxels changed.
    """
    finest = FINEST if is_thorough else 2 * FINEST
    room = working_room()
    here = _Round(np.empty(27, np.int64), np.empty((27, 3)), np.empty(36, np.bool_), np.empty(36, np.bool_))
    plan = _Plan(np.empty((27, 3)), np.empty(36, np.bool_), np.empty(27, np.bool_), np.empty((16, 3)))
    best_position = np.empty(3)
    strays, masks = np.empty(36), np.empty(10, np.int64)
    quads, points, distance2 = np.empty((648, 4, 3)), np.empty((256, 3)), np.empty(0)
    num_changed = 0
    for target in targets:
        x, y, z = np.int64(grid[0][target, 0]), np.int64(grid[0][target, 1]), np.int64(grid[0][target, 2])
        _load_round(x, y, z, grid, top, bricks, resolution, here)
        own_stray = 0.0
        for e in range(36):
            # Strays of edges that are not the voxel's own are measured where they are needed.
            strays[e] = -1.0 if here.is_flagged[e] else 0.0
            if e < 12 and here.is_flagged[e]:
                strays[e] = _stray(e, here.position, surface, tolerance, finest, room)
                own_stray += strays[e]
        loss, worst, num_points = 0.0, -1, -1
        if is_thorough:
            num_quads = _quads_beyond(x, y, z, grid, top, bricks, resolution, quads)
            points, distance2, num_points = _points_at_stake(
                x, y, z, surface, tolerance, quads, num_quads, points, room
            )
            loss, worst = _largest_loss(points, distance2, num_points, here.is_flagged, here.position, tolerance, room)
        if own_stray < _LEAST_GAIN and worst < 0:
            continue
        best_gain, best_mask = _LEAST_GAIN, -1
        for m in range(_masks_of_components(here.is_flagged, masks)):
            mask = masks[m]
            num_places = _fill_plan(mask, x, y, z, here, surface, resolution, room, plan)
            if num_places == 0:
                continue
            stray_before, stray_beside = own_stray, 0.0
            for e in range(12, 36):
                if TOGGLES[mask, e]:
                    if strays[e] < 0:
                        strays[e] = _stray(e, here.position, surface, tolerance, finest, room)
                    stray_before += strays[e]
                    if plan.is_flagged[e] and not HAS_MIDDLE[e]:
                        stray_beside += _stray(e, plan.position, surface, tolerance, finest, room)
            if not is_thorough:
                num_places = 1
            elif worst >= 0:
                plan.places[num_places] = points[worst]
                num_places += 1
            for place in range(num_places):
                p = plan.places[place]
                # The second place is where the vertex is: it stays there, off the surface or on it.
                if place == 1:
                    plan.position[MIDDLE] = here.position[MIDDLE]
                elif closest_on_surface(p[0], p[1], p[2], surface, room[2], room[3]) <= _MAX_DISTANCE2:
                    _clamped(room[3], x, y, z, plan.position[MIDDLE])
                else:
                    continue
                stray = stray_beside
                for e in range(36):
                    if plan.is_flagged[e] and HAS_MIDDLE[e] and (e < 12 or TOGGLES[mask, e]):
                        stray += _stray(e, plan.position, surface, tolerance, finest, room)
                        if stray > stray_before:
                            break
                if stray > stray_before or stray_before - stray + loss <= best_gain:
                    continue
                if num_points < 0:
                    num_quads = _quads_beyond(x, y, z, grid, top, bricks, resolution, quads)
                    points, distance2, num_points = _points_at_stake(
                        x, y, z, surface, tolerance, quads, num_quads, points, room
                    )
                    loss, _ = _largest_loss(
                        points, distance2, num_points, here.is_flagged, here.position, tolerance, room
                    )
                new_loss, _ = _largest_loss(
                    points, distance2, num_points, plan.is_flagged, plan.position, tolerance, room
                )
                gain = stray_before - stray + loss - new_loss
                if new_loss <= loss and gain > best_gain:
                    best_gain, best_mask = gain, mask
                    best_position[:] = plan.position[MIDDLE]
        if best_mask >= 0:
            _fill_plan(best_mask, x, y, z, here, surface, resolution, room, plan)
            plan.position[MIDDLE] = best_position
            bricks = _apply(target, x, y, z, best_mask, plan, here, grid, counters, top, bricks, resolution)
            num_changed += 1
    return num_changed
