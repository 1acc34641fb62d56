"""Texture lookup for the CPU rasteriser: bilinear, texel centres at half integers, v down (glTF).

8-bit values become numbers through a table of 256 entries: `SRGB_TABLE` for base colour, `LINEAR_TABLE` for data.
"""

import math
from typing import no_type_check

import numpy as np

from scenewright.compiled import njit
from scenewright.geometry.color import linear_from_srgb_array

__all__ = ["LINEAR_TABLE", "SRGB_TABLE", "face_alpha", "fetch"]

LINEAR_TABLE = (np.arange(256) / 255).astype(np.float32)
SRGB_TABLE = linear_from_srgb_array(np.arange(256) / 255).astype(np.float32)


@njit(cache=True, nogil=True)
@no_type_check
def texel_pair(u, size, wrap):
    """The two texels around a coordinate along one side, and the weight of the second; `wrap` as in `WRAPS`."""
    if wrap == 1:
        u = min(max(u, 0.0), 1.0)
    elif wrap == 2:
        u = abs(u - 2 * math.floor(0.5 * u + 0.5))
    else:
        u -= math.floor(u)
    x = u * size - 0.5
    first = math.floor(x)
    weight, second = x - first, first + 1
    if wrap == 0:
        return first + size if first < 0 else first, second - size if second >= size else second, weight
    return max(first, 0), min(second, size - 1), weight


@njit(cache=True, nogil=True)
@no_type_check
def texel_taps(u, v, texture):
    """Indices and weights of the four texels around (u, v); `texture` is its row in `MaterialBank.textures`."""
    start, height, width = texture[0], texture[1], texture[2]
    x0, x1, fx = texel_pair(u, width, texture[3])
    y0, y1, fy = texel_pair(v, height, texture[4])
    y0, y1 = start + y0 * width, start + y1 * width
    return y0 + x0, y0 + x1, y1 + x0, y1 + x1, fx, fy


@njit(cache=True, nogil=True)
@no_type_check
def fetch(textures, texels, index, u, v, table):
    """The first three channels of texture `index` at (u, v), decoded through `table` before filtering."""
    a, b, c, d, fx, fy = texel_taps(u, v, textures[index])
    wa, wb, wc, wd = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
    red = wa * table[texels[a, 0]] + wb * table[texels[b, 0]] + wc * table[texels[c, 0]] + wd * table[texels[d, 0]]
    green = wa * table[texels[a, 1]] + wb * table[texels[b, 1]] + wc * table[texels[c, 1]] + wd * table[texels[d, 1]]
    blue = wa * table[texels[a, 2]] + wb * table[texels[b, 2]] + wc * table[texels[c, 2]] + wd * table[texels[d, 2]]
    return red, green, blue


@njit(cache=True, nogil=True)
@no_type_check
def fetch_alpha(textures, texels, index, u, v):
    a, b, c, d, fx, fy = texel_taps(u, v, textures[index])
    top = (1 - fx) * texels[a, 3] + fx * texels[b, 3]
    bottom = (1 - fx) * texels[c, 3] + fx * texels[d, 3]
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
