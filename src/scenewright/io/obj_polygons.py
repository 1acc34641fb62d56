"""Polygons of OBJ and PLY as fans of triangles from their first corner; where a fan would fold over, by their ears.

No library that is always installed does this (trimesh asks for mapbox_earcut, triangle or manifold3d).
"""

import re
from collections import defaultdict

import numpy as np

from scenewright.files import work

__all__ = ["fanned", "triangles_of", "without_folds"]

_VERTEX = re.compile(r"^v[ \t]+(\S+)[ \t]+(\S+)[ \t]+(\S+)", re.MULTILINE)
_POLYGON = re.compile(r"^f((?:[ \t]+\S+){4,})[ \t]*$", re.MULTILINE)
# A share of a polygon's area; less is the rounding of coordinates in text.
_FOLD = 1e-6
_OTHER_DIAGONAL = [(1, 2, 3), (1, 3, 0)]
# The arrays of one look at a corner cost as much as so many steps.
_EAR_STEPS = 300


def without_folds(text: str) -> str:
    """The OBJ with each polygon whose fan folds as triangles; all other lines stay, and so does a damaged file.

    Raises:
        InputError: more steps needed than a file may take.
    """
    by_size: dict[int, list[re.Match[str]]] = defaultdict(list)
    for polygon in _POLYGON.finditer(text):
        by_size[len(polygon[1].split())].append(polygon)
    if not by_size:
        return text
    cut: dict[int, str] = {}
    try:
        vertices = np.array(_VERTEX.findall(text), dtype=np.float64).reshape(-1, 3)
        for polygons in by_size.values():
            indices = np.array([[int(word.split("/")[0]) for word in polygon[1].split()] for polygon in polygons])
            for index, ears in _folding(vertices[indices - 1]).items():
                words = polygons[index][1].split()
                cut[polygons[index].start()] = "\n".join(f"f {words[a]} {words[b]} {words[c]}" for a, b, c in ears)
    except (ValueError, IndexError):
        return text  # the parser says what is wrong
    return _POLYGON.sub(lambda polygon: cut.get(polygon.start(), polygon[0]), text) if cut else text


def fanned(vertices: np.ndarray, polygons: np.ndarray) -> np.ndarray:
    """The triangles (N, K - 2, 3) of polygons (N, K), which are numbers of vertices.

    Raises:
        InputError: more steps needed than a file may take.
    """
    second = np.arange(1, polygons.shape[1] - 1)
    triangles = np.stack(np.broadcast_arrays(polygons[:, :1], polygons[:, second], polygons[:, second + 1]), -1)
    if polygons.shape[1] > 3:
        for index, ears in _folding(vertices[polygons]).items():
            triangles[index] = polygons[index][np.array(ears)]
    return triangles


def _folding(corners: np.ndarray) -> dict[int, list[tuple[int, int, int]]]:
    """The ears of each of the polygons (N, K, 3) whose fan folds."""
    normals, areas = _fans(corners)
    folding = np.flatnonzero(areas.min(1) < -_FOLD * areas.sum(1))
    if corners.shape[1] == 4:
        return dict.fromkeys(folding.tolist(), _OTHER_DIAGONAL)
    return {int(index): triangles_of(_flat(corners[index], normals[index])) for index in folding}


def _fans(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Newell's normals (N, 3) of polygons (N, K, 3), and their fans' areas (N, K - 2) along them, in one unit."""
    spokes = corners[:, 1:] - corners[:, :1]
    crosses = np.cross(spokes[:, :-1], spokes[:, 1:])
    normals = crosses.sum(1)
    return normals, (crosses * normals[:, None]).sum(-1)


def _flat(corners: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """The corners (K, 2) without the axis that the normal is nearest to, counter-clockwise."""
    axis = int(np.abs(normal).argmax())
    first, second = (axis + 1) % 3, (axis + 2) % 3
    return corners[:, [first, second] if normal[axis] > 0 else [second, first]]


def triangles_of(corners: np.ndarray) -> list[tuple[int, int, int]]:
    """Ears of a counter-clockwise polygon (K, 2), cut one after the other: K - 2 triangles of its corners' numbers.

    Raises:
        InputError: more steps needed than a file may take.
    """
    left = list(range(len(corners)))
    triangles = []
    place = 0
    while len(left) > 2:
        ring = corners[left]
        before, after = np.roll(ring, 1, 0), np.roll(ring, -1, 0)
        turns = _turn(before, ring, after)
        # Where nothing is an ear, a corner on a straight line is left, or the polygon crosses itself.
        ear = int(np.abs(turns).argmin())
        for candidate in np.roll(np.arange(len(left)), -place):
            if turns[candidate] > 0 and _is_empty(ring, before[candidate], ring[candidate], after[candidate]):
                ear = int(candidate)
                break
        triangles.append((left[ear - 1], left[ear], left[(ear + 1) % len(left)]))
        del left[ear]
        place = ear % len(left)
    return triangles


def _is_empty(ring: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> bool:
    """Whether no corner but its own lies in or on the triangle."""
    work(_EAR_STEPS + len(ring), "a polygon")
    inside = (_turn(a, b, ring) >= 0) & (_turn(b, c, ring) >= 0) & (_turn(c, a, ring) >= 0)
    own = (ring == a).all(1) | (ring == b).all(1) | (ring == c).all(1)
    return not bool((inside & ~own).any())


def _turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Twice the signed area of triangles, above 0 where they turn left."""
    first, second = b - a, c - a
    turn: np.ndarray = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    return turn
