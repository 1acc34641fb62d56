"""A whole object as O-Voxel and back: the dual grid of its surface and its PBR attributes in one set of voxels.

Stored: `vertices` and `intersected` (see dual_grid_quantize), `base_color`, `metallic`, `roughness`, `alpha`.

Legend: N voxels. Frame: the object fitted to [-0.5, 0.5]^3 (see `fit_unit_cube`), z up; the object's own size and place
are not part of O-Voxel. Source: sheet sections 2.4, 3.1 and 14.6.
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
from scenewright.types import DualGrid, Mesh, PBRMaterial, SparseVoxels

__all__ = ["object_to_voxels", "voxels_to_mesh"]

# Below this (of 255) a voxel counts as see-through; sampling leaves opaque surfaces at 254 or 255.
_OPAQUE_BYTE = 250


def object_to_voxels(
    parts: Sequence[Mesh],
    resolution: int,
    config: DualGridConfig | None = None,
    progress: Callable[[float], None] | None = None,
    *,
    faithful: bool = False,
) -> SparseVoxels:
    """Surface and materials of an object, fitted to the cube, as uint8 voxels in ascending (x, y, z) order.

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
    starts = torch.tensor([0, *(len(piece) for piece in pieces[:-1])]).cumsum(0).tolist()
    faces = torch.cat([part.faces.long() + start for part, start in zip(parts, starts, strict=True)])

    mesh, num_stages = Mesh(fitted, faces), 3 if faithful else 2

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
    assert torch.equal(grid.coords, coords), "dual grid and attributes disagree on voxels"
    if faithful:
        whole = faithful_dual_grid(grid, mesh, num_threads=config.num_threads, progress=stage(2))
        if not len(whole.coords):
            raise InputError("The object has no surface: all of its triangles are without area.")
        values = _with_changed(values, grid, whole, mesh, triangles)
        grid = whole
    return SparseVoxels(grid.coords, resolution, {**quantize_dual_grid(grid).attributes, **attribute_bytes(values)})


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


def voxels_to_mesh(voxels: SparseVoxels) -> Mesh:
    """The surface stored in voxels, with vertex colours where they hold `base_color`; unoriented, so double-sided.

    Each vertex takes the colour and alpha of its voxel; metallic and roughness become the object's medians, since a
    material has one of each. Vertices that no face uses are dropped.

    Raises:
        InputError: the voxels hold no dual grid, or attributes that are not uint8 of the expected width.
    """
    grid = dequantize_dual_grid(voxels)
    mesh = dual_grid_to_mesh(grid)
    used, faces = torch.unique(mesh.faces.long(), return_inverse=True)
    if not len(used):
        raise InputError("The voxels hold no surface: no grid edge has all of its four voxels.")
    values = {}
    for name, width in (("base_color", 3), ("metallic", 1), ("roughness", 1), ("alpha", 1)):
        value = voxels.attributes.get(name)
        if value is None:
            continue
        if value.dtype != torch.uint8 or value.reshape(len(value), -1).shape[1] != width:
            raise InputError(f"Expected uint8 '{name}' of width {width}, got {value.dtype} {tuple(value.shape)}.")
        values[name] = value.reshape(len(value), width)[used]
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
