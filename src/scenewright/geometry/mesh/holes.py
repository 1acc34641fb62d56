"""Closing small holes: each short boundary loop gets a new vertex in its middle and a fan of triangles.

Sources: hole filling of TRELLIS.2's export (perimeter below 0.03 in the unit cube) and of TRELLIS' (at most 55 edges).
Frame: any; lengths are in the mesh's own unit.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from scenewright.geometry.mesh.edges import boundary_loops
from scenewright.types import Mesh

__all__ = ["fill_holes"]


def fill_holes(mesh: Mesh, *, max_perimeter: float = 0.03, max_edges: int = 250) -> Mesh:
    """The mesh with every simple boundary loop inside both limits closed; longer openings stay as they are.

    The new vertices come after the old ones and take the mean of the loop's attributes. Boundaries that meet in a
    vertex are left open. `uv` is dropped when anything was closed, as the fans have no place on the texture.
    """
    positions = mesh.vertices.detach().cpu().double().numpy()
    centres: list[np.ndarray] = []
    fans: list[np.ndarray] = []
    loops: list[np.ndarray] = []
    for loop in boundary_loops(mesh.faces):
        start, end = positions[loop], positions[np.roll(loop, -1)]
        if len(loop) > max_edges or np.linalg.norm(end - start, axis=1).sum() >= max_perimeter:
            continue
        if len(loop) == 3:
            fans.append(loop[None])
            continue
        centre = len(positions) + len(centres)
        fans.append(np.stack([loop, np.roll(loop, -1), np.full_like(loop, centre)], 1))
        centres.append(((start + end) / 2).mean(0))
        loops.append(loop)
    if not fans:
        return mesh

    def extend(values: Tensor | None) -> Tensor | None:
        if values is None or not loops:
            return values
        return torch.cat([values, torch.stack([values[torch.from_numpy(loop)].mean(0) for loop in loops])])

    new_vertices = torch.from_numpy(np.array(centres).reshape(-1, 3)).to(mesh.vertices)
    new_faces = torch.from_numpy(np.concatenate(fans)).to(mesh.faces)
    normals = extend(mesh.vertex_normals)
    return replace(
        mesh,
        vertices=torch.cat([mesh.vertices, new_vertices]),
        faces=torch.cat([mesh.faces, new_faces]),
        vertex_normals=None if normals is None else torch.nn.functional.normalize(normals, dim=1),
        vertex_colors=extend(mesh.vertex_colors),
        uv=None,
    )
