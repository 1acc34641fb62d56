"""Kernels behind `mesh_to_dual_grid`: one slab of the grid at a time, from triangles to solved dual vertices.

A slab is a range [x0, x1) of whole brick layers. Every triangle that reaches into it is visited, and only voxels
inside the slab are touched, so slabs are independent, can run on several threads, and add the same terms in the same
order whatever their number. A slab holds one index and nine floats per voxel, and gives back sorted rows: peak memory
is that of the output plus one slab per thread.

Legend: s voxel size, n unit normal, row = (A00, A01, A02, A11, A12, A22, b0, b1, b2) of x.A.x + 2 b.x with x measured
from the voxel's own low corner, which keeps float32 sums exact to 1e-7 of a voxel. Frame: grid space, low corner at 0.
Source: sheet O-Voxel, steps 1 to 5.
"""

from typing import no_type_check

import numpy as np

from scenewright.compiled import njit
from scenewright.geometry.ovoxel.qef import minimise_in_box
from scenewright.geometry.ovoxel.voxelize_index import brick_rows, grown, row_at, sorted_voxels, touch_row
from scenewright.geometry.ovoxel.voxelize_scan import cell_of, row_crossings, sorted_rows

__all__ = ["boundary_edges", "slab_dual_grid", "slabs_of_simplices"]

_TINY_EDGE = 1e-6


@njit(cache=True, nogil=True)
@no_type_check
def slabs_of_simplices(vertices, simplices, size, cells, starts):
    """Which triangles (or edges) reach into which slab: CSR (offsets [S + 1], ids), ids ascending in each slab."""
    num_slabs = starts.shape[0] - 1
    slab_of = np.empty(cells, np.int32)
    for slab in range(num_slabs):
        slab_of[starts[slab] : starts[slab + 1]] = slab
    first = np.empty(simplices.shape[0], np.int32)
    last = np.empty(simplices.shape[0], np.int32)
    offsets = np.zeros(num_slabs + 1, np.int64)
    for n in range(simplices.shape[0]):
        low = high = vertices[simplices[n, 0], 0]
        for corner in range(1, simplices.shape[1]):
            x = vertices[simplices[n, corner], 0]
            low, high = min(low, x), max(high, x)
        # One cell of slack on both sides: interpolated heights may round past the end points.
        a = slab_of[max(cell_of(low, size, cells) - 1, 0)]
        b = slab_of[min(cell_of(high, size, cells) + 1, cells - 1)]
        first[n], last[n] = a, b
        for slab in range(a, b + 1):
            offsets[slab + 1] += 1
    offsets = np.cumsum(offsets)
    ids = np.empty(offsets[num_slabs], np.int32)
    cursor = offsets.copy()
    for n in range(simplices.shape[0]):
        for slab in range(first[n], last[n] + 1):
            ids[cursor[slab]] = n
            cursor[slab] += 1
    return offsets, ids


@njit(cache=True, nogil=True)
@no_type_check
def boundary_edges(faces, num_vertices):
    """Edges that belong to exactly one triangle, as vertex pairs [E, 2]. Vertices are not welded by position."""
    # Bucket every edge by its smaller vertex; in a sorted bucket, equal edges are neighbours.
    offsets = np.zeros(num_vertices + 1, np.int64)
    for f in range(faces.shape[0]):
        for e in range(3):
            offsets[min(faces[f, e], faces[f, (e + 1) % 3]) + 1] += 1
    offsets = np.cumsum(offsets)
    other = np.empty(3 * faces.shape[0], np.int32)
    cursor = offsets[:-1].copy()
    for f in range(faces.shape[0]):
        for e in range(3):
            a, b = faces[f, e], faces[f, (e + 1) % 3]
            low = min(a, b)
            other[cursor[low]] = max(a, b)
            cursor[low] += 1
    count = 0
    for v in range(num_vertices):
        begin, end = offsets[v], offsets[v + 1]
        # Shell's sort: most vertices have few edges, the hub of a fan may have all.
        gap = (end - begin) // 2
        while gap > 0:
            for n in range(begin + gap, end):
                value, m = other[n], n
                while m >= begin + gap and other[m - gap] > value:
                    other[m] = other[m - gap]
                    m -= gap
                other[m] = value
            gap //= 2
        for n in range(begin, end):
            count += (n == begin or other[n - 1] != other[n]) and (n + 1 == end or other[n + 1] != other[n])
    edges = np.empty((count, 2), np.int32)
    count = 0
    for v in range(num_vertices):
        begin, end = offsets[v], offsets[v + 1]
        for n in range(begin, end):
            if (n == begin or other[n - 1] != other[n]) and (n + 1 == end or other[n + 1] != other[n]):
                edges[count, 0], edges[count, 1] = v, other[n]
                count += 1
    return edges


