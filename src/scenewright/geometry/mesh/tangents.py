"""Tangents of a textured mesh, the same for baked normal maps and for the files that carry them.

They are the directions of growing u, summed over the triangles of a vertex by area and made orthogonal to the normal
(Lengyel, "Computing Tangent Space Basis Vectors for an Arbitrary Mesh"). Legend: V vertices, F faces.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.types import Mesh

__all__ = ["vertex_tangents"]


def vertex_tangents(mesh: Mesh) -> Float[Tensor, "V 4"]:
    """Unit dP/du at every vertex and, fourth, the sign that makes sign * cross(normal, tangent) point up the image.

    Needs `uv` and `vertex_normals`. Where texture coordinates are degenerate any direction across the normal will do.
    """
    if mesh.uv is None or mesh.vertex_normals is None:
        raise ValueError("Expected a mesh with uv and vertex_normals.")
    faces, normals = mesh.faces.long(), mesh.vertex_normals
    edges = mesh.vertices[faces[:, 1:]] - mesh.vertices[faces[:, :1]]
    (du_1, dv_1), (du_2, dv_2) = (mesh.uv[faces[:, 1:]] - mesh.uv[faces[:, :1]]).permute(1, 2, 0)
    # The sign of the area in the texture orients both directions; their lengths weigh by area.
    orientation = torch.sign(du_1 * dv_2 - du_2 * dv_1)
    along_u = _sum_at_vertices(
        (orientation * dv_2)[:, None] * edges[:, 0] - (orientation * dv_1)[:, None] * edges[:, 1], mesh
    )
    along_v = _sum_at_vertices(
        (orientation * du_1)[:, None] * edges[:, 1] - (orientation * du_2)[:, None] * edges[:, 0], mesh
    )
    flat = along_u - (along_u * normals).sum(1, keepdim=True) * normals
    axis = torch.zeros_like(normals).scatter(1, normals.abs().argmin(1, keepdim=True), 1.0)
    is_lost = torch.linalg.vector_norm(flat, dim=1, keepdim=True) <= 1e-12
    tangent = torch.nn.functional.normalize(torch.where(is_lost, torch.linalg.cross(normals, axis), flat), dim=1)
    # v runs down, so up the image is against it.
    points_up = (torch.linalg.cross(normals, tangent) * -along_v).sum(1, keepdim=True) >= 0
    return torch.cat([tangent, torch.where(points_up, 1.0, -1.0)], 1)


def _sum_at_vertices(per_face: Float[Tensor, "F 3"], mesh: Mesh) -> Float[Tensor, "V 3"]:
    total = torch.zeros_like(mesh.vertices)
    for corner in range(3):
        total = total.index_add(0, mesh.faces[:, corner].long(), per_face)
    return total
