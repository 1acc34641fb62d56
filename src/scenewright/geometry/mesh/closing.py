"""Making a surface watertight by small mends: every edge ends up with two faces, and all else stays where it was.

Edges with more than two faces lose those faces, boundary loops are closed by fans, and what still is not closed loses
the faces round it, until every edge has two. The mended surface is taken only where it stays close to the old one, so
that a bag keeps its mouth. Boards thinner than any grid stay, as nothing is remeshed.

Frame: any. Legend: V vertices, F faces.
"""

import numpy as np
import torch

from scenewright.geometry.mesh.edges import edge_table, is_closed
from scenewright.geometry.mesh.holes import fill_holes
from scenewright.geometry.mesh.parts import remove_degenerate_faces, remove_duplicate_faces, select_faces
from scenewright.geometry.mesh.triangle_tree import closest_points
from scenewright.types import Mesh

__all__ = ["close_surface", "is_watertight"]

# Shares of the mesh's longest side: vertices nearer than that are one (as metrics.mesh_quality counts them), the
# longest loop that is closed, and how far the surface may move (a hull so near to its mesh is its collider, too).
_SAME = 1e-6
_MAX_PERIMETER = 0.5
_MAX_MOVE = 0.02
_ROUNDS = 12


def is_watertight(mesh: Mesh) -> bool:
    """Whether every edge has two faces once vertices of one place are one, as `close_surface` sees the mesh."""
    return len(mesh.faces) > 0 and is_closed(_joined(mesh))


def close_surface(mesh: Mesh) -> Mesh | None:
    """The surface with every edge shared by two faces, without attributes; None where small mends do not do.

    Neither a vertex of the old surface nor one of the new is farther than 2 % of the longest side from the other.
    """
    if len(mesh.faces) == 0:
        return None
    side = _side(mesh)
    whole = closed = _joined(mesh)
    for number in range(_ROUNDS):
        closed = fill_holes(closed, max_perimeter=_MAX_PERIMETER * side)
        if len(closed.faces) == 0:
            return None
        if is_closed(closed):
            there, back = closest_points(closed, whole.vertices), closest_points(whole, closed.vertices)
            move = max(float(there.distance.max()), float(back.distance.max()))
            return closed if move <= _MAX_MOVE * side else None
        table = edge_table(closed.faces)
        cut = (table.count[table.edge_of_side] > 2).any(1)
        if number % 2 or not cut.any():
            is_bad = np.zeros(len(closed.vertices), dtype=bool)
            is_bad[table.edges[table.count != 2]] = True
            cut = is_bad[closed.faces.cpu().numpy()].any(1)
        closed = select_faces(closed, torch.from_numpy(~cut).to(closed.faces.device))
    return None


def _side(mesh: Mesh) -> float:
    return float((mesh.vertices.amax(0) - mesh.vertices.amin(0)).max())


def _joined(mesh: Mesh) -> Mesh:
    """Positions alone, those of one place joined (the first one's stays), without faces that have no area then."""
    keys = torch.round((mesh.vertices.double() - mesh.vertices.amin(0)) / max(_SAME * _side(mesh), 1e-30))
    _, inverse = torch.unique(keys, dim=0, return_inverse=True)
    row = torch.arange(len(inverse), device=inverse.device)
    first = torch.full_like(inverse, len(inverse)).scatter_reduce(0, inverse, row, "amin")
    used, faces = torch.unique(first[inverse[mesh.faces.long()]], return_inverse=True)
    welded = Mesh(mesh.vertices[used], faces.reshape(-1, 3))
    return remove_duplicate_faces(remove_degenerate_faces(welded, relative_area=0.0))
