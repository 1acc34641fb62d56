"""From a decoder's raw surface to an asset: clean, simplify, unwrap, bake.

    raw mesh -> clean_surface -> reduce_surface -> unwrap -> bake_material -> textured mesh

The cleaned surface before simplification stays the reference: texels are moved to its closest point before attributes
are sampled, so that a coarse mesh still gets the colours of the fine surface.

A mesh is checked once, where it comes in (`clean_surface`); the steps trust it.

Frame: the mesh's own; lengths in options are for objects of about unit size. Work runs on the CPU, the result returns
to the mesh's device.
"""

import logging
from dataclasses import replace

import torch

from scenewright.errors import InputError
from scenewright.geometry.mesh.bake import bake, texel_surface
from scenewright.geometry.mesh.closing import close_surface, is_watertight
from scenewright.geometry.mesh.components import remove_floaters
from scenewright.geometry.mesh.edges import is_closed
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.geometry.mesh.holes import fill_holes
from scenewright.geometry.mesh.invisible_faces import remove_invisible_faces
from scenewright.geometry.mesh.manifold import orient_faces, part_touching, split_non_manifold
from scenewright.geometry.mesh.material_bake import material_from_bake
from scenewright.geometry.mesh.normal_map import bake_normal_map, smooth_vertex_normals
from scenewright.geometry.mesh.parts import check_mesh, remove_degenerate_faces, remove_duplicate_faces, weld_vertices
from scenewright.geometry.mesh.remesh import remesh_narrow_band
from scenewright.geometry.mesh.simplify import simplify
from scenewright.geometry.mesh.smoothing import smooth
from scenewright.geometry.mesh.surface_color import AttributeField
from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.geometry.mesh.uv import unwrap
from scenewright.progress import SILENT, Advance, Progress, ignore
from scenewright.types import Mesh

__all__ = ["bake_material", "clean_surface", "finish_mesh", "reduce_surface"]

logger = logging.getLogger(__name__)

_DEFAULT = FinishOptions()
# Simplification moves a surface by less than this share of its size; facing faces farther away are another part.
_FACING_REACH = 0.02


def finish_mesh(
    mesh: Mesh,
    attributes: AttributeField | None,
    options: FinishOptions = _DEFAULT,
    progress: Progress = SILENT,
) -> Mesh:
    """A cleaned, simplified mesh with vertex normals, and with texture and material where `attributes` are given.

    Args:
        attributes: what to bake; None leaves out unwrapping and textures (a normal map alone needs attributes too).

    Raises:
        InputError: the mesh has no surface (also none left after cleaning), a NaN vertex or a bad index.
    """
    device = mesh.vertices.device
    progress.stage("clean")
    fine = clean_surface(_on_cpu(mesh), options)
    progress.stage("simplify")
    coarse = reduce_surface(fine, options)
    coarse = replace(coarse, vertex_normals=smooth_vertex_normals(coarse))
    if attributes is not None:
        progress.stage("unwrap")
        coarse = unwrap(
            coarse, texture_size=options.texture_size, padding=options.uv_padding, method=options.unwrap_method
        )
        coarse = bake_material(coarse, fine, attributes, options, progress.stage("bake"))
    return _on_device(coarse, device)


def clean_surface(mesh: Mesh, options: FinishOptions) -> Mesh:
    """Welded, without degenerate, duplicate, invisible or floating faces, small holes closed.

    Raises:
        InputError: nothing is left, or the mesh is damaged.
    """
    check_mesh(mesh)
    clean = remove_duplicate_faces(remove_degenerate_faces(weld_vertices(replace(mesh, uv=None, vertex_normals=None))))
    if options.remove_invisible:
        clean = remove_invisible_faces(clean, num_views=options.num_views, size=options.view_size)
    if options.min_floater_area > 0:
        clean = remove_floaters(clean, min_area_fraction=options.min_floater_area)
    if len(clean.faces) == 0:
        raise InputError(
            f"Expected a mesh with a surface, got {len(mesh.faces)} faces of which none has an area; "
            "check the decoder's output or the file."
        )
    if options.orient:
        clean = orient_faces(split_non_manifold(clean))
    return fill_holes(clean, max_perimeter=options.max_hole_perimeter)


def reduce_surface(mesh: Mesh, options: FinishOptions) -> Mesh:
    """Rebuilt and smoothed if asked for, within the face budget.

    Holes that simplification tore are closed again, and sheets that it made touch are parted. A surface that was closed
    before stays closed where small mends do that (`close_surface`).
    """
    if options.remesh_resolution is not None:
        mesh = remesh_narrow_band(mesh, resolution=options.remesh_resolution, project_back=options.remesh_project)
    reduced = simplify(smooth(mesh, steps=options.smooth_steps), options.max_faces)
    reduced = part_touching(fill_holes(split_non_manifold(reduced), max_perimeter=options.max_hole_perimeter))
    if reduced.vertex_colors is None and not is_watertight(reduced) and is_closed(mesh):
        reduced = close_surface(reduced) or reduced
    if len(reduced.faces) > options.max_faces:
        logger.warning("The mesh keeps %d faces: its topology allows no fewer.", len(reduced.faces))
    return reduced


def bake_material(
    mesh: Mesh, fine: Mesh, attributes: AttributeField, options: FinishOptions, progress: Advance = ignore
) -> Mesh:
    """`mesh` (with `uv` and normals) with a material baked from `attributes` at the closest points of `fine`.

    Closest are points of faces that look the same way, so that no colour comes through a thin board.

    Vertex colours are dropped: their colour is in the texture now.
    """
    tree = TriangleTree(fine)
    reach = _FACING_REACH * float((fine.vertices.amax(0) - fine.vertices.amin(0)).max())
    baked = bake(
        mesh,
        attributes.at,
        options.texture_size,
        project=lambda points, normals: tree.query(points, facing=normals, reach=reach).points,
        progress=progress,
    )
    normals = None
    if options.normal_map:
        normals = bake_normal_map(mesh, texel_surface(mesh, options.texture_size), fine, tree)
    double_sided = options.remesh_resolution is None if options.double_sided is None else options.double_sided
    material = material_from_bake(
        attributes.channels, baked, normal_map=normals, alpha_mode=options.alpha_mode, double_sided=double_sided
    )
    return replace(mesh, vertex_colors=None, material=material)


def _on_cpu(mesh: Mesh) -> Mesh:
    return _on_device(mesh, torch.device("cpu"))


def _on_device(mesh: Mesh, device: torch.device) -> Mesh:
    def move(values: torch.Tensor | None) -> torch.Tensor | None:
        return None if values is None else values.detach().to(device)

    return replace(
        mesh,
        vertices=mesh.vertices.detach().to(device),
        faces=mesh.faces.to(device),
        vertex_normals=move(mesh.vertex_normals),
        vertex_colors=move(mesh.vertex_colors),
        uv=move(mesh.uv),
    )
