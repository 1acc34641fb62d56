"""Kernel behind the volumetric attributes: what colour does the surface have near each voxel of one slab?

The voxels are those of the dual grid of the same mesh (four per crossed grid edge). A triangle contributes once to
each voxel it makes: the voxel's centre is projected onto its plane, and its texture is read there, even when that
falls outside of the triangle. Contributions are weighted by 1 - signed distance to the plane in world units, so
nearly equally.

Legend: P packed attributes per voxel = (weight, base colour 3, metallic, roughness, alpha, normal 3). Slabs and the
brick index: see dual_grid_kernels. Materials: `factors` float64 [M, 7] = base colour 3, metallic, roughness, alpha,
cutoff; `choices` int64 [M, 11] = alpha mode, filter, wrap along u and v, four textures (-1: none) and the channel read
by each of the last three. Source: microsoft/TRELLIS.2 o-voxel/src/convert/volumetic_attr.cpp.
"""

from typing import no_type_check

import numpy as np

from scenewright.compiled import njit
from scenewright.geometry.ovoxel.volumetric_attributes_texture import lookup, mip_level
from scenewright.geometry.ovoxel.voxelize_index import brick_rows, grown, sorted_voxels, touch_row
from scenewright.geometry.ovoxel.voxelize_scan import row_crossings, sorted_rows

__all__ = ["read_material", "slab_attributes"]

_CHANNELS = 10


@njit(cache=True, nogil=True)
@no_type_check
def _room(sums, owner, used, spare):
    if used + spare <= sums.shape[0]:
        return sums, owner
    capacity = used + spare + used // 2
    more_owner = np.full(capacity, -1, np.int64)
    for row in range(used):
        more_owner[row] = owner[row]
    return grown(sums, used, capacity), more_owner


@njit(cache=True, nogil=True)
@no_type_check
def read_material(factors, choices, buffer, table, levels, u, v, tint, out):
    """Fill `out` [6] with base colour, metallic, roughness and alpha at (u, v), times the surface's `tint` RGBA."""
    is_linear = choices[1] == 1
    for channel in range(6):
        slot = max(channel - 2, 0)
        texture = choices[4 + slot]
        value = factors[channel]
        if texture >= 0:
            source = channel if slot == 0 else choices[7 + slot]
            value *= lookup(buffer, table[texture], source, u, v, is_linear, choices[2], choices[3], levels[slot])
        out[channel] = value
    for channel in range(4):
        out[channel if channel < 3 else 5] *= tint[channel]
    if choices[0] == 0:
        out[5] = 1.0
    elif choices[0] == 1:
        out[5] = 0.0 if out[5] < factors[6] else 1.0


