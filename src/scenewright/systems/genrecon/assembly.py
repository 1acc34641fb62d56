"""Cutting a scene's mesh into pieces for texturing, and the published smoothing that keeps edges.

Source: GenRecon, `inference/chunked_glb.py`, `reconstruct_scene.py`.

Legend: V vertices, F faces, K chunks.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenewright.geometry.mesh.area_vectors import area_vectors
from scenewright.geometry.mesh.edges import edge_table
from scenewright.types import Mesh

__all__ = ["assign_faces", "faces_of", "halving_friendly", "locked_vertices", "smoothed_keeping_edges"]

_SMALLEST_GRID = 32
_FACES_AT_A_TIME = 250_000


def assign_faces(mesh: Mesh, centres: Float[Tensor, "K 3"]) -> Int[Tensor, " F"]:
    """The chunk whose centre is nearest to each face's centroid; the first of equally near ones."""
    nearest = []
    for faces in mesh.faces.long().split(_FACES_AT_A_TIME):
        centroid = mesh.vertices[faces].mean(1)
        nearest.append(torch.cdist(centroid, centres.to(centroid)).argmin(1))
    return torch.cat(nearest) if nearest else torch.zeros(0, dtype=torch.long)


def faces_of(mesh: Mesh, chosen: Bool[Tensor, " F"]) -> Mesh:
    """The chosen faces with only the vertices they use, in their old order (positions only)."""
    used, faces = mesh.faces[chosen].long().unique(return_inverse=True)
    return Mesh(mesh.vertices[used], faces.view(-1, 3).int())


def halving_friendly(count: int) -> int:
    """The smallest number from `count` up that can be halved, while above 32, without ever becoming odd."""
    step = 1
    while -(-count // step) > _SMALLEST_GRID:
        step *= 2
    return -(-count // step) * step


def locked_vertices(mesh: Mesh, feature_angle_deg: float) -> Bool[Tensor, " V"]:
    """Vertices on a boundary, on an edge of more than two faces, or on an edge bent by more than that angle."""
    table = edge_table(mesh.faces)
    pairs, edge_of_pair = table.face_pairs()
    corners = mesh.vertices.double()[mesh.faces.long()]
    normals = torch.nn.functional.normalize(area_vectors(corners), dim=1).numpy()
    cosine = (normals[pairs[:, 0]] * normals[pairs[:, 1]]).sum(1).clip(-1, 1)
    is_locked = table.count != 2
    is_locked[edge_of_pair[np.degrees(np.arccos(cosine)) > feature_angle_deg]] = True
    locked = torch.zeros(len(mesh.vertices), dtype=torch.bool)
    locked[torch.from_numpy(table.edges[is_locked]).flatten()] = True
    return locked


def smoothed_keeping_edges(
    mesh: Mesh, *, steps: int, shrink: float = 0.5, inflate: float = -0.53, feature_angle_deg: float = 25.0
) -> Mesh:
    """Taubin's two-step smoothing by the uniform Laplacian; `locked_vertices` stay (Taubin 1995).

    A vertex without a face has no neighbours and moves towards the origin, as published; drop such vertices first.
    """
    table = edge_table(mesh.faces)
    edges = torch.from_numpy(table.edges)
    count = len(mesh.vertices)
    degree = torch.bincount(edges.flatten(), minlength=count)[:, None]
    is_free = (~locked_vertices(mesh, feature_angle_deg))[:, None].to(mesh.vertices.dtype)
    vertices = mesh.vertices
    for _ in range(steps):
        for factor in (shrink, inflate):
            total = torch.zeros_like(vertices).index_add(0, edges[:, 0], vertices[edges[:, 1]])
            total = total.index_add(0, edges[:, 1], vertices[edges[:, 0]])
            vertices = vertices + factor * is_free * (total / degree.clamp(min=1) - vertices)
    return Mesh(vertices, mesh.faces)
