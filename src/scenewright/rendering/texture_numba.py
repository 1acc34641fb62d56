"""Texture lookup for the CPU rasteriser: bilinear, repeating, texel centres at half integers, v down (glTF).

8-bit values become numbers through a table of 256 entries: `SRGB_TABLE` for base colour, `LINEAR_TABLE` for data.
"""

import math
from typing import no_type_check

import numpy as np
from numba import njit

from scenewright.geometry.color import linear_from_srgb_array

__all__ = ["LINEAR_TABLE", "SRGB_TABLE", "face_alpha", "fetch"]

LINEAR_TABLE = (np.arange(256) / 255).astype(np.float32)
SRGB_TABLE = linear_from_srgb_array(np.arange(256) / 255).astype(np.float32)


@njit(cache=True, nogil=True)
@no_type_check
def texel_taps(u, v, height, width):
    """Indices (within the texture) and weights of the four texels around (u, v)."""
    x = (u - math.floor(u)) * width - 0.5
    y = (v - math.floor(v)) * height - 0.5
    x0, y0 = math.floor(x), math.floor(y)
    fx, fy = x - x0, y - y0
    x1, y1 = x0 + 1, y0 + 1
    x0 = x0 + width if x0 < 0 else x0
    y0 = y0 + height if y0 < 0 else y0
    x1 = x1 - width if x1 >= width else x1
    y1 = y1 - height if y1 >= height else y1
    return y0 * width + x0, y0 * width + x1, y1 * width + x0, y1 * width + x1, fx, fy


@njit(cache=True, nogil=True)
@no_type_check
def fetch(textures, texels, index, u, v, table):
    """The first three channels of texture `index` at (u, v), decoded through `table` before filtering."""
    start = textures[index, 0]
    a, b, c, d, fx, fy = texel_taps(u, v, textures[index, 1], textures[index, 2])
    wa, wb, wc, wd = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
    a, b, c, d = start + a, start + b, start + c, start + d
    red = wa * table[texels[a, 0]] + wb * table[texels[b, 0]] + wc * table[texels[c, 0]] + wd * table[texels[d, 0]]
    green = wa * table[texels[a, 1]] + wb * table[texels[b, 1]] + wc * table[texels[c, 1]] + wd * table[texels[d, 1]]
    blue = wa * table[texels[a, 2]] + wb * table[texels[b, 2]] + wc * table[texels[c, 2]] + wd * table[texels[d, 2]]
    return red, green, blue


@njit(cache=True, nogil=True)
@no_type_check
def fetch_alpha(textures, texels, index, u, v):
    start = textures[index, 0]
    a, b, c, d, fx, fy = texel_taps(u, v, textures[index, 1], textures[index, 2])
    top = (1 - fx) * texels[start + a, 3] + fx * texels[start + b, 3]
    bottom = (1 - fx) * texels[start + c, 3] + fx * texels[start + d, 3]
    return ((1 - fy) * top + fy * bottom) / 255.0


@njit(cache=True, nogil=True)
@no_type_check
def face_alpha(face, b1, b2, uv, colors, faces, face_material, factors, kinds, textures, texels):
    """Opacity at a point of a face, and the value below which the point is not there at all."""
    material = face_material[face]
    i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
    b0 = 1.0 - b1 - b2
    alpha = factors[material, 3] * (b0 * colors[i0, 3] + b1 * colors[i1, 3] + b2 * colors[i2, 3])
    texture = kinds[material, 1]
    if texture >= 0:
        u = b0 * uv[i0, 0] + b1 * uv[i1, 0] + b2 * uv[i2, 0]
        v = b0 * uv[i0, 1] + b1 * uv[i1, 1] + b2 * uv[i2, 1]
        alpha *= fetch_alpha(textures, texels, texture, u, v)
    cutoff = factors[material, 9] if kinds[material, 0] == 1 else 1.0 / 255.0
    return alpha, cutoff
