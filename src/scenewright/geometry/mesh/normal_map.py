"""Tangent-space normal maps: the shading of a detailed surface on a simplified mesh.

Tangents are those that files carry (see `tangents`). Green points up in the image (glTF), where v runs down.

Legend: M texels, V vertices, F faces. Frame: that of the meshes; stored normals are tangent, bitangent, normal.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.geometry.mesh.bake import BakedTexture, TexelSurface, fill_gutters
from scenewright.geometry.mesh.parts import vertex_normals, weld_vertices
from scenewright.geometry.mesh.tangents import vertex_tangents
from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.types import Mesh

__all__ = ["bake_normal_map", "smooth_vertex_normals"]


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
