"""PBR attributes of a textured surface at given points: what a voxel away from the published ones takes.

A point reads what a voxel there would read from its one triangle, with two differences that keep a thin part from
taking the colour of its neighbours in the texture: at the point itself, not at a voxel's centre, and at the level of
detail of the triangle's height where that is below a voxel.

Legend: T triangles, M points. Base colour is display encoded, as in volumetric_attributes.
"""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import njit
from torch import Tensor

from scenewright.geometry.ovoxel.volumetric_attributes import TexturedTriangles, pack_materials
from scenewright.geometry.ovoxel.volumetric_attributes_kernels import read_material
from scenewright.geometry.ovoxel.volumetric_attributes_texture import mip_level

__all__ = ["attributes_at_points"]


def attributes_at_points(
    triangles: TexturedTriangles,
    faces: Int[Tensor, " M"],
    barycentric: Float[Tensor, "M 3"],
    voxel_size: float,
) -> dict[str, Float[Tensor, "M channels"]]:
    """`base_color` [M, 3], `metallic`, `roughness` and `alpha` [M, 1] in [0, 1], on the points' device.

    Args:
        faces: the triangle that each point lies on.
        barycentric: its place on it.
        voxel_size: side of a voxel in the corners' unit, for the textures' level of detail.
    """
    used, face = np.unique(faces.cpu().numpy(), return_inverse=True)
    rows = torch.from_numpy(used)

    def per_corner(values: Tensor) -> np.ndarray:
        return np.ascontiguousarray(values.detach().cpu()[rows].to(torch.float32).numpy())

    tints = np.ones((len(face), 4))
    if triangles.colors is not None:
        corners = torch.from_numpy(per_corner(triangles.colors)[face]).double()
        tints = (barycentric.detach().cpu().double()[..., None] * corners).sum(1).clamp(0, 1).numpy()
    values = _values_at(
        per_corner(triangles.corners),
        per_corner(triangles.uvs),
        tints,
        np.ascontiguousarray(triangles.material_ids.cpu()[rows].to(torch.int64).numpy()),
        *pack_materials(triangles.materials),
        face,
        np.ascontiguousarray(barycentric.detach().cpu().to(torch.float64).numpy()),
        float(voxel_size),
    )
    widths = {"base_color": 3, "metallic": 1, "roughness": 1, "alpha": 1}
    columns = torch.from_numpy(values).float().to(faces.device).split(list(widths.values()), 1)
    return dict(zip(widths, columns, strict=True))


@njit(cache=True, nogil=True)
@no_type_check
def _lowest_height(triangle):
    first, second = triangle[1] - triangle[0], triangle[2] - triangle[0]
    third = second - first
    longest2 = max((first * first).sum(), (second * second).sum(), (third * third).sum())
    x = first[1] * second[2] - first[2] * second[1]
    y = first[2] * second[0] - first[0] * second[2]
    z = first[0] * second[1] - first[1] * second[0]
    return np.sqrt((x * x + y * y + z * z) / longest2) if longest2 > 0.0 else 0.0


@njit(cache=True, nogil=True)
@no_type_check
def _values_at(corners, uvs, tints, material_ids, factors, choices, buffer, table, faces, barycentric, voxel_size):
    """Base colour, metallic, roughness and alpha [M, 6] at points of triangles."""
    result = np.empty((faces.shape[0], 6))
    levels, triangle, uv = np.zeros(4), np.empty((3, 3)), np.empty((3, 2))
    for n in range(faces.shape[0]):
        f = faces[n]
        triangle[:] = corners[f]
        uv[:] = uvs[f]
        material = material_ids[f]
        size = min(voxel_size, _lowest_height(triangle))
        for slot in range(4):
            texture = choices[material, 4 + slot]
            if texture >= 0:
                levels[slot] = mip_level(triangle, uv, size, table[texture, 3], 0.0)
        u = barycentric[n, 0] * uv[0, 0] + barycentric[n, 1] * uv[1, 0] + barycentric[n, 2] * uv[2, 0]
        v = barycentric[n, 0] * uv[0, 1] + barycentric[n, 1] * uv[1, 1] + barycentric[n, 2] * uv[2, 1]
        read_material(factors[material], choices[material], buffer, table, levels, u, v, tints[n], result[n])
    return result