@njit(cache=True, nogil=True)
@no_type_check
def slab_attributes(
    corners,
    normals,
    uvs,
    colors,
    material_ids,
    factors,
    choices,
    buffer,
    table,
    mip_offset,
    ids,
    size,
    cells,
    x0,
    x1,
):
    """Coords [N, 3], sorted, and attributes [N, 9] of voxels with x0 <= x < x1; `normals`, `colors` may be empty."""
    nby, nbz = (cells[1] + 7) >> 3, (cells[2] + 7) >> 3
    top = np.full(((x1 - x0 + 7) >> 3) * nby * nbz, np.int32(-1), np.int32)
    counters = np.zeros(2, np.int64)
    bricks = np.empty((64, 512), np.int32)
    sums, owner = np.zeros((4096, _CHANNELS)), np.full(4096, -1, np.int64)
    triangle, t, uv = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 2))
    heights = np.empty(max(cells[0], cells[1], cells[2]))
    voxel, levels, values, tint = np.empty(3, np.int64), np.empty(4), np.empty(6), np.ones(4)
    largest = max(size[0], size[1], size[2])
    for at in range(ids.shape[0]):
        f = ids[at]
        for corner in range(3):
            for axis in range(3):
                triangle[corner, axis] = corners[f, corner, axis]
            for axis in range(2):
                uv[corner, axis] = uvs[f, corner, axis]
        material = material_ids[f]
        ax, ay, az = triangle[1, 0] - triangle[0, 0], triangle[1, 1] - triangle[0, 1], triangle[1, 2] - triangle[0, 2]
        bx, by, bz = triangle[2, 0] - triangle[0, 0], triangle[2, 1] - triangle[0, 1], triangle[2, 2] - triangle[0, 2]
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        doubled = np.sqrt(nx * nx + ny * ny + nz * nz)
        if doubled <= 0.0:
            continue
        nx, ny, nz = nx / doubled, ny / doubled, nz / doubled
        for slot in range(4):
            texture = choices[material, 4 + slot]
            if texture >= 0:
                levels[slot] = mip_level(triangle, uv, largest, table[texture, 3], mip_offset)
        for a2 in range(3):
            a0, a1 = (a2 + 1) % 3, (a2 + 2) % 3
            begin, middle, end = sorted_rows(triangle, a2, size, cells, t)
            low, high = 0, cells[a0] - 1
            if a0 == 0:
                low, high = max(x0 - 1, 0), min(x1, cells[0] - 1)
            elif a1 == 0:
                begin, end = max(begin, x0 - 1), min(end, x1)
            for j in range(begin, end):
                first, count = row_crossings(t, j, j < middle, a2, size, cells, low, high, heights)
                if count == 0:
                    continue
                sums, owner = _room(sums, owner, counters[0], 4 * count)
                bricks = brick_rows(bricks, counters[1], 4 * count)
                for c in range(count):
                    height = heights[c] / size[a2]
                    if not (-1.0 < height < cells[a2]):
                        continue
                    for corner in range(4):
                        voxel[a0], voxel[a1], voxel[a2] = first + c + (corner >> 1), j + (corner & 1), np.int64(height)
                        x, y, z = voxel[0], voxel[1], voxel[2]
                        if x < x0 or x >= x1:
                            continue
                        row = touch_row(top, bricks, counters, x0, nby, nbz, x, y, z)
                        if owner[row] == f:
                            continue
                        owner[row] = f
                        px, py, pz = (x + 0.5) * size[0], (y + 0.5) * size[1], (z + 0.5) * size[2]
                        px, py, pz = px - triangle[0, 0], py - triangle[0, 1], pz - triangle[0, 2]
                        distance = nx * px + ny * py + nz * pz
                        # Barycentric coordinates of the projection: the normal part drops out of these products.
                        b1 = (nx * (py * bz - pz * by) + ny * (pz * bx - px * bz) + nz * (px * by - py * bx)) / doubled
                        b2 = (nx * (ay * pz - az * py) + ny * (az * px - ax * pz) + nz * (ax * py - ay * px)) / doubled
                        b0 = 1.0 - b1 - b2
                        u = b0 * uv[0, 0] + b1 * uv[1, 0] + b2 * uv[2, 0]
                        v = b0 * uv[0, 1] + b1 * uv[1, 1] + b2 * uv[2, 1]
                        if colors.shape[0]:
                            for channel in range(4):
                                tinted = (
                                    b0 * colors[f, 0, channel] + b1 * colors[f, 1, channel] + b2 * colors[f, 2, channel]
                                )
                                tint[channel] = min(max(tinted, 0.0), 1.0)
                        read_material(factors[material], choices[material], buffer, table, levels, u, v, tint, values)
                        weight = 1.0 - distance
                        sums[row, 0] += weight
                        for channel in range(6):
                            sums[row, 1 + channel] += weight * values[channel]
                        if normals.shape[0]:
                            for axis in range(3):
                                sums[row, 7 + axis] += weight * (
                                    b0 * normals[f, 0, axis] + b1 * normals[f, 1, axis] + b2 * normals[f, 2, axis]
                                )
    coords, order = sorted_voxels(top, bricks, counters[0], cells, x0, x1)
    result = np.empty((counters[0], _CHANNELS - 1), np.float32)
    for n in range(counters[0]):
        row = order[n]
        for channel in range(1, _CHANNELS):
            result[n, channel - 1] = sums[row, channel] / sums[row, 0]
    return coords, result
