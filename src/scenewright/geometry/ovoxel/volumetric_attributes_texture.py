"""Texture look-ups as the published voxeliser does them: nearest, or trilinear over a chain of box-filtered levels.

Textures are square, a power of two on a side, uint8, rows from the top; (u, v) has v pointing up. All textures of a
job are packed into one buffer so that compiled kernels can index them.

Legend: T textures, L levels, C channels. `table` int64 [T, 2 + 2 L]: channels, levels, then (offset, side) per level.
Source: microsoft/TRELLIS.2 o-voxel/src/convert/volumetic_attr.cpp.
"""

from collections.abc import Sequence
from typing import no_type_check

import numpy as np

from scenewright.compiled import njit
from scenewright.errors import InputError

__all__ = ["FILTERS", "WRAPS", "lookup", "mip_level", "pack_textures"]

WRAPS = {"repeat": 0, "clamp": 1, "mirror": 2}
FILTERS = {"nearest": 0, "linear": 1}
MAX_SIDE = 1 << 14
# Length of a texture-space tangent where the coordinates of a triangle's corners coincide.
_DEGENERATE_TANGENT = 1e6


def pack_textures(textures: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """One uint8 buffer with every level of every texture [S, S, C], and the table that finds them.

    Raises:
        InputError: a texture is not square with a power-of-two side.
    """
    buffers, rows, at = [], [], 0
    for texture in textures:
        side = texture.shape[0]
        if texture.ndim != 3 or texture.shape[1] != side or side & (side - 1) or not 1 <= side <= MAX_SIDE:
            raise InputError(
                f"Expected a square uint8 texture with a power-of-two side up to {MAX_SIDE}, got {texture.shape}."
            )
        row, level = [texture.shape[2], 0], texture
        while True:
            row[1] += 1
            row += [at, level.shape[0]]
            buffers.append(np.ascontiguousarray(level, np.uint8).reshape(-1))
            at += buffers[-1].size
            if level.shape[0] == 1:
                break
            wide = level.astype(np.uint16)
            level = (wide[::2, ::2] + wide[1::2, ::2] + wide[::2, 1::2] + wide[1::2, 1::2]) // 4
        rows.append(row)
    width = max((len(row) for row in rows), default=2)
    table = np.zeros((len(rows), width), np.int64)
    for index, row in enumerate(rows):
        table[index, : len(row)] = row
    return np.concatenate(buffers) if buffers else np.empty(0, np.uint8), table


@njit(cache=True, nogil=True)
@no_type_check
def mip_level(triangle, uv, voxel_size, side, offset):
    """Level of detail at which a voxel sees a texture of the given side, for one triangle."""
    du1, dv1, du2, dv2 = uv[1, 0] - uv[0, 0], uv[1, 1] - uv[0, 1], uv[2, 0] - uv[0, 0], uv[2, 1] - uv[0, 1]
    determinant = du1 * dv2 - du2 * dv1
    along_u = along_v = _DEGENERATE_TANGENT
    if abs(determinant) >= 1e-6:
        along_u = along_v = 0.0
        for axis in range(3):
            e1, e2 = triangle[1, axis] - triangle[0, axis], triangle[2, axis] - triangle[0, axis]
            tangent_u, tangent_v = (e1 * dv2 - e2 * dv1) / determinant, (e2 * du1 - e1 * du2) / determinant
            along_u += tangent_u * tangent_u
            along_v += tangent_v * tangent_v
        along_u, along_v = np.sqrt(along_u), np.sqrt(along_v)
    area = along_u * along_v
    if area <= 0.0:
        return np.inf
    return np.log2(voxel_size / np.sqrt(area) * side) + offset


@njit(cache=True, nogil=True)
@no_type_check
def _wrapped(index, side, wrap):
    # Sides are powers of two, so masks stand for remainders, also of negative indices.
    if wrap == 1:
        return min(max(index, 0), side - 1)
    if wrap == 2:
        index &= 2 * side - 1
        return index if index < side else 2 * side - 1 - index
    return index & (side - 1)


@njit(cache=True, nogil=True)
@no_type_check
def _bilinear(buffer, offset, side, channels, channel, u, v, wrap_u, wrap_v):
    x, y = u * side - 0.5, (1.0 - v) * side - 0.5
    x_floor, y_floor = np.floor(x), np.floor(y)
    x_part, y_part = x - x_floor, y - y_floor
    x0, x1 = _wrapped(np.int64(x_floor), side, wrap_u), _wrapped(np.int64(x_floor) + 1, side, wrap_u)
    y0, y1 = _wrapped(np.int64(y_floor), side, wrap_v), _wrapped(np.int64(y_floor) + 1, side, wrap_v)
    top = offset + y0 * side * channels + channel
    bottom = offset + y1 * side * channels + channel
    upper = buffer[top + x0 * channels] * (1.0 - x_part) + buffer[top + x1 * channels] * x_part
    lower = buffer[bottom + x0 * channels] * (1.0 - x_part) + buffer[bottom + x1 * channels] * x_part
    return upper * (1.0 - y_part) + lower * y_part


@njit(cache=True, nogil=True)
@no_type_check
def lookup(buffer, row, channel, u, v, is_linear, wrap_u, wrap_v, level):
    """Value in [0, 1] of one channel at (u, v); `row` is the texture's row of the table."""
    channels, last, side = row[0], row[1] - 1, row[3]
    if not (abs(u) < 1e9 and abs(v) < 1e9):
        u = v = 0.0
    if not is_linear:
        x = _wrapped(np.int64(np.floor(u * side)), side, wrap_u)
        y = _wrapped(np.int64(np.floor((1.0 - v) * side)), side, wrap_v)
        return buffer[row[2] + (y * side + x) * channels + channel] / 255.0
    if not np.isfinite(level) or level <= 0.0 or last == 0:
        return _bilinear(buffer, row[2], side, channels, channel, u, v, wrap_u, wrap_v) / 255.0
    if level >= last:
        return _bilinear(buffer, row[2 + 2 * last], row[3 + 2 * last], channels, channel, u, v, wrap_u, wrap_v) / 255.0
    low = np.int64(level)
    fine = _bilinear(buffer, row[2 + 2 * low], row[3 + 2 * low], channels, channel, u, v, wrap_u, wrap_v)
    coarse = _bilinear(buffer, row[4 + 2 * low], row[5 + 2 * low], channels, channel, u, v, wrap_u, wrap_v)
    return (fine + (coarse - fine) * (level - low)) / 255.0
