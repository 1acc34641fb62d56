"""Tangent-space normal maps: the shading of a detailed surface on a simplified mesh.

Tangents follow from positions and texture coordinates (Lengyel's method: dP/du summed over a vertex's faces by area and
made orthogonal to the normal); files must carry the same ones. Green points up in the image (glTF), where v runs down.

Legend: M texels, V vertices, F faces. Frame: that of the meshes; stored normals are tangent, bitangent, normal.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.geometry.mesh.bake import BakedTexture, TexelSurface, fill_gutters
from scenewright.geometry.mesh.parts import vertex_normals, weld_vertices
from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.types import Mesh

__all__ = ["bake_normal_map", "smooth_vertex_normals", "vertex_tangents"]


def bake_normal_map(mesh: Mesh, surface: TexelSurface, detailed: Mesh, detailed_tree: TriangleTree) -> BakedTexture:
    """Unit normals of `detailed` at its closest points, in the tangent frame of `mesh`, in [-1, 1].

    Args:
        mesh: needs `uv` and `vertex_normals` (as it will be shaded with).
        surface: the mesh's texels.
        detailed: the high-resolution surface; its winding decides the side, flipped where it faces away from `mesh`.
        detailed_tree: its search tree.
    """
    if mesh.vertex_normals is None:
        raise ValueError("Expected the mesh to carry the vertex normals it is shaded with.")
    points = surface.interpolate(mesh, mesh.vertices.float())
    hits = detailed_tree.query(points)
    normals = smooth_vertex_normals(detailed) if detailed.vertex_normals is None else detailed.vertex_normals
    target = (normals[detailed.faces[hits.faces].long()] * hits.barycentric[..., None]).sum(1)
    normal = torch.nn.functional.normalize(surface.interpolate(mesh, mesh.vertex_normals), dim=1)
    target = torch.nn.functional.normalize(target, dim=1)
    target = torch.where((target * normal).sum(1, keepdim=True) < 0, -target, target)

    tangents = vertex_tangents(mesh)
    tangent = surface.interpolate(mesh, tangents[:, :3])
    tangent = torch.nn.functional.normalize(tangent - (tangent * normal).sum(1, keepdim=True) * normal, dim=1)
    handedness = tangents[mesh.faces[surface.faces, 0].long(), 3:]
    bitangent = handedness * torch.linalg.cross(normal, tangent)
    local = torch.stack([(target * axis).sum(1) for axis in (tangent, bitangent, normal)], 1)
    baked = fill_gutters(surface, local)
    return BakedTexture(torch.nn.functional.normalize(baked.values, dim=2), baked.coverage)


def smooth_vertex_normals(mesh: Mesh) -> Float[Tensor, "V 3"]:
    """Area-weighted vertex normals that ignore seams: vertices at the same position share one normal."""
    welded = weld_vertices(Mesh(mesh.vertices, mesh.faces))
    normals = vertex_normals(welded)
    result = vertex_normals(mesh)
    result[mesh.faces.long().flatten()] = normals[welded.faces.long().flatten()]
    return result


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
