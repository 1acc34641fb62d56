"""A whole object as O-Voxel and back: the dual grid of its surface and its PBR attributes in one set of voxels.

Dual vertices are rounded to the steps that files store, so that an object is the same before and after writing it.

Legend: N voxels. Frame: [-0.5, 0.5]^3, z up. A whole object is fitted to it (see `fit_unit_cube`): its own size and
place are not part of O-Voxel. Parts of a room keep their place. Source: microsoft/TRELLIS.2 o-voxel/o_voxel/convert.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from scenewright.errors import InputError
from scenewright.geometry.color import linear_from_srgb
from scenewright.geometry.mesh.parts import face_areas, select_faces
from scenewright.geometry.ovoxel.dual_grid import mesh_to_lattice
from scenewright.geometry.ovoxel.dual_grid_mesh import dual_grid_to_mesh
from scenewright.geometry.ovoxel.dual_grid_quantize import dequantize_dual_grid, quantize_dual_grid
from scenewright.geometry.ovoxel.volumetric_attributes import (
    attribute_bytes,
    emissive_triangles,
    textured_triangles,
    voxelize_textured_triangles,
)
from scenewright.geometry.ovoxel.voxelize import Lattice, check_surface, fit_unit_cube
from scenewright.progress import SILENT, Progress
from scenewright.types import DualGrid, Mesh, OVoxel, PBRMaterial, merged_mesh

__all__ = ["object_to_ovoxel", "ovoxel_to_parts", "placed_to_ovoxel"]

# Below this (of 255) a voxel counts as see-through; sampling leaves opaque surfaces at 254 or 255.
_OPAQUE_BYTE = 250
# Emission up to this (display encoded) counts as none: filtering leaks a little across the borders of lamps.
_DARK = 0.05


def object_to_ovoxel(
    parts: Sequence[Mesh],
    resolution: int,
    progress: Progress = SILENT,
) -> OVoxel:
    """Surface and materials of an object, fitted to the cube, voxels in ascending (x, y, z) order.

    Args:
        parts: the object's meshes in one common frame.

    Raises:
        InputError: no triangles, vertices that are not finite, no extent, or all of it smaller than a voxel.
    """
    parts = _checked(parts)
    _, centre, scale = fit_unit_cube(torch.cat([part.vertices for part in parts]))
    return _voxels([replace(part, vertices=(part.vertices - centre) * scale) for part in parts], resolution, progress)


def placed_to_ovoxel(parts: Sequence[Mesh], resolution: int, progress: Progress = SILENT) -> OVoxel:
    """As `object_to_ovoxel`, of what lies in the cube already: it keeps its place, and what sticks out is cut off.

    Raises:
        InputError: as there, or nothing of it is in the cube, or it is many times larger than that.
    """
    return _voxels(_checked(parts), resolution, progress)


def _checked(parts: Sequence[Mesh]) -> list[Mesh]:
    parts = [part for part in parts if len(part.faces)]
    if not parts:
        raise InputError("Expected an object with at least one triangle, got none; check that the file holds geometry.")
    return _with_area([replace(part, vertices=part.vertices.float()) for part in parts])


def _voxels(parts: Sequence[Mesh], resolution: int, progress: Progress) -> OVoxel:
    mesh = merged_mesh([Mesh(part.vertices, part.faces) for part in parts])
    lattice = Lattice.cube(resolution)
    coords, dual, crossed = mesh_to_lattice(mesh.vertices, mesh.faces, lattice, progress=progress.stage("surface"))
    grid = DualGrid(coords, dual, crossed, resolution)
    if not len(grid.coords):
        raise InputError(f"The object crosses no edge of a {resolution}^3 grid; choose a higher resolution.")
    triangles = textured_triangles(parts)
    advance = progress.stage("materials")
    coords, values = voxelize_textured_triangles(triangles, lattice, progress=advance)
    # Both scans make the same voxels by construction: same triangles, same arithmetic, same order.
    if not torch.equal(grid.coords, coords):
        raise RuntimeError(f"The two scans of one surface made {len(grid.coords)} and {len(coords)} voxels.")
    glowing = emissive_triangles(parts, triangles)
    if glowing is not None:
        _, glow = voxelize_textured_triangles(glowing, lattice)
        values["emissive"] = glow["base_color"]
    stored = dequantize_dual_grid(grid.coords, *quantize_dual_grid(grid), resolution)
    return OVoxel(stored, attribute_bytes(values))


def _with_area(parts: Sequence[Mesh]) -> list[Mesh]:
    """The parts without triangles of no area, which must not change the size; as they are where no other is left.

    Raises:
        InputError: vertices that are not finite, or faces that name missing ones.
    """
    kept = []
    for part in parts:
        check_surface(part)
        solid = face_areas(part) > 0
        if bool(solid.any()):
            kept.append(part if bool(solid.all()) else select_faces(part, solid))
    return kept or list(parts)


def ovoxel_to_parts(voxels: OVoxel) -> tuple[Mesh, ...]:
    """The surface stored in voxels, with vertex colours where they hold `base_color`; unoriented, so double-sided.

    Each vertex takes the colour and alpha of its voxel; metallic and roughness become the object's medians, since a
    material has one of each. Where voxels glow, a second part follows: the faces between glowing voxels, with the
    medians of their emission. Vertices that no face uses are dropped.

    Raises:
        InputError: the voxels hold no surface.
    """
    mesh = dual_grid_to_mesh(voxels.grid)
    used, faces = torch.unique(mesh.faces.long(), return_inverse=True)
    if not len(used):
        raise InputError("The voxels hold no surface: no grid edge has all of its four voxels.")
    values = {name: value[used] for name, value in voxels.materials.items()}
    colors, is_blended = None, False
    if "base_color" in values:
        alpha = values.get("alpha", torch.full_like(values["base_color"][:, :1], 255))
        is_blended = bool((alpha < _OPAQUE_BYTE).any())
        colors = torch.cat([linear_from_srgb(values["base_color"].float() / 255), alpha.float() / 255], 1)
    medians = {name: float(values[name].float().median()) / 255 for name in ("metallic", "roughness") if name in values}
    material = PBRMaterial(
        metallic_factor=medians.get("metallic", 0.0),
        roughness_factor=medians.get("roughness", 1.0),
        alpha_mode="BLEND" if is_blended else "OPAQUE",
        double_sided=True,
    )
    whole = Mesh(mesh.vertices[used], faces.reshape(-1, 3), vertex_colors=colors, material=material)
    if "emissive" not in values:
        return (whole,)
    glow = values["emissive"].float() / 255
    glows = (glow.amax(1) > _DARK)[whole.faces].all(1)
    if not bool(glows.any()):
        return (whole,)
    red, green, blue = linear_from_srgb(glow[whole.faces[glows].unique()].median(0).values).tolist()
    lit = replace(select_faces(whole, glows), material=replace(material, emissive_factor=(red, green, blue)))
    return (lit,) if bool(glows.all()) else (select_faces(whole, ~glows), lit)
