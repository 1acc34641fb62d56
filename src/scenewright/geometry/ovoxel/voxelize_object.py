"""A whole object as O-Voxel and back: the dual grid of its surface and its PBR attributes in one set of voxels.

Dual vertices are rounded to the steps that files store, so that an object is the same before and after writing it.

Legend: N voxels. Frame: the object fitted to [-0.5, 0.5]^3 (see `fit_unit_cube`), z up; the object's own size and place
are not part of O-Voxel. Source: microsoft/TRELLIS.2 o-voxel/o_voxel/convert.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.color import linear_from_srgb
from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.geometry.ovoxel.dual_grid import DualGridConfig, mesh_to_dual_grid
from scenewright.geometry.ovoxel.dual_grid_mesh import dual_grid_to_mesh
from scenewright.geometry.ovoxel.dual_grid_quantize import dequantize_dual_grid, quantize_dual_grid
from scenewright.geometry.ovoxel.faithful.fidelity import faithful_dual_grid
from scenewright.geometry.ovoxel.volumetric_attributes import (
    TexturedTriangles,
    attribute_bytes,
    textured_triangles,
    voxelize_textured_triangles,
)
from scenewright.geometry.ovoxel.volumetric_attributes_points import attributes_at_points
from scenewright.geometry.ovoxel.voxelize import Lattice, fit_unit_cube
from scenewright.sparse.hashing import coord_keys
from scenewright.types import DualGrid, Mesh, OVoxel, PBRMaterial, merged_mesh

__all__ = ["object_to_ovoxel", "ovoxel_to_mesh"]

# Below this (of 255) a voxel counts as see-through; sampling leaves opaque surfaces at 254 or 255.
_OPAQUE_BYTE = 250


def object_to_ovoxel(
    parts: Sequence[Mesh],
    resolution: int,
    config: DualGridConfig | None = None,
    progress: Callable[[float], None] | None = None,
    *,
    faithful: bool = False,
) -> OVoxel:
    """Surface and materials of an object, fitted to the cube, voxels in ascending (x, y, z) order.

    Args:
        parts: the object's meshes in one common frame.
        faithful: change voxels where the published conversion loses surface or strays from it (`faithful_dual_grid`).
            A voxel that is new, or whose vertex moved, takes the material of the surface nearest to its vertex; all
            others keep theirs.
        progress: called with the finished fraction.

    Raises:
        InputError: no triangles, vertices that are not finite, no extent, or all of it smaller than a voxel.
    """
    config = config or DualGridConfig()
    parts = [part for part in parts if len(part.faces)]
    if not parts:
        raise InputError("Expected an object with at least one triangle, got none; check that the file holds geometry.")
    fitted, _, _ = fit_unit_cube(torch.cat([part.vertices.float() for part in parts]))
    pieces = fitted.split([len(part.vertices) for part in parts])
    parts = [replace(part, vertices=piece) for part, piece in zip(parts, pieces, strict=True)]
    mesh, num_stages = Mesh(fitted, merged_mesh(parts).faces), 3 if faithful else 2

    def stage(number: int) -> Callable[[float], None]:
        def report(done: float) -> None:
            if progress is not None:
                progress((number + done) / num_stages)

        return report

    grid = mesh_to_dual_grid(mesh, resolution, config, stage(0))
    if not len(grid.coords) and not faithful:
        raise InputError(f"The object crosses no edge of a {resolution}^3 grid; choose a higher resolution.")
    triangles = textured_triangles(parts)
    coords, values = voxelize_textured_triangles(
        triangles, Lattice.cube(resolution), num_threads=config.num_threads, progress=stage(1)
    )
    # Both scans make the same voxels by construction: same triangles, same arithmetic, same order.
    if not torch.equal(grid.coords, coords):
        raise RuntimeError(f"The two scans of one surface made {len(grid.coords)} and {len(coords)} voxels.")
    if faithful:
        whole = faithful_dual_grid(grid, mesh, num_threads=config.num_threads, progress=stage(2))
        if not len(whole.coords):
            raise InputError("The object has no surface: all of its triangles are without area.")
        values = _with_changed(values, grid, whole, mesh, triangles)
        grid = whole
    stored = dequantize_dual_grid(grid.coords, *quantize_dual_grid(grid), resolution)
    return OVoxel(stored, attribute_bytes(values))


def _with_changed(
    values: dict[str, Tensor], grid: DualGrid, whole: DualGrid, mesh: Mesh, triangles: TexturedTriangles
) -> dict[str, Tensor]:
    """Attributes of `grid`'s voxels, and of those that are new or moved in `whole`, in the order of `whole`."""
    whole_keys, known_keys = (coord_keys(torch.nn.functional.pad(g.coords.long(), (1, 0))) for g in (whole, grid))
    row = torch.searchsorted(whole_keys, known_keys)
    is_changed = torch.ones(len(whole_keys), dtype=torch.bool)
    is_changed[row] = (whole.dual_vertices[row] != grid.dual_vertices).any(1)
    if not bool(is_changed.any()):
        return values
    position = (whole.coords.double() + whole.dual_vertices.double())[is_changed] / whole.resolution - 0.5
    corners = mesh.vertices.double()[mesh.faces.long()]
    doubled = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    # A triangle without area makes no voxel, so it colours none either.
    solid = (doubled != 0).any(1).nonzero()[:, 0]
    nearest = TriangleTree(Mesh(mesh.vertices, mesh.faces[solid])).query(position)
    found = attributes_at_points(triangles, solid[nearest.faces], nearest.barycentric, 1 / whole.resolution)
    merged = {}
    for name, known in values.items():
        merged[name] = known.new_empty(len(is_changed), known.shape[1])
        merged[name][row] = known
        merged[name][is_changed] = found[name].to(known)
    return merged


def ovoxel_to_mesh(voxels: OVoxel) -> Mesh:
    """The surface stored in voxels, with vertex colours where they hold `base_color`; unoriented, so double-sided.

    Each vertex takes the colour and alpha of its voxel; metallic and roughness become the object's medians, since a
    material has one of each. Vertices that no face uses are dropped.

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
    return Mesh(mesh.vertices[used], faces.reshape(-1, 3), vertex_colors=colors, material=material)
