"""Volumetric PBR attributes of textured meshes, the material half of O-Voxel.

Voxels are exactly those of the dual grid of the same mesh, and carry base colour, metallic, roughness and alpha of
the surface near them. Base colour is display encoded (sRGB) throughout, as in published data; the other channels are
linear. What glows also carries `emissive` [N, 3], display encoded, which published data drops. Normal maps are left
out.

Legend: T triangles, N voxels. Frame: grid space, see docs/conventions.md#grid. Source: O-Voxel of TRELLIS.2
(microsoft/TRELLIS.2 o-voxel/src/convert/volumetic_attr.cpp).
"""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.color import srgb_from_linear
from scenewright.geometry.ovoxel.dual_grid import slab_starts
from scenewright.geometry.ovoxel.dual_grid_kernels import slabs_of_simplices
from scenewright.geometry.ovoxel.volumetric_attributes_kernels import slab_attributes
from scenewright.geometry.ovoxel.volumetric_attributes_texture import FILTERS, WRAPS, pack_textures
from scenewright.geometry.ovoxel.voxelize import Lattice, check_surface
from scenewright.machine import available_cores
from scenewright.progress import Advance, ignore
from scenewright.types import Mesh, PBRMaterial, Wrap

__all__ = [
    "SurfaceMaterial",
    "TexturedTriangles",
    "attribute_bytes",
    "emissive_triangles",
    "pack_materials",
    "textured_triangles",
    "voxelize_textured_triangles",
]

logger = logging.getLogger(__name__)

_ALPHA_MODES = {"OPAQUE": 0, "MASK": 1, "BLEND": 2}


@dataclass(frozen=True)
class SurfaceMaterial:
    """Materials as the voxeliser reads them: display-encoded factors times textures.

    Textures are uint8, square with a power-of-two side, top row first. Each texture is an image and the channel to
    read from it (base colour reads 0, 1 and 2).
    """

    base_color_factor: tuple[float, float, float] = (0.8, 0.8, 0.8)
    metallic_factor: float = 0.0
    roughness_factor: float = 0.5
    alpha_factor: float = 1.0
    alpha_mode: Literal["OPAQUE", "MASK", "BLEND"] = "OPAQUE"
    alpha_cutoff: float = 0.5
    filter: Literal["nearest", "linear"] = "linear"
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")
    base_color_texture: UInt8[Tensor, "side side channels"] | None = None
    metallic_texture: tuple[UInt8[Tensor, "side2 side2 channels2"], int] | None = None
    roughness_texture: tuple[UInt8[Tensor, "side3 side3 channels3"], int] | None = None
    alpha_texture: tuple[UInt8[Tensor, "side4 side4 channels4"], int] | None = None


@dataclass(frozen=True)
class TexturedTriangles:
    """Triangles with per-corner data; `uvs` have v pointing up. `colors` are display-encoded tints RGBA."""

    corners: Float[Tensor, "T 3 3"]
    uvs: Float[Tensor, "T 3 2"]
    material_ids: Int[Tensor, " T"]
    materials: tuple[SurfaceMaterial, ...] = field(default=(SurfaceMaterial(),))
    normals: Float[Tensor, "T 3 3"] | None = None
    colors: Float[Tensor, "T 3 4"] | None = None


