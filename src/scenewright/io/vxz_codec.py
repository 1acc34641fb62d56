"""The parts of a .vxz chunk: an octree of its voxels and two predictors for its attributes.

A chunk is a cube of 2^depth voxels per side. Its voxels are sorted by Z-order code (x most significant), which is
also the order of the octree's leaves. The octree is written depth first, parents before children, one byte per node:
bit b says that the child with 3-bit digit b exists; the bits of the last level are voxels.

Legend: n voxels of the chunk, C channels. Arithmetic on attributes is modulo 256. Source: microsoft/TRELLIS.2
o-voxel/src/io.
"""

from typing import no_type_check

import numpy as np

from scenewright.compiled import njit
from scenewright.geometry.ovoxel.voxelize_index import index_coords, row_at

__all__ = ["neighbor_decode", "neighbor_encode", "octree_decode", "octree_encode", "parent_decode", "parent_encode"]


@njit(cache=True, nogil=True)
@no_type_check
def _level_of_difference(code, previous, depth):
    """The first level (0 is the root) at which the paths to two leaves part."""
    level = 0
    while (code >> (3 * (depth - 1 - level))) == (previous >> (3 * (depth - 1 - level))):
        level += 1
    return level


@njit(cache=True, nogil=True)
@no_type_check
def octree_encode(codes, depth):
    """Octree bytes of ascending, distinct Z-order codes."""
    nodes = np.zeros(codes.shape[0] * depth, np.uint8)
    at = np.zeros(depth, np.int64)
    count = 0
    for n in range(codes.shape[0]):
        level = 0
        if n > 0:
            level = _level_of_difference(codes[n], codes[n - 1], depth)
            nodes[at[level]] |= np.uint8(1 << ((codes[n] >> (3 * (depth - 1 - level))) & 7))
            level += 1
        for deeper in range(level, depth):
            at[deeper] = count
            nodes[count] = np.uint8(1 << ((codes[n] >> (3 * (depth - 1 - deeper))) & 7))
            count += 1
    return nodes[:count].copy()


@njit(cache=True, nogil=True)
@no_type_check
def octree_decode(nodes, depth, limit):
    """Z-order codes of the leaves, or an empty array when the bytes are no octree or hold more than `limit` leaves."""
    codes = np.empty(min(limit, 8 * nodes.shape[0]), np.int64)
    nothing = np.empty(0, np.int64)
    remaining = np.zeros(depth, np.int64)
    prefix = np.zeros(depth + 1, np.int64)
    if nodes.shape[0] == 0 or nodes[0] == 0:
        return nothing
    read, count, level = 1, 0, 0
    remaining[0] = nodes[0]
    while level >= 0:
        if remaining[level] == 0:
            level -= 1
            continue
        digit = 0
        while not (remaining[level] >> digit) & 1:
            digit += 1
        remaining[level] &= ~(1 << digit)
        code = prefix[level] << 3 | digit
        if level == depth - 1:
            if count >= limit:
                return nothing
            codes[count] = code
            count += 1
            continue
        if read >= nodes.shape[0] or nodes[read] == 0:
            return nothing
        level += 1
        prefix[level] = code
        remaining[level] = nodes[read]
        read += 1
    if read != nodes.shape[0]:
        return nothing
    return codes[:count].copy()


@njit(cache=True, nogil=True)
@no_type_check
def _first_delta_rows(nodes):
    """Row of each node's first difference: row 0 is the root's value, then every node has one row per further child."""
    rows = np.empty(nodes.shape[0], np.int64)
    row = 1
    for node in range(nodes.shape[0]):
        rows[node] = row
        bits = nodes[node]
        while bits:
            row += bits & 1
            bits >>= 1
        row -= 1
    return rows


@njit(cache=True, nogil=True)
@no_type_check
def _parent_filter(values, codes, nodes, depth, is_decoding):
    """Differences between sibling subtrees, each standing for its first leaf; or the leaves from such differences."""
    rows = _first_delta_rows(nodes)
    result = np.empty_like(values)
    at, first_leaf, next_row = np.zeros(depth, np.int64), np.zeros(depth, np.int64), np.zeros(depth, np.int64)
    count = 0
    for n in range(codes.shape[0]):
        level = 0
        if n > 0:
            level = _level_of_difference(codes[n], codes[n - 1], depth)
            row, sibling = next_row[level], first_leaf[level]
            next_row[level] += 1
            if is_decoding:
                result[n] = values[row] + result[sibling]
            else:
                result[row] = values[n] - values[sibling]
            first_leaf[level] = n
            level += 1
        else:
            result[0] = values[0]
        for deeper in range(level, depth):
            at[deeper] = count
            next_row[deeper] = rows[count]
            first_leaf[deeper] = n
            count += 1
    return result


@njit(cache=True, nogil=True)
@no_type_check
def parent_encode(values, codes, nodes, depth):
    """Attribute rows [n, C] in leaf order as differences in node order."""
    return _parent_filter(values, codes, nodes, depth, False)


@njit(cache=True, nogil=True)
@no_type_check
def parent_decode(deltas, codes, nodes, depth):
    """Inverse of `parent_encode`."""
    return _parent_filter(deltas, codes, nodes, depth, True)


@njit(cache=True, nogil=True)
@no_type_check
def _neighbor_filter(values, coords, is_decoding):
    """Differences to a neighbour of lower coordinates: the last one of a fixed list that exists."""
    shape = np.empty(3, np.int64)
    for axis in range(3):
        shape[axis] = coords[:, axis].max() + 1
    top, bricks, _ = index_coords(coords, shape)
    nby, nbz = (shape[1] + 7) >> 3, (shape[2] + 7) >> 3
    result = np.empty_like(values)
    for n in range(coords.shape[0]):
        reference = np.int64(-1)
        # x, y, z, xy, xz, yz, xyz as bits (4 for x): later entries take precedence, so search from the end.
        for steps in (7, 3, 5, 6, 1, 2, 4):
            x, y, z = coords[n, 0] - (steps >> 2), coords[n, 1] - (steps >> 1 & 1), coords[n, 2] - (steps & 1)
            if x >= 0 and y >= 0 and z >= 0:
                reference = row_at(top, bricks, 0, nby, nbz, x, y, z)
                if reference >= 0:
                    break
        if reference < 0:
            result[n] = values[n]
        elif is_decoding:
            result[n] = values[n] + result[reference]
        else:
            result[n] = values[n] - values[reference]
    return result


@njit(cache=True, nogil=True)
@no_type_check
def neighbor_encode(values, coords):
    """Attribute rows [n, C] as differences to a lower neighbour; `coords` [n, 3] in Z-order."""
    return _neighbor_filter(values, coords, False)


@njit(cache=True, nogil=True)
@no_type_check
def neighbor_decode(deltas, coords):
    """Inverse of `neighbor_encode`: lower neighbours come earlier in Z-order, so one pass suffices."""
    return _neighbor_filter(deltas, coords, True)
