"""Making a triangle soup behave: splitting non-manifold vertices and edges, parting what still touches, winding faces.

Source: the clean-up of TRELLIS.2's export; the outward test is ours. Legend: F faces, V vertices.
"""

from dataclasses import replace

import numpy as np
import scipy
import torch

from scenewright.geometry.mesh.edges import edge_table
from scenewright.geometry.mesh.parts import select_vertices, vertex_normals
from scenewright.types import Mesh

__all__ = ["orient_faces", "part_touching", "split_non_manifold"]

_GAP = 1e-4


def split_non_manifold(mesh: Mesh) -> Mesh:
    """Two face corners at a vertex stay joined only when edges with exactly two faces lead from one to the other.

    Edges with three or more faces fall apart into borders or into pairs; bow-tie vertices are duplicated. Unused
    vertices go. Positions do not change.
    """
    if len(mesh.faces) == 0:
        return mesh
    table = edge_table(mesh.faces)
    faces = mesh.faces.cpu().numpy().astype(np.int64)
    order = np.argsort(table.edge_of_side, axis=None, kind="stable")
    order = order[table.count[table.edge_of_side.reshape(-1)[order]] == 2].reshape(-1, 2)
    # A side runs from its corner to the next; the same vertex is a start here and possibly an end there.
    face, side = order // 3, order % 3
    start, end = 3 * face + side, 3 * face + (side + 1) % 3
    vertex = faces.reshape(-1)
    same_way = vertex[start[:, 0]] == vertex[start[:, 1]]
    first = np.concatenate([start[:, 0], end[:, 0]])
    second = np.concatenate([np.where(same_way, start[:, 1], end[:, 1]), np.where(same_way, end[:, 1], start[:, 1])])
    graph = scipy.sparse.coo_matrix((np.ones(len(first), dtype=np.int8), (first, second)), shape=(3 * len(faces),) * 2)
    number, label = scipy.sparse.csgraph.connected_components(graph, directed=False)
    if number == len(np.unique(vertex)):
        return mesh
    rows = np.empty(number, dtype=np.int64)
    rows[label] = vertex
    # Keep the old order of vertices: new copies follow their original.
    by_row = np.argsort(rows, kind="stable")
    rank = np.empty(number, dtype=np.int64)
    rank[by_row] = np.arange(number)
    new_faces = torch.from_numpy(rank[label].reshape(-1, 3)).to(mesh.faces)
    return select_vertices(mesh, torch.from_numpy(rows[by_row]).to(mesh.faces.device), new_faces)


def part_touching(mesh: Mesh) -> Mesh:
    """Vertices of different sheets at one place are drawn in along their own normals, by 1e-4 of the longest side.

    Whoever welds by position, as simulators and checks of closed meshes do, would join the sheets there, and the mesh
    would be open or have edges of four faces.
    """
    _, place, count = torch.unique(mesh.vertices, dim=0, return_inverse=True, return_counts=True)
    touches = count[place] > 1
    if not touches.any():
        return mesh
    reach = _GAP * (mesh.vertices.amax(0) - mesh.vertices.amin(0)).max()
    drawn_in = mesh.vertices - reach * vertex_normals(mesh)
    return replace(mesh, vertices=torch.where(touches[:, None], drawn_in, mesh.vertices))


def orient_faces(mesh: Mesh) -> Mesh:
    """Winds the faces of every connected piece alike, and outwards: its signed volume comes out positive.

    Only edges with two faces connect; a piece that cannot be oriented (a Moebius strip) keeps its winding. Of an open
    piece the volume is that of the cone to its own centre, so bowls face outwards too. Vertex normals are dropped.
    """
    num_faces = len(mesh.faces)
    if num_faces == 0:
        return mesh
    table = edge_table(mesh.faces)
    faces = mesh.faces.cpu().numpy().astype(np.int64)
    order = np.argsort(table.edge_of_side, axis=None, kind="stable")
    order = order[table.count[table.edge_of_side.reshape(-1)[order]] == 2].reshape(-1, 2)
    pair = order // 3
    is_same_way = faces.reshape(-1)[order[:, 0]] == faces.reshape(-1)[order[:, 1]]
    # Every face twice, as it is and flipped (+ F): neighbours that run the same way along an edge disagree.
    other = np.where(is_same_way, pair[:, 1] + num_faces, pair[:, 1])
    mirrored = np.where(is_same_way, pair[:, 1], pair[:, 1] + num_faces)
    start = np.concatenate([pair[:, 0], pair[:, 0] + num_faces])
    graph = scipy.sparse.coo_matrix(
        (np.ones(len(start), dtype=np.int8), (start, np.concatenate([other, mirrored]))), shape=(2 * num_faces,) * 2
    )
    label = scipy.sparse.csgraph.connected_components(graph, directed=False)[1]
    as_is, flipped = label[:num_faces], label[num_faces:]
    piece = np.minimum(as_is, flipped)
    flip = as_is > flipped
    oriented = np.where(flip[:, None], faces[:, ::-1], faces)

    corners = mesh.vertices.detach().cpu().double().numpy()[oriented]
    count = np.maximum(np.bincount(piece), 1)
    middle = corners.mean(1)
    centre = np.stack([np.bincount(piece, middle[:, axis]) / count for axis in range(3)], 1)
    a, b, c = (corners - centre[piece][:, None]).transpose(1, 0, 2)
    volume = np.bincount(piece, np.einsum("fd,fd->f", a, np.cross(b, c)))
    inwards = (volume[piece] < 0) & (as_is != flipped)
    oriented = np.where(inwards[:, None], oriented[:, ::-1], oriented)
    return replace(mesh, faces=torch.from_numpy(oriented.copy()).to(mesh.faces), vertex_normals=None)