def voxelize_textured_triangles(
    triangles: TexturedTriangles,
    lattice: Lattice,
    mip_level_offset: float = 0.0,
    num_threads: int | None = None,
    progress: Advance = ignore,
) -> tuple[Int[Tensor, "N 3"], dict[str, Float[Tensor, "N channels"]]]:
    """Coords in ascending order, and `base_color` [N, 3], `metallic`, `roughness`, `alpha` [N, 1] and `normal` [N, 3].

    Values are weighted means before conversion to bytes. `normal` is there when the triangles have normals.

    Raises:
        InputError: no triangles, values that are not finite, or a texture that is not square with a power-of-two side.
    """
    corners = (triangles.corners.detach().to("cpu", torch.float32) - torch.tensor(lattice.low_corner)).contiguous()
    num = len(corners)
    faces = torch.arange(3 * num, dtype=torch.int32).view(num, 3)
    check_surface(Mesh(corners.view(-1, 3), faces))

    def per_corner(values: Tensor | None, width: int) -> np.ndarray:
        if values is None:
            return np.empty((0, 3, width), np.float32)
        return values.detach().to("cpu", torch.float32).contiguous().numpy()

    size, cells = np.array(lattice.voxel_size, np.float64), np.array(lattice.cells, np.int64)
    starts = slab_starts(int(cells[0]))
    offsets, ids = slabs_of_simplices(corners.view(-1, 3).numpy(), faces.numpy(), size[0], cells[0], starts)
    arguments = (
        corners.numpy(),
        per_corner(triangles.normals, 3),
        per_corner(triangles.uvs, 2),
        per_corner(triangles.colors, 4),
        triangles.material_ids.to("cpu", torch.int64).contiguous().numpy(),
        *pack_materials(triangles.materials),
        float(mip_level_offset),
    )

    def voxelize(slab: int) -> tuple[np.ndarray, np.ndarray]:
        of_slab = ids[offsets[slab] : offsets[slab + 1]]
        return slab_attributes(*arguments, of_slab, size, cells, starts[slab], starts[slab + 1])

    occupied = [slab for slab in range(len(starts) - 1) if offsets[slab + 1] > offsets[slab]]
    parts = [(np.empty((0, 3), np.int32), np.empty((0, 9), np.float32)), *(voxelize(slab) for slab in occupied[:1])]
    with ThreadPoolExecutor(num_threads or available_cores()) as pool:
        for done, part in enumerate(pool.map(voxelize, occupied[1:]), start=2):
            parts.append(part)
            progress(done, len(occupied))
    coords = torch.from_numpy(np.concatenate([part[0] for part in parts]))
    values = torch.from_numpy(np.concatenate([part[1] for part in parts]))
    widths = {"base_color": 3, "metallic": 1, "roughness": 1, "alpha": 1, "normal": 3}
    attributes = dict(zip(widths, values.split(list(widths.values()), 1), strict=True))
    if triangles.normals is None:
        del attributes["normal"]
    device = triangles.corners.device
    return coords.to(device), {name: value.to(device) for name, value in attributes.items()}


