"""Edges of a triangle mesh: who shares them, where the surface ends, and which faces hang together.

Legend: E distinct undirected edges, F faces, V vertices. Vertices count as equal only by index: weld first where
positions are duplicated. Everything runs on the CPU.
"""

from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Int
from torch import Tensor

from scenewright.types import Mesh

__all__ = ["EdgeTable", "boundary_loops", "edge_table", "face_components", "is_closed"]


@dataclass(frozen=True)
class EdgeTable:
    """`edges[e]` = ascending vertex pair; `edge_of_side[f, k]` = edge from corner k to k + 1; `count` = its faces."""

    edges: Int[np.ndarray, "E 2"]
    edge_of_side: Int[np.ndarray, "F 3"]
    count: Int[np.ndarray, " E"]

    def face_pairs(self) -> tuple[Int[np.ndarray, "P 2"], Int[np.ndarray, " P"]]:
        """Pairs of faces that share an edge, and that edge; an edge with n faces chains them in n - 1 pairs."""
        order = np.argsort(self.edge_of_side, axis=None, kind="stable")
        edge = self.edge_of_side.reshape(-1)[order]
        same = edge[1:] == edge[:-1]
        face = order // 3
        return np.stack([face[:-1][same], face[1:][same]], 1), edge[1:][same]


def edge_table(faces: Int[Tensor, "F 3"]) -> EdgeTable:
    corners = faces.cpu().numpy().astype(np.int64)
    start, end = corners, np.roll(corners, -1, axis=1)
    low, high = np.minimum(start, end), np.maximum(start, end)
    size = int(corners.max()) + 1 if len(corners) else 1
    key, inverse, count = np.unique(low * size + high, return_inverse=True, return_counts=True)
    return EdgeTable(np.stack([key // size, key % size], 1), inverse.reshape(-1, 3), count)


def is_closed(mesh: Mesh) -> bool:
    """Whether there are faces and every edge has two of them."""
    return len(mesh.faces) > 0 and bool((edge_table(mesh.faces).count == 2).all())


def face_components(faces: Int[Tensor, "F 3"]) -> tuple[int, Int[np.ndarray, " F"]]:
    """Number of edge-connected pieces, and the piece of every face, numbered by first appearance."""
    if len(faces) == 0:
        return 0, np.zeros(0, dtype=np.int64)
    pairs, _ = edge_table(faces).face_pairs()
    graph = scipy.sparse.coo_matrix(
        (np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(len(faces),) * 2
    )
    number, label = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return int(number), label.astype(np.int64)


def boundary_loops(faces: Int[Tensor, "F 3"]) -> list[Int[np.ndarray, " n"]]:
    """Closed chains of edges that have one face, as vertex indices against the faces' winding direction.

    Only simple loops are returned: a vertex where more than one boundary passes ends the chain and drops the loop, as
    filling there would make the surface non-manifold. A triangle (start, end, new vertex) per consecutive pair winds
    like its neighbours.
    """
    table = edge_table(faces)
    corners = faces.cpu().numpy().astype(np.int64)
    face, side = np.nonzero(table.count[table.edge_of_side] == 1)
    # The neighbour across the boundary runs the other way along the shared edge.
    start, end = corners[face, (side + 1) % 3], corners[face, side]
    if len(start) == 0:
        return []
    size = int(corners.max()) + 1
    is_simple = (np.bincount(start, minlength=size) == 1) & (np.bincount(end, minlength=size) == 1)
    successor = np.full(size, -1, dtype=np.int64)
    successor[start] = end
    successor[~is_simple] = -1
    loops, visited = [], np.zeros(size, dtype=bool)
    for first in start[is_simple[start]]:
        chain, vertex = [], int(first)
        while vertex >= 0 and not visited[vertex]:
            visited[vertex] = True
            chain.append(vertex)
            vertex = int(successor[vertex])
        if vertex == first and len(chain) >= 3:
            loops.append(np.array(chain))
    return loops