@njit(cache=True, nogil=True)
@no_type_check
def _load_triangle(vertices, faces, f, triangle, normal):
    """Fill `triangle` [3, 3] and its unit `normal` (zero for a triangle without area)."""
    for corner in range(3):
        for axis in range(3):
            triangle[corner, axis] = vertices[faces[f, corner], axis]
    ax, ay, az = triangle[1, 0] - triangle[0, 0], triangle[1, 1] - triangle[0, 1], triangle[1, 2] - triangle[0, 2]
    bx, by, bz = triangle[2, 0] - triangle[1, 0], triangle[2, 1] - triangle[1, 1], triangle[2, 2] - triangle[1, 2]
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    scale = 1.0 / length if length > 0.0 else 0.0
    normal[0], normal[1], normal[2] = nx * scale, ny * scale, nz * scale


@njit(cache=True, nogil=True)
@no_type_check
def _add_plane(rows, row, nx, ny, nz, d):
    rows[row, 0] += nx * nx
    rows[row, 1] += nx * ny
    rows[row, 2] += nx * nz
    rows[row, 3] += ny * ny
    rows[row, 4] += ny * nz
    rows[row, 5] += nz * nz
    rows[row, 6] += nx * d
    rows[row, 7] += ny * d
    rows[row, 8] += nz * d


@njit(cache=True, nogil=True)
@no_type_check
def _room(rows, flags, used, spare):
    if used + spare <= rows.shape[0]:
        return rows, flags
    capacity = used + spare + used // 2
    return grown(rows, used, capacity), grown(flags, used, capacity)


@njit(cache=True, nogil=True)
@no_type_check
def _add_crossings(vertices, faces, ids, size, cells, x0, x1, weight, top, bricks, counters, rows, flags):
    """Step 1 and the regulariser: make the four voxels around every crossed grid edge. Returns the grown arrays."""
    nby, nbz = (cells[1] + 7) >> 3, (cells[2] + 7) >> 3
    triangle, t, normal = np.empty((3, 3)), np.empty((3, 3)), np.empty(3)
    heights = np.empty(max(cells[0], cells[1], cells[2]))
    point, voxel = np.empty(3), np.empty(3, np.int64)
    for at in range(ids.shape[0]):
        _load_triangle(vertices, faces, ids[at], triangle, normal)
        nx, ny, nz = normal[0], normal[1], normal[2]
        vx, vy, vz = triangle[0, 0], triangle[0, 1], triangle[0, 2]
        for a2 in range(3):
            a0, a1 = (a2 + 1) % 3, (a2 + 2) % 3
            begin, middle, end = sorted_rows(triangle, a2, size, cells, t)
            low, high = 0, cells[a0] - 1
            row_low, row_high = begin, end
            # A crossing at index c on an axis across the line touches cells c and c + 1 there.
            if a0 == 0:
                low, high = max(x0 - 1, 0), min(x1, cells[0] - 1)
            elif a1 == 0:
                row_low, row_high = max(begin, x0 - 1), min(end, x1)
            for j in range(row_low, row_high):
                first, count = row_crossings(t, j, j < middle, a2, size, cells, low, high, heights)
                if count == 0:
                    continue
                rows, flags = _room(rows, flags, counters[0], 4 * count)
                bricks = brick_rows(bricks, counters[1], 4 * count)
                for c in range(count):
                    height = heights[c] / size[a2]
                    # Rounded towards zero, as published: a height in (-1, 0) counts as cell 0.
                    if not (-1.0 < height < cells[a2]):
                        continue
                    k = np.int64(height)
                    if a2 == 0 and not (x0 <= k < x1):
                        continue
                    i = first + c
                    point[a0], point[a1], point[a2] = (i + 1) * size[a0], (j + 1) * size[a1], heights[c]
                    for corner in range(4):
                        voxel[a0], voxel[a1], voxel[a2] = i + (corner >> 1), j + (corner & 1), k
                        x, y, z = voxel[0], voxel[1], voxel[2]
                        if x < x0 or x >= x1:
                            continue
                        row = touch_row(top, bricks, counters, x0, nby, nbz, x, y, z)
                        ox, oy, oz = x * size[0], y * size[1], z * size[2]
                        _add_plane(rows, row, nx, ny, nz, nx * (ox - vx) + ny * (oy - vy) + nz * (oz - vz))
                        rows[row, 0] += weight
                        rows[row, 3] += weight
                        rows[row, 5] += weight
                        rows[row, 6] -= weight * (point[0] - ox)
                        rows[row, 7] -= weight * (point[1] - oy)
                        rows[row, 8] -= weight * (point[2] - oz)
                        if corner == 0:
                            flags[row, a2] = True
    return bricks, rows, flags