def pack_materials(materials: Sequence[SurfaceMaterial]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Materials as the kernels read them: factors, choices, and the textures' buffer and table (see there)."""
    textures: list[Tensor] = []
    factors, choices = np.zeros((len(materials), 7)), np.zeros((len(materials), 11), np.int64)
    for index, material in enumerate(materials):
        factors[index] = (
            *material.base_color_factor,
            material.metallic_factor,
            material.roughness_factor,
            material.alpha_factor,
            material.alpha_cutoff,
        )
        wrap = [WRAPS[side] for side in material.wrap]
        choices[index, :4] = _ALPHA_MODES[material.alpha_mode], FILTERS[material.filter], *wrap
        base = None if material.base_color_texture is None else (material.base_color_texture, 0)
        slots = (base, material.metallic_texture, material.roughness_texture, material.alpha_texture)
        for slot, texture in enumerate(slots):
            choices[index, 4 + slot] = -1
            if texture is not None:
                image, channel = texture
                last = 2 if slot == 0 else channel
                if image.shape[2] <= last:
                    raise InputError(f"Expected a texture with at least {last + 1} channels, got {tuple(image.shape)}.")
                choices[index, 4 + slot] = _position(textures, image)
                if slot:
                    choices[index, 7 + slot] = channel
    return factors, choices, *pack_textures([texture.cpu().numpy() for texture in textures])


def _position(textures: list[Tensor], image: Tensor) -> int:
    """Index of `image` in the list, appended when new: materials often share images."""
    for index, known in enumerate(textures):
        if known is image:
            return index
    textures.append(image)
    return len(textures) - 1


def textured_triangles(parts: Sequence[Mesh]) -> TexturedTriangles:
    """All parts' triangles in order, with their materials.

    Linear factors and vertex colours are display encoded. A part without a material is grey (0.8, roughness 0.5); a
    part with textures but no UVs keeps its factors, with a warning in the log.

    Raises:
        InputError: no triangles, or vertices that are not finite.
    """
    if not any(len(part.faces) for part in parts):
        raise InputError("Expected an object with at least one triangle, got none; check that the file holds geometry.")
    corners, uvs, ids, materials, colors = [], [], [], [], []
    has_colors = any(part.vertex_colors is not None for part in parts)
    for index, part in enumerate(parts):
        check_surface(part)
        faces = part.faces.long()
        corners.append(part.vertices.float()[faces])
        ids.append(torch.full((len(faces),), index, device=faces.device))
        materials.append(_surface_material(part))
        uv = torch.zeros(len(part.vertices), 2, device=faces.device) if part.uv is None else part.uv.float()
        uvs.append(torch.stack([uv[:, 0], 1 - uv[:, 1]], 1)[faces])
        if has_colors:
            tint = torch.ones(len(part.vertices), 4, device=faces.device)
            if part.vertex_colors is not None:
                tint = torch.cat([srgb_from_linear(part.vertex_colors[:, :3]), part.vertex_colors[:, 3:]], 1).float()
            colors.append(tint[faces])
    return TexturedTriangles(
        torch.cat(corners),
        torch.cat(uvs),
        torch.cat(ids),
        tuple(materials),
        colors=torch.cat(colors) if colors else None,
    )


def emissive_triangles(parts: Sequence[Mesh], triangles: TexturedTriangles) -> TexturedTriangles | None:
    """The same triangles with their emission as their base colour; None where nothing glows.

    Args:
        triangles: `textured_triangles` of the parts.
    """
    if not any(part.material is not None and any(part.material.emissive_factor) for part in parts):
        return None
    return replace(triangles, materials=tuple(_glow(part) for part in parts), colors=None)


def _glow(part: Mesh) -> SurfaceMaterial:
    material = part.material or PBRMaterial()
    texture = material.emissive_texture if part.uv is not None else None
    red, green, blue = srgb_from_linear(
        torch.tensor(material.emissive_factor, dtype=torch.float64).clamp(max=1)
    ).tolist()
    return SurfaceMaterial((red, green, blue), wrap=material.wrap, base_color_texture=_power_of_two(texture))


def attribute_bytes(
    values: Mapping[str, Float[Tensor, "N _channels"]],
) -> dict[str, UInt8[Tensor, "N _channels"]]:
    """Attributes in [0, 1] as they are stored: truncated to bytes."""
    return {name: (value.clamp(0, 1) * 255).to(torch.uint8) for name, value in values.items()}


def _surface_material(part: Mesh) -> SurfaceMaterial:
    material = part.material
    if material is None:
        return SurfaceMaterial() if part.vertex_colors is None else SurfaceMaterial(base_color_factor=(1.0, 1.0, 1.0))
    base, packed = material.base_color_texture, material.metallic_roughness_texture
    if part.uv is None and (base is not None or packed is not None):
        logger.warning("Material '%s' has textures but its mesh has no UVs; only its factors are used.", material.name)
        base = packed = None
    base, packed = _power_of_two(base), _power_of_two(packed)
    red, green, blue = srgb_from_linear(torch.tensor(material.base_color_factor[:3], dtype=torch.float64)).tolist()
    return SurfaceMaterial(
        base_color_factor=(red, green, blue),
        metallic_factor=material.metallic_factor,
        roughness_factor=material.roughness_factor,
        alpha_factor=material.base_color_factor[3],
        alpha_mode=material.alpha_mode,
        alpha_cutoff=material.alpha_cutoff,
        wrap=material.wrap,
        base_color_texture=base,
        metallic_texture=None if packed is None else (packed, 2),
        roughness_texture=None if packed is None else (packed, 1),
        alpha_texture=None if base is None or base.shape[2] < 4 else (base, 3),
    )


def _power_of_two(image: Tensor | None) -> Tensor | None:
    """The image on a square power-of-two raster: the nearest power to its longer side, resized with Lanczos."""
    if image is None:
        return None
    height, width = image.shape[:2]
    side = 1 << max(round(np.log2(max(height, width))), 0)
    if (height, width) == (side, side):
        return image
    from PIL import Image

    pixels = image.cpu().numpy()
    planes = [Image.fromarray(pixels[..., channel]) for channel in range(pixels.shape[2])]
    resized = [np.asarray(plane.resize((side, side), Image.Resampling.LANCZOS)) for plane in planes]
    return torch.from_numpy(np.stack(resized, 2))
