"""From the surface of a whole scene to textured pieces: cleaned and simplified as one, then cut, unwrapped and baked.

Cleaning, simplification and normals are those of the whole, so pieces meet without cracks or changes of shade. Every
piece has its own texture, baked from the voxels round it.

Frame: the joint frame (chunk side = 1) until a piece is placed; lengths in finishing options are in chunk sides.
Legend: F faces, N fine voxels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.backbones.trellis2.texture_vae import material_attributes
from scenewright.errors import EmptyStructureError, InputError
from scenewright.geometry.mesh.finish import bake_material, clean_surface, finish_mesh, reduce_surface
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.geometry.mesh.holes import fill_holes
from scenewright.geometry.mesh.normal_map import smooth_vertex_normals
from scenewright.geometry.mesh.parts import select_faces, weld_vertices
from scenewright.geometry.mesh.remesh import remesh_narrow_band
from scenewright.geometry.mesh.surface_color import AttributeField, Placed, VoxelField
from scenewright.geometry.mesh.uv import unwrap
from scenewright.geometry.rotation import compose_similarity
from scenewright.progress import Advance, ignore
from scenewright.systems.genrecon.assembly import faces_of, halving_friendly
from scenewright.systems.genrecon.lattice import ChunkLattice
from scenewright.types import Mesh, SparseVoxels

__all__ = [
    "PUBLISHED_FINISH",
    "SCENE_FINISH",
    "SceneMaterials",
    "SceneVoxels",
    "WholeSurface",
    "baked_piece",
    "faces_by_label",
    "published_piece",
    "published_shell",
    "whole_surface",
]

SCENE_FINISH = FinishOptions(
    max_faces=200_000, texture_size=2048, max_hole_perimeter=0.03, orient=True, double_sided=True, alpha_mode="OPAQUE"
)
"""Per chunk: a budget of faces and a texture each (the published budget is 2,000,000 faces and 4096 texels)."""
PUBLISHED_FINISH = FinishOptions(
    max_faces=2_000_000,
    texture_size=4096,
    max_hole_perimeter=0.03,
    min_floater_area=1e-5,
    orient=True,
    double_sided=True,
    alpha_mode="OPAQUE",
)
"""Per chunk, of the published assembly; its holes are measured in metres."""
_PUBLISHED_HOLE_M, _PUBLISHED_PROJECTION = 1.0, 0.9
# How far round a piece its voxels and its fine surface are looked for, in chunk sides.
_MARGIN = 8 / 512


@runtime_checkable
class SceneMaterials(Protocol):
    """Materials everywhere on the surface of a scene."""

    def near(self, low: Float[Tensor, " 3"], high: Float[Tensor, " 3"]) -> AttributeField | None:
        """The field in a box of the joint frame, or None where there is none."""
        ...


@dataclass(frozen=True)
class SceneVoxels:
    """Material voxels of a scene, six channels each, on a grid of `voxels_per_side` along a chunk side."""

    coords: Int[Tensor, "N 3"]
    materials: Float[Tensor, "N 6"]
    low: Float[Tensor, " 3"]
    voxels_per_side: int

    @classmethod
    def on_lattice(
        cls, coords: Int[Tensor, "N 3"], materials: Float[Tensor, "N 6"], lattice: ChunkLattice, voxels_per_side: int
    ) -> "SceneVoxels":
        return cls(coords, materials, lattice.low.float() - 0.5, voxels_per_side)

    def near(self, low: Float[Tensor, " 3"], high: Float[Tensor, " 3"]) -> Placed | None:
        """The field of the voxels in a box of the joint frame, or None where there is none."""
        first = ((low - _MARGIN - self.low) * self.voxels_per_side).floor().int()
        last = ((high + _MARGIN - self.low) * self.voxels_per_side).ceil().int()
        inside = ((self.coords >= first) & (self.coords < last)).all(1)
        if not bool(inside.any()):
            return None
        side = int((last - first).max())
        voxels = SparseVoxels(self.coords[inside] - first, side, material_attributes(self.materials[inside]))
        scale = torch.tensor(self.voxels_per_side / side)
        corner = self.low + first / self.voxels_per_side
        cube_from_joint = compose_similarity(torch.eye(3), -scale * corner - 0.5, scale)
        return Placed(VoxelField(voxels), cube_from_joint)


@dataclass(frozen=True)
class WholeSurface:
    """The cleaned surface of the scene, and the same within the face budget with vertex normals."""

    fine: Mesh
    coarse: Mesh


def whole_surface(mesh: Mesh, finish: FinishOptions, num_chunks: int) -> WholeSurface:
    """The surface of a scene cleaned, its small holes closed, and simplified to `num_chunks` budgets of faces.

    Raises:
        EmptyStructureError: there is no face.
    """
    if len(mesh.faces) == 0:
        raise EmptyStructureError("The decoder found no surface anywhere in the scene; try another seed.")
    options = replace(finish, max_faces=finish.max_faces * num_chunks)
    try:
        fine = clean_surface(mesh, options)
    except InputError as error:
        raise EmptyStructureError(f"Nothing of the scene's surface is left after cleaning ({error}).") from error
    coarse = reduce_surface(fine, options)
    return WholeSurface(fine, replace(coarse, vertex_normals=smooth_vertex_normals(coarse)))


def baked_piece(
    surface: WholeSurface,
    chosen: Int[Tensor, " F"],
    materials: SceneMaterials,
    finish: FinishOptions,
    *,
    max_hole_perimeter: float = 0.0,
    progress: Advance = ignore,
) -> Mesh:
    """Some faces of the coarse surface with a texture of their own, in the joint frame.

    Args:
        chosen: indices of faces of the coarse surface, at least one.
        max_hole_perimeter: openings up to this one are closed, where the piece was cut off.
    """
    keep = torch.zeros(len(surface.coarse.faces), dtype=torch.bool)
    keep[chosen] = True
    piece = select_faces(surface.coarse, keep)
    if max_hole_perimeter > 0:
        piece = fill_holes(piece, max_perimeter=max_hole_perimeter)
    low, high = piece.vertices.amin(0), piece.vertices.amax(0)
    field = materials.near(low, high)
    if field is None:
        return piece
    corners = surface.fine.vertices[surface.fine.faces.long()]
    around = ((corners.amax(1) >= low - _MARGIN) & (corners.amin(1) <= high + _MARGIN)).all(1)
    fine = select_faces(surface.fine, around)
    unwrapped = unwrap(piece, texture_size=finish.texture_size, padding=finish.uv_padding, method=finish.unwrap_method)
    return bake_material(unwrapped, fine if len(fine.faces) else piece, field, finish, progress)


def published_shell(surface: Mesh, lattice: ChunkLattice, chunk_size_m: float) -> Mesh:
    """The surface with holes of up to a metre closed, rebuilt as the published assembly does: a thin closed shell.

    Every sheet becomes two that nearly touch, because the distance that is contoured has no sign.

    Args:
        lattice: of the fine voxels of the scene, whose box is widened to numbers that can be halved.
    """
    closed = fill_holes(weld_vertices(surface), max_perimeter=0.03)
    closed = fill_holes(closed, max_perimeter=_PUBLISHED_HOLE_M / chunk_size_m)
    counts = torch.tensor([halving_friendly(count) for count in lattice.size])
    resolution, side = int(counts.max()), 1 / lattice.resolution
    x, y, z = (lattice.low.float() - 0.5 + counts * side / 2).tolist()
    scale = (resolution + 3) * side
    return remesh_narrow_band(
        closed, resolution=resolution, project_back=_PUBLISHED_PROJECTION, center=(x, y, z), scale=scale
    )


def published_piece(
    shell: Mesh, chosen: Int[Tensor, " F"], voxels: SceneVoxels, finish: FinishOptions, chunk_size_m: float
) -> Mesh:
    """The faces of one chunk, cleaned, simplified, unwrapped and baked on their own; borders of chunks may crack."""
    keep = torch.zeros(len(shell.faces), dtype=torch.bool)
    keep[chosen] = True
    piece = faces_of(shell, keep)
    field = voxels.near(piece.vertices.amin(0), piece.vertices.amax(0))
    return finish_mesh(piece, field, replace(finish, max_hole_perimeter=finish.max_hole_perimeter / chunk_size_m))


def faces_by_label(labels: Int[Tensor, " F"]) -> Sequence[tuple[int, Int[Tensor, " _"]]]:
    """Every label that occurs with the indices of its faces, ascending."""
    return [(int(label), (labels == label).nonzero()[:, 0]) for label in labels.unique()]