@njit(cache=True, nogil=True)
@no_type_check
def _edge_lines(triangle, normal, size, lines):
    """Fill `lines` [3, 3, 3]: in the projection along axis m, edge e keeps cells (i, j) with a i + b j + c >= 0."""
    for m in range(3):
        u, v = (m + 1) % 3, (m + 2) % 3
        sign = 1.0 if normal[m] >= 0.0 else -1.0
        for e in range(3):
            p, q = e, (e + 1) % 3
            a = -sign * (triangle[q, v] - triangle[p, v])
            b = sign * (triangle[q, u] - triangle[p, u])
            lines[m, e, 0], lines[m, e, 1] = a * size[u], b * size[v]
            lines[m, e, 2] = max(0.0, a * size[u]) + max(0.0, b * size[v]) - a * triangle[p, u] - b * triangle[p, v]


@njit(cache=True, nogil=True)
@no_type_check
def _inside(lines, m, i, j):
    is_inside = True
    for e in range(3):
        is_inside &= lines[m, e, 0] * i + lines[m, e, 1] * j + lines[m, e, 2] >= 0.0
    return is_inside


@njit(cache=True, nogil=True)
@no_type_check
def _add_overlaps(vertices, faces, ids, size, cells, x0, x1, top, bricks, rows):
    """Step 2: every triangle's plane once more, for each existing voxel it overlaps (touching counts)."""
    nby, nbz = (cells[1] + 7) >> 3, (cells[2] + 7) >> 3
    triangle, normal, lines = np.empty((3, 3)), np.empty(3), np.empty((3, 3, 3))
    low, high, voxel = np.empty(3, np.int64), np.empty(3, np.int64), np.empty(3, np.int64)
    for at in range(ids.shape[0]):
        _load_triangle(vertices, faces, ids[at], triangle, normal)
        nx, ny, nz = normal[0], normal[1], normal[2]
        if nx == 0.0 and ny == 0.0 and nz == 0.0:
            continue
        for axis in range(3):
            least = min(triangle[0, axis], triangle[1, axis], triangle[2, axis])
            most = max(triangle[0, axis], triangle[1, axis], triangle[2, axis])
            low[axis] = cell_of(least, size[axis], cells[axis])
            high[axis] = cell_of(most, size[axis], cells[axis]) + 1
        low[0], high[0] = max(low[0], x0), min(high[0], x1)
        if low[0] >= high[0]:
            continue
        _edge_lines(triangle, normal, size, lines)
        m = 0
        if abs(ny) > abs(nx):
            m = 1
        if abs(nz) > abs(normal[m]):
            m = 2
        u, v = (m + 1) % 3, (m + 2) % 3
        reach = 0.5 * (abs(nx) * size[0] + abs(ny) * size[1] + abs(nz) * size[2])
        offset = nx * triangle[0, 0] + ny * triangle[0, 1] + nz * triangle[0, 2]
        step = 1.0 / (normal[m] * size[m])
        half_band = abs(reach * step)
        for i in range(low[u], high[u]):
            for j in range(low[v], high[v]):
                if not _inside(lines, m, i, j):
                    continue
                # The plane meets this column around `middle`; one cell of slack, the exact test follows.
                centre = normal[u] * (i + 0.5) * size[u] + normal[v] * (j + 0.5) * size[v] - offset
                middle = -centre * step - 0.5
                k_begin = max(low[m], np.int64(np.floor(middle - half_band)))
                k_end = min(high[m], np.int64(np.ceil(middle + half_band)) + 1)
                for k in range(k_begin, k_end):
                    distance = centre + normal[m] * (k + 0.5) * size[m]
                    if abs(distance) > reach or not _inside(lines, u, j, k) or not _inside(lines, v, k, i):
                        continue
                    voxel[u], voxel[v], voxel[m] = i, j, k
                    row = row_at(top, bricks, x0, nby, nbz, voxel[0], voxel[1], voxel[2])
                    if row >= 0:
                        corner = distance - 0.5 * (nx * size[0] + ny * size[1] + nz * size[2])
                        _add_plane(rows, row, nx, ny, nz, corner)


