"""Checking a mesh, selecting its faces, and removing what carries no surface. Attributes of vertices travel along.

Legend: V vertices, F faces. Frame: any. Devices follow the mesh.
"""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.mesh.area_vectors import area_vectors
from scenewright.types import Mesh

__all__ = [
    "check_mesh",
    "face_areas",
    "face_normals",
    "remove_degenerate_faces",
    "remove_duplicate_faces",
    "select_faces",
    "select_vertices",
    "vertex_normals",
    "weld_vertices",
]


def check_mesh(mesh: Mesh) -> None:
    """Refuses meshes that no later step can make sense of; an empty mesh is fine.

    Raises:
        InputError: a vertex is NaN or infinite, or a face names a vertex that does not exist.
    """
    finite = torch.isfinite(mesh.vertices).all(1)
    if not finite.all():
        raise InputError(
            f"Expected finite vertices, got {int((~finite).sum())} of {len(finite)} with NaN or infinity "
            f"(first: vertex {int((~finite).nonzero()[0])}); remove them or export the mesh again."
        )
    if len(mesh.faces) and (int(mesh.faces.min()) < 0 or int(mesh.faces.max()) >= len(mesh.vertices)):
        raise InputError(
            f"Expected faces that name vertices 0..{len(mesh.vertices) - 1}, got "
            f"{int(mesh.faces.min())}..{int(mesh.faces.max())}; the mesh is damaged, export it again."
        )


def select_vertices(mesh: Mesh, rows: Int[Tensor, " V2"], faces: Int[Tensor, "F2 3"]) -> Mesh:
    """The mesh whose vertex i is vertex `rows[i]` of `mesh`, with `faces` naming the new vertices."""

    def pick(values: Tensor | None) -> Tensor | None:
        return None if values is None else values[rows]

    return replace(
        mesh,
        vertices=mesh.vertices[rows],
        faces=faces,
        vertex_normals=pick(mesh.vertex_normals),
        vertex_colors=pick(mesh.vertex_colors),
        uv=pick(mesh.uv),
    )


def select_faces(mesh: Mesh, keep: Bool[Tensor, " F"]) -> Mesh:
    """The chosen faces, in order, and only the vertices they use."""
    used, faces = torch.unique(mesh.faces[keep], return_inverse=True)
    return select_vertices(mesh, used.long(), faces.reshape(-1, 3))


def face_normals(mesh: Mesh) -> Float[Tensor, "F 3"]:
    """Unit normals by the right-hand rule; zero for faces without area."""
    return torch.nn.functional.normalize(area_vectors(mesh.vertices[mesh.faces.long()]), dim=1, eps=1e-30)


def face_areas(mesh: Mesh) -> Float[Tensor, " F"]:
    return torch.linalg.vector_norm(area_vectors(mesh.vertices[mesh.faces.long()]), dim=1) / 2


def vertex_normals(mesh: Mesh) -> Float[Tensor, "V 3"]:
    """Unit area-weighted means of the adjacent faces' normals; +z where there is no area."""
    total = torch.zeros_like(mesh.vertices)
    normals = area_vectors(mesh.vertices[mesh.faces.long()])
    for corner in range(3):
        total = total.index_add(0, mesh.faces[:, corner].long(), normals)
    length = torch.linalg.vector_norm(total, dim=1, keepdim=True)
    return torch.where(length > 1e-30, total / length.clamp(min=1e-30), total.new_tensor([0.0, 0.0, 1.0]))


def remove_degenerate_faces(mesh: Mesh, *, relative_area: float = 1e-6) -> Mesh:
    """Drops faces that repeat a vertex or whose area is below `relative_area` of their longest side squared."""
    a, b, c = mesh.faces.long().unbind(1)
    sides = torch.stack([mesh.vertices[b] - mesh.vertices[a], mesh.vertices[c] - mesh.vertices[b]], 1)
    sides = torch.cat([sides, (mesh.vertices[a] - mesh.vertices[c])[:, None]], 1)
    longest2 = sides.square().sum(2).amax(1) if len(mesh.faces) else mesh.vertices.new_zeros(0)
    keep = (a != b) & (b != c) & (c != a) & (face_areas(mesh) > relative_area * longest2)
    return mesh if keep.all() else select_faces(mesh, keep)


def remove_duplicate_faces(mesh: Mesh) -> Mesh:
    """Keeps the first of the faces that have the same three vertices, whatever their winding."""
    if len(mesh.faces) == 0:
        return mesh
    _, inverse = torch.unique(mesh.faces.sort(1).values, dim=0, return_inverse=True)
    first = torch.full((int(inverse.max()) + 1,), len(inverse), device=inverse.device)
    row = torch.arange(len(inverse), device=inverse.device)
    first = first.scatter_reduce(0, inverse, row, "amin")
    keep = first[inverse] == row
    return mesh if keep.all() else select_faces(mesh, keep)


def weld_vertices(mesh: Mesh) -> Mesh:
    """Joins vertices at the same position; the first one's attributes win.

    Seams of textures are welded as well, so do this before unwrapping, not after.
    """
    _, inverse = torch.unique(mesh.vertices, dim=0, return_inverse=True)
    if len(inverse) == 0:
        return mesh
    row = torch.arange(len(inverse), device=inverse.device)
    first = torch.full((int(inverse.max()) + 1,), len(inverse), device=inverse.device)
    first = first.scatter_reduce(0, inverse, row, "amin")
    used, faces = torch.unique(first[inverse][mesh.faces.long()], return_inverse=True)
    return select_vertices(mesh, used, faces.reshape(-1, 3))
