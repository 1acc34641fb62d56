"""Texture charts by projection on the six sides of a box: fast, linear in faces, never overlapping.

Faces are grouped by the axis direction they face most and split into connected charts. Where a chart folds over itself
in the projection, the later faces move to a further layer and form charts of their own. Charts are packed on shelves.

Legend: V vertices, V2 vertices after splitting at seams, F faces, K charts.
"""

from typing import no_type_check

import numpy as np
import scipy
import torch
from jaxtyping import Float, Int

from scenewright.compiled import njit
from scenewright.errors import InputError
from scenewright.geometry.mesh.area_vectors import area_vectors
from scenewright.geometry.mesh.edges import edge_table

__all__ = ["box_charts"]

# The two axes kept for each dominant one.
_PLANE_AXES = np.array([[1, 2], [0, 2], [0, 1]])
_MAX_LAYERS = 8


def box_charts(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], texture_size: int, padding: int
) -> tuple[Int[np.ndarray, " V2"], Int[np.ndarray, "F 3"], Float[np.ndarray, "V2 2"]]:
    """Old row of each new vertex, faces of new vertices, and their texture coordinates.

    Raises:
        InputError: there are more charts than the texture has room for.
    """
    corners = vertices[faces]
    normals = area_vectors(corners)
    axis = np.abs(normals).argmax(1)
    side = 2 * axis + (np.take_along_axis(normals, axis[:, None], 1)[:, 0] < 0)
    flat = np.take_along_axis(corners, _PLANE_AXES[axis][:, None], 2)
    extent = max(float(np.ptp(vertices[faces.reshape(-1)], axis=0).max()), 1e-30)
    # Overlaps matter where they share a texel; packing never makes a chart of the whole extent larger than the texture.
    chart = _chart_numbers(faces, side, flat, texture_size / extent)

    number = int(chart.max()) + 1
    low = np.full((number, 2), np.inf)
    high = np.full((number, 2), -np.inf)
    for side_corner in range(3):
        np.minimum.at(low, chart, flat[:, side_corner])
        np.maximum.at(high, chart, flat[:, side_corner])
    upright = (high - low)[:, 1] > (high - low)[:, 0]
    corner, scale = _pack(np.where(upright[:, None], (high - low)[:, ::-1], high - low), texture_size, padding)

    key, new_faces = np.unique(chart[:, None] * len(vertices) + faces, return_inverse=True)
    vertex, chart_of_vertex = key % len(vertices), key // len(vertices)
    axis_of_chart = np.empty(number, dtype=np.int64)
    axis_of_chart[chart] = axis
    plane = np.take_along_axis(vertices[vertex], _PLANE_AXES[axis_of_chart[chart_of_vertex]], 1)
    local = plane - low[chart_of_vertex]
    local = np.where(upright[chart_of_vertex, None], local[:, ::-1], local)
    texel = corner[chart_of_vertex] + padding + 0.5 + local * scale
    return vertex, new_faces.reshape(-1, 3), texel / texture_size


def _chart_numbers(
    faces: Int[np.ndarray, "F 3"], side: Int[np.ndarray, " F"], flat: Float[np.ndarray, "F 3 2"], scale: float
) -> Int[np.ndarray, " F"]:
    pairs, _ = edge_table(torch.from_numpy(faces)).face_pairs()
    layer = np.zeros(len(faces), dtype=np.int64)
    texels = flat * scale
    for _ in range(_MAX_LAYERS):
        chart = _connected(pairs, side + 6 * layer)
        folded = _folded_faces(texels, chart, np.argsort(chart, kind="stable"))
        if not folded.any():
            return chart
        layer[folded] += 1
    # Still folded: give those faces a chart each.
    chart[folded] = int(chart.max()) + 1 + np.arange(int(folded.sum()))
    return np.unique(chart, return_inverse=True)[1]


def _connected(pairs: Int[np.ndarray, "P 2"], group: Int[np.ndarray, " F"]) -> Int[np.ndarray, " F"]:
    same = pairs[group[pairs[:, 0]] == group[pairs[:, 1]]]
    graph = scipy.sparse.coo_matrix(
        (np.ones(len(same), dtype=np.int8), (same[:, 0], same[:, 1])), shape=(len(group),) * 2
    )
    return scipy.sparse.csgraph.connected_components(graph, directed=False)[1].astype(np.int64)


