"""Texture lookup on whole arrays: bilinear, texel centres at half integers, v down (glTF).

The twin of `texture_numba`. Legend: P points.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.geometry.color import linear_from_srgb
from scenewright.rendering.triangles import MaterialBank, TriangleScene

__all__ = ["face_alpha", "fetch", "interpolate"]


def interpolate(scene: TriangleScene, values: Float[Tensor, "V C"], face: Tensor, barycentrics: Tensor) -> Tensor:
    """Vertex values at points of faces."""
    a, b, c = values[scene.faces[face].long()].unbind(1)
    b1, b2 = barycentrics[:, :1], barycentrics[:, 1:]
    return (1 - b1 - b2) * a + b1 * b + b2 * c


def fetch(
    bank: MaterialBank, index: Int[Tensor, " P"], uv: Float[Tensor, "P 2"], *, is_srgb: bool = False
) -> Float[Tensor, "P 4"]:
    """RGBA of textures at points; RGB decoded from sRGB before filtering where asked. Index -1 gives ones."""
    result = torch.ones(len(index), 4, device=uv.device)
    used = torch.nonzero(index >= 0).squeeze(1)
    if not len(used):
        return result
    start, height, width, *wraps = bank.textures[index[used].long()].unbind(1)
    size, wrap = torch.stack([width, height], 1), torch.stack(wraps, 1)
    place = uv[used]
    mirrored = (place - 2 * (0.5 * place + 0.5).floor()).abs()
    place = torch.where(wrap == 0, place - place.floor(), torch.where(wrap == 1, place.clamp(0, 1), mirrored))
    position = place * size - 0.5
    low = position.floor()
    fraction = position - low
    x0, y0 = _continued(low.long(), size, wrap).unbind(1)
    x1, y1 = _continued(low.long() + 1, size, wrap).unbind(1)

    def texel(x: Tensor, y: Tensor) -> Tensor:
        value = bank.texels[start + y * width + x].float() / 255
        return torch.cat([linear_from_srgb(value[:, :3]), value[:, 3:]], 1) if is_srgb else value

    fx, fy = fraction[:, :1], fraction[:, 1:]
    top = (1 - fx) * texel(x0, y0) + fx * texel(x1, y0)
    result[used] = (1 - fy) * top + fy * ((1 - fx) * texel(x0, y1) + fx * texel(x1, y1))
    return result


def _continued(texel: Int[Tensor, "P 2"], size: Int[Tensor, "P 2"], wrap: Int[Tensor, "P 2"]) -> Int[Tensor, "P 2"]:
    return torch.where(wrap == 0, torch.remainder(texel, size), texel.clamp(min=0).minimum(size - 1))


def face_alpha(
    scene: TriangleScene, face: Int[Tensor, " P"], barycentrics: Float[Tensor, "P 2"]
) -> tuple[Tensor, Tensor]:
    """Opacity at points of faces, and the value below which a point is not there at all."""
    material = scene.face_material[face].long()
    factor, kind = scene.bank.factors[material], scene.bank.kinds[material]
    alpha = factor[:, 3] * interpolate(scene, scene.colors, face, barycentrics)[:, 3]
    uv = interpolate(scene, scene.uv, face, barycentrics)
    return alpha * fetch(scene.bank, kind[:, 1], uv)[:, 3], torch.where(kind[:, 0] == 1, factor[:, 9], 1 / 255)
