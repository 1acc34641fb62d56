"""Removing what nobody can see: inner sheets and internal walls, cut away along short seams.

Faces never seen from outside pull their neighbours to the "inner" side, often-seen faces to the "outer" side, and a
minimum cut over the dual graph (an edge costs its length) draws the line between them. A patch on the inner side stays
when half of its faces are in fact well seen, or when deleting it would open a large hole.

Source: mesh post-processing of TRELLIS. Areas and lengths are in units where the mesh's largest side is 1.
Legend: F faces, E edges.
"""

import numpy as np
import scipy
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scenewright.geometry.camera.visibility import face_visibility
from scenewright.geometry.mesh.components import component_of_face
from scenewright.geometry.mesh.edges import EdgeTable, edge_table
from scenewright.geometry.mesh.parts import select_faces
from scenewright.types import Mesh

__all__ = ["invisible_faces", "remove_invisible_faces"]

_WELL_SEEN = 0.25
_OUTER_QUANTILE = 0.75
_OUTER_RANGE = (0.25, 0.5)
# Capacities are 32-bit integers: fine steps while the sum over all links still fits.
_CAPACITY_STEPS = 1e5


def remove_invisible_faces(mesh: Mesh, *, num_views: int = 1000, size: int = 1024) -> Mesh:
    """The mesh without patches that are invisible from outside; unchanged when every face is seen.

    Args:
        num_views: views on the sphere round the mesh; fewer are faster and call more small faces invisible.
        size: pixels per side of each view.
    """
    visibility = face_visibility(mesh, num_views=num_views, size=size)
    hidden = invisible_faces(mesh, visibility)
    return select_faces(mesh, ~hidden) if hidden.any() else mesh


def invisible_faces(mesh: Mesh, visibility: Float[Tensor, " F"], *, max_hole_area: float = 0.04) -> Bool[Tensor, " F"]:
    """Which faces to delete, given the fraction of views that see each one.

    Args:
        max_hole_area: largest opening that a deletion may leave, relative to the square of the mesh's largest side.
    """
    seen = visibility.cpu().numpy()
    inner = seen == 0
    if not inner.any():
        return torch.zeros_like(visibility, dtype=torch.bool)
    outer = _outer_faces(component_of_face(mesh).cpu().numpy(), seen)
    table = edge_table(mesh.faces)
    vertices = mesh.vertices.detach().cpu().double().numpy()
    vertices = vertices / max(float(np.ptp(vertices[np.unique(mesh.faces.cpu().numpy())], axis=0).max()), 1e-30)
    pairs, pair_edge = table.face_pairs()
    ends = vertices[table.edges[pair_edge]]
    candidate = _inner_side(inner, outer, pairs, np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1))
    number, patch = _patches(candidate, pairs)
    hidden = candidate.copy()
    for rows in _rows_by_label(patch, number):
        if np.median(seen[rows]) > _WELL_SEEN or _opened_area(rows, table, vertices) > max_hole_area:
            hidden[rows] = False
    return torch.from_numpy(hidden).to(visibility.device)


def _outer_faces(component: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Faces seen more often than the upper quartile of their component, that threshold kept within limits."""
    outer = np.zeros(len(seen), dtype=bool)
    for rows in _rows_by_label(component, int(component.max()) + 1):
        outer[rows] = seen[rows] > np.clip(np.quantile(seen[rows], _OUTER_QUANTILE), *_OUTER_RANGE)
    return outer


def _inner_side(inner: np.ndarray, outer: np.ndarray, pairs: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Faces on the source side of the minimum cut; the source feeds inner faces, outer faces drain into the sink."""
    num_faces = len(inner)
    source, sink = num_faces, num_faces + 1
    inner_rows, outer_rows = np.nonzero(inner)[0], np.nonzero(outer)[0]
    steps = min(_CAPACITY_STEPS, 2.0**30 / max(len(inner_rows), 1))
    capacity = np.maximum(np.rint(length * steps), 1)
    start = np.concatenate([pairs[:, 0], pairs[:, 1], np.full_like(inner_rows, source), outer_rows])
    end = np.concatenate([pairs[:, 1], pairs[:, 0], inner_rows, np.full_like(outer_rows, sink)])
    unit = np.full(len(inner_rows) + len(outer_rows), np.rint(steps))
    weights = np.concatenate([capacity, capacity, unit]).astype(np.int32)
    graph = scipy.sparse.csr_matrix(scipy.sparse.coo_matrix((weights, (start, end)), shape=(num_faces + 2,) * 2))
    residual = graph - scipy.sparse.csgraph.maximum_flow(graph, source, sink).flow
    residual.data[residual.data < 0] = 0
    residual.eliminate_zeros()
    reached = scipy.sparse.csgraph.breadth_first_order(residual, source, return_predecessors=False)
    side = np.zeros(num_faces + 2, dtype=bool)
    side[reached] = True
    return side[:num_faces]


def _patches(candidate: np.ndarray, pairs: np.ndarray) -> tuple[int, np.ndarray]:
    """Edge-connected groups of candidate faces; -1 elsewhere."""
    inside = pairs[candidate[pairs].all(1)]
    rows = np.nonzero(candidate)[0]
    number_of = np.full(len(candidate), -1)
    number_of[rows] = np.arange(len(rows))
    local = number_of[inside]
    graph = scipy.sparse.coo_matrix(
        (np.ones(len(local), dtype=np.int8), (local[:, 0], local[:, 1])), shape=(len(rows),) * 2
    )
    number, label = scipy.sparse.csgraph.connected_components(graph, directed=False)
    patch = np.full(len(candidate), -1)
    patch[rows] = label
    return number, patch


def _opened_area(rows: np.ndarray, table: EdgeTable, vertices: np.ndarray) -> float:
    """Largest area spanned by a connected set of edges that deleting these faces would turn into a boundary."""
    edges, count = np.unique(table.edge_of_side[rows], return_counts=True)
    opened = table.edges[edges[count < table.count[edges]]]
    if len(opened) == 0:
        return 0.0
    used, local = np.unique(opened, return_inverse=True)
    local = local.reshape(-1, 2)
    graph = scipy.sparse.coo_matrix(
        (np.ones(len(local), dtype=np.int8), (local[:, 0], local[:, 1])), shape=(len(used),) * 2
    )
    number, label = scipy.sparse.csgraph.connected_components(graph, directed=False)
    largest = 0.0
    for loop in _rows_by_label(label[local[:, 0]], number):
        start, end = vertices[opened[loop, 0]], vertices[opened[loop, 1]]
        centre = ((start + end) / 2).mean(0)
        area = 0.5 * np.linalg.norm(np.cross(start - centre, end - centre), axis=1).sum()
        largest = max(largest, float(area))
    return largest


def _rows_by_label(label: np.ndarray, number: int) -> list[np.ndarray]:
    """Rows of every label 0..number - 1; negative labels are left out."""
    order = np.argsort(label, kind="stable")
    bounds = np.searchsorted(label[order], np.arange(number + 1))
    return [order[bounds[i] : bounds[i + 1]] for i in range(number)]