@njit(cache=True)
@no_type_check
def _folded_faces(texels, chart, order):
    """Faces that cover a texel centre already covered by an earlier face of their chart."""
    folded = np.zeros(len(chart), dtype=np.bool_)
    first = 0
    while first < len(order):
        last = first
        low_x = low_y = np.inf
        high_x = high_y = -np.inf
        while last < len(order) and chart[order[last]] == chart[order[first]]:
            for corner in range(3):
                low_x, high_x = min(low_x, texels[order[last], corner, 0]), max(high_x, texels[order[last], corner, 0])
                low_y, high_y = min(low_y, texels[order[last], corner, 1]), max(high_y, texels[order[last], corner, 1])
            last += 1
        if last - first > 1:
            covered = np.zeros((int(high_y - low_y) + 2, int(high_x - low_x) + 2), dtype=np.bool_)
            for row in range(first, last):
                folded[order[row]] = _covers_again(texels[order[row]], low_x, low_y, covered)
        first = last
    return folded


@njit(cache=True)
@no_type_check
def _covers_again(triangle, low_x, low_y, covered):
    ax, ay = triangle[0, 0] - low_x, triangle[0, 1] - low_y
    bx, by = triangle[1, 0] - low_x, triangle[1, 1] - low_y
    cx, cy = triangle[2, 0] - low_x, triangle[2, 1] - low_y
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if area == 0:
        return False
    # Twice: first look, then mark, so that a rejected face marks nothing.
    for is_marking in (False, True):
        for row in range(max(int(np.ceil(min(ay, by, cy) - 0.5)), 0), int(np.floor(max(ay, by, cy) - 0.5)) + 1):
            for column in range(max(int(np.ceil(min(ax, bx, cx) - 0.5)), 0), int(np.floor(max(ax, bx, cx) - 0.5)) + 1):
                x, y = column + 0.5, row + 0.5
                wa = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                wb = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                # Strictly inside, so that neighbours sharing an edge do not count as overlapping.
                if wa > 1e-6 and wb > 1e-6 and wa + wb < 1 - 1e-6:
                    if is_marking:
                        covered[row, column] = True
                    elif covered[row, column]:
                        return True
    return False


def _pack(sizes: Float[np.ndarray, "K 2"], texture_size: int, padding: int) -> tuple[Float[np.ndarray, "K 2"], float]:
    """Low corner of each chart in texels, and texels per unit: the largest scale whose shelves fit the texture."""
    order = np.argsort(-sizes[:, 1], kind="stable")
    total = float(sizes.prod(1).sum())
    low, high = 0.0, texture_size / max(np.sqrt(total), float(sizes.max()), 1e-30)
    corner, fits = _shelves(sizes[order], 0.0, texture_size, padding)
    if not fits:
        raise InputError(
            f"Expected at most about {(texture_size // (2 * padding + 1)) ** 2} charts in a texture of {texture_size} "
            f"texels, got {len(sizes)}; simplify the mesh or use a larger texture."
        )
    for _ in range(20):
        middle = (low + high) / 2
        trial, fits = _shelves(sizes[order], middle, texture_size, padding)
        if fits:
            low, corner = middle, trial
        else:
            high = middle
    packed = np.empty_like(corner)
    packed[order] = corner
    return packed, low


@njit(cache=True)
@no_type_check
def _shelves(sizes, scale, texture_size, padding):
    """Left to right, then down, highest charts first."""
    corner = np.zeros((len(sizes), 2))
    x = y = shelf = 0.0
    for i in range(len(sizes)):
        width = np.ceil(sizes[i, 0] * scale) + 1 + 2 * padding
        height = np.ceil(sizes[i, 1] * scale) + 1 + 2 * padding
        if x + width > texture_size:
            x, y, shelf = 0.0, y + shelf, 0.0
        if x + width > texture_size or y + height > texture_size:
            return corner, False
        corner[i, 0], corner[i, 1] = x, y
        x += width
        shelf = max(shelf, height)
    return corner, True
