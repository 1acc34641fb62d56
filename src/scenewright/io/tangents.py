"""Per-vertex normals and tangents for files that must carry them: a normal map without tangents is not portable.

Tangents are the directions of growing u, summed over the triangles of a vertex by area, made orthogonal to the normal
(Lengyel, "Computing Tangent Space Basis Vectors for an Arbitrary Mesh"); the fourth number is the bitangent's sign in
glTF's sense: bitangent = cross(normal, tangent) * sign, along growing v upwards (texture v counts downwards).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

__all__ = ["vertex_normals", "vertex_tangents"]


def vertex_normals(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "V 3"]:
    """Area-weighted unit vertex normals; zero for vertices without a face of any area."""
    corners = vertices[faces]
    weighted = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return normalize(_summed(weighted, faces, len(vertices)), dim=1)


def vertex_tangents(
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    normals: Float[Tensor, "V 3"],
    uv: Float[Tensor, "V 2"],
) -> Float[Tensor, "V 4"]:
    """Unit tangents with the bitangent's sign; any direction across the normal where the texture gives none."""
    corners, corner_uv = vertices[faces], uv[faces]
    edge_1, edge_2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    du_1, dv_1 = (corner_uv[:, 1] - corner_uv[:, 0]).unbind(1)
    du_2, dv_2 = (corner_uv[:, 2] - corner_uv[:, 0]).unbind(1)
    # The sign of the uv area orients the two directions; its size only weighs them.
    sign = torch.sign(du_1 * dv_2 - du_2 * dv_1)[:, None]
    along_u = _summed(sign * (edge_1 * dv_2[:, None] - edge_2 * dv_1[:, None]), faces, len(vertices))
    along_v = _summed(sign * (edge_2 * du_1[:, None] - edge_1 * du_2[:, None]), faces, len(vertices))
    across = along_u - normals * (along_u * normals).sum(1, keepdim=True)
    smallest = torch.nn.functional.one_hot(normals.abs().argmin(1), 3).to(normals)
    fallback = torch.linalg.cross(normals, smallest)
    tangent = normalize(torch.where(across.norm(dim=1, keepdim=True) > 1e-12, across, fallback), dim=1)
    handed = (torch.linalg.cross(normals, tangent) * -along_v).sum(1, keepdim=True)
    return torch.cat([tangent, torch.where(handed < 0, -1.0, 1.0)], dim=1)


def _summed(per_face: Float[Tensor, "F 3"], faces: Int[Tensor, "F 3"], num_vertices: int) -> Float[Tensor, "V 3"]:
    total = torch.zeros(num_vertices, 3, dtype=per_face.dtype, device=per_face.device)
    for corner in range(3):
        total.index_add_(0, faces[:, corner].long(), per_face)
    return total