@njit(cache=True, nogil=True)
@no_type_check
def _add_boundary(vertices, edges, ids, size, cells, x0, x1, weight, top, bricks, rows):
    """Step 3: the squared distance to a boundary edge, for each existing voxel on the edge's path through the grid."""
    nby, nbz = (cells[1] + 7) >> 3, (cells[2] + 7) >> 3
    start, direction = np.empty(3), np.empty(3)
    voxel, step = np.empty(3, np.int64), np.empty(3, np.int64)
    crossing, spacing = np.empty(3), np.empty(3)
    for at in range(ids.shape[0]):
        a, b = edges[ids[at], 0], edges[ids[at], 1]
        length = 0.0
        for axis in range(3):
            start[axis] = vertices[a, axis]
            direction[axis] = vertices[b, axis] - start[axis]
            length += direction[axis] * direction[axis]
        length = np.sqrt(length)
        if length < _TINY_EDGE:
            continue
        for axis in range(3):
            direction[axis] /= length
            voxel[axis] = np.int64(np.floor(start[axis] / size[axis]))
            step[axis] = 1 if direction[axis] > 0.0 else -1
            if direction[axis] == 0.0:
                crossing[axis] = spacing[axis] = np.inf
            else:
                border = (voxel[axis] + (1 if direction[axis] > 0.0 else 0)) * size[axis]
                crossing[axis] = (border - start[axis]) / direction[axis]
                spacing[axis] = size[axis] / abs(direction[axis])
        dx, dy, dz = direction[0], direction[1], direction[2]
        while True:
            x, y, z = voxel[0], voxel[1], voxel[2]
            if x0 <= x < x1 and 0 <= y < cells[1] and 0 <= z < cells[2]:
                row = row_at(top, bricks, x0, nby, nbz, x, y, z)
                if row >= 0:
                    px, py, pz = start[0] - x * size[0], start[1] - y * size[1], start[2] - z * size[2]
                    along = dx * px + dy * py + dz * pz
                    rows[row, 0] += weight * (1.0 - dx * dx)
                    rows[row, 1] -= weight * dx * dy
                    rows[row, 2] -= weight * dx * dz
                    rows[row, 3] += weight * (1.0 - dy * dy)
                    rows[row, 4] -= weight * dy * dz
                    rows[row, 5] += weight * (1.0 - dz * dz)
                    rows[row, 6] -= weight * (px - along * dx)
                    rows[row, 7] -= weight * (py - along * dy)
                    rows[row, 8] -= weight * (pz - along * dz)
            axis = 0
            if crossing[1] < crossing[0]:
                axis = 1
            if crossing[2] < crossing[axis]:
                axis = 2
            if crossing[axis] > length:
                break
            crossing[axis] += spacing[axis]
            voxel[axis] += step[axis]


@njit(cache=True, nogil=True)
@no_type_check
def _solve_sorted(size, cells, x0, x1, top, bricks, counters, rows, flags):
    """Steps 4 and 5, written in ascending (x, y, z) order: (coords, dual vertices in voxels, flags)."""
    coords, order = sorted_voxels(top, bricks, counters[0], cells, x0, x1)
    dual = np.empty((counters[0], 3), np.float32)
    crossed = np.empty((counters[0], 3), np.bool_)
    s0, s1, s2 = size[0], size[1], size[2]
    for n in range(counters[0]):
        row = order[n]
        a = rows[row].astype(np.float64)
        o0, o1, o2 = coords[n, 0] * s0, coords[n, 1] * s1, coords[n, 2] * s2
        x, y, z = minimise_in_box(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], s0, s1, s2, o0, o1, o2)
        dual[n, 0], dual[n, 1], dual[n, 2] = x / s0, y / s1, z / s2
        for axis in range(3):
            crossed[n, axis] = flags[row, axis]
    return coords, dual, crossed


@njit(cache=True, nogil=True)
@no_type_check
def slab_dual_grid(vertices, faces, face_ids, edges, edge_ids, size, cells, x0, x1, weights):
    """Coords, dual vertices in voxels, flags of the voxels with x0 <= x < x1; `weights` = (face, boundary, reg)."""
    top = np.full(((x1 - x0 + 7) >> 3) * ((cells[1] + 7) >> 3) * ((cells[2] + 7) >> 3), np.int32(-1), np.int32)
    counters = np.zeros(2, np.int64)
    bricks = np.empty((64, 512), np.int32)
    rows = np.zeros((4096, 9), np.float32)
    flags = np.zeros((4096, 3), np.bool_)
    bricks, rows, flags = _add_crossings(
        vertices, faces, face_ids, size, cells, x0, x1, weights[2], top, bricks, counters, rows, flags
    )
    if weights[0] > 0.0:
        _add_overlaps(vertices, faces, face_ids, size, cells, x0, x1, top, bricks, rows)
    if weights[1] > 0.0:
        _add_boundary(vertices, edges, edge_ids, size, cells, x0, x1, weights[1], top, bricks, rows)
    return _solve_sorted(size, cells, x0, x1, top, bricks, counters, rows, flags)
