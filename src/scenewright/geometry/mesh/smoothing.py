"""Removing the staircase of voxels without shrinking: Taubin's two-step Laplacian smoothing.

Source: "A Signal Processing Approach to Fair Surface Design" (Taubin, 1995). Frame: any; differentiable in positions.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.geometry.mesh.edges import edge_table
from scenewright.types import Mesh

__all__ = ["smooth"]

# Pass-band frequency 0.1: 1 / shrink + 1 / inflate = 0.1.
_SHRINK = 0.5
_INFLATE = 1 / (0.1 - 1 / _SHRINK)


def smooth(mesh: Mesh, *, steps: int = 5) -> Mesh:
    """Positions after `steps` pairs of a smoothing and an inflating step; vertices of open boundaries stay put.

    Vertex normals are dropped, as they no longer fit.
    """
    if steps <= 0 or len(mesh.faces) == 0:
        return mesh
    table = edge_table(mesh.faces)
    device = mesh.vertices.device
    edges = torch.from_numpy(table.edges).to(device)
    is_free = torch.ones(len(mesh.vertices), 1, device=device)
    is_free[edges[torch.from_numpy(table.count == 1).to(device)].flatten()] = 0
    degree = torch.bincount(edges.flatten(), minlength=len(mesh.vertices)).clamp(min=1)[:, None]

    def towards_neighbours(vertices: Float[Tensor, "V 3"]) -> Float[Tensor, "V 3"]:
        total = torch.zeros_like(vertices).index_add(0, edges[:, 0], vertices[edges[:, 1]])
        total = total.index_add(0, edges[:, 1], vertices[edges[:, 0]])
        return torch.where(total.any(1, keepdim=True), total / degree - vertices, 0.0)

    vertices = mesh.vertices
    for _ in range(steps):
        for factor in (_SHRINK, _INFLATE):
            vertices = vertices + factor * is_free * towards_neighbours(vertices)
    return replace(mesh, vertices=vertices, vertex_normals=None)
