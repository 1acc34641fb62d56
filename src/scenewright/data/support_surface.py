"""The part of a table that things can stand on: a slice just below the top, its largest polygon, its centroid.

Areas, centroid and containment are sums over the slice's directed segments, so no polygon has to be chained.
Source: I-Scene, supplement (stacked objects). Slice depth, area limit and margin are our choice.

Legend: V vertices, F faces, S segments. Frame: z up.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from scenewright.geometry.mesh.area_vectors import area_vectors

__all__ = ["Support", "find_support", "footprint_radius", "largest_scale"]


@dataclass(frozen=True)
class Support:
    """The top polygon of a table: area centroid `anchor_xy`, `height` of the top, distance to the nearest edge.

    `footprint_share` is the polygon's area over that of the mesh's horizontal bounding box, `flat_share` the area of
    level faces at the very top over the polygon's. `outline` are the polygon's directed segments.
    """

    anchor_xy: tuple[float, float]
    height: float
    distance_to_edge: float
    area: float
    footprint_share: float
    is_centroid_inside: bool
    outline: Float[np.ndarray, "S 2 2"]
    flat_share: float = 1.0

    def holds(self, corners: Float[np.ndarray, "4 2"]) -> bool:
        """Whether a thing with these corners lies on the top: its corners, middle and the middles of its sides do."""
        middles = (corners + np.roll(corners, 1, axis=0)) / 2
        return all(_inside(point, self.outline) for point in (*corners, *middles, corners.mean(0)))

    def is_usable(self) -> bool:
        """Whether things may stand here: the centroid lies on the top (no U shapes), which is flat and no mere knob."""
        is_top = self.footprint_share >= 0.2 and self.flat_share >= 0.6
        return self.is_centroid_inside and is_top


def footprint_radius(extent_x: float, extent_y: float) -> float:
    """Radius of the disc that covers a footprint under any yaw: half its diagonal."""
    return 0.5 * float(np.hypot(extent_x, extent_y))


def largest_scale(support: Support, object_radius: float) -> float:
    """Scale at which an object of that footprint radius just reaches the nearest edge; 0 on a top it cannot use."""
    if not support.is_centroid_inside or object_radius <= 0:
        return 0.0
    return support.distance_to_edge / object_radius


def find_support(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], *, slice_depth: float = 0.01
) -> Support | None:
    """The top surface of a mesh, or None where the slice meets no closed outline.

    Args:
        vertices: z up, any unit; duplicated vertices are joined by position.
        faces: counter-clockwise from outside.
        slice_depth: depth of the slice below the top, as a share of the height.
    """
    if not len(faces):
        return None
    vertices = np.asarray(vertices, dtype=np.float64)
    top, height = float(vertices[:, 2].max()), float(np.ptp(vertices[:, 2]))
    segments, keys = _slice(vertices, np.asarray(faces), top - slice_depth * height)
    if not len(segments):
        return None
    number = int(keys.max()) + 1
    graph = coo_array((np.ones(len(keys)), (keys[:, 0], keys[:, 1])), shape=(number, number))
    _, label = connected_components(graph, directed=False)
    loop = label[keys[:, 0]]
    areas = np.bincount(loop, weights=_cross(segments))
    outer = int(areas.argmax())
    if areas[outer] <= 1e-12:
        return None
    polygon = segments[loop == outer]
    for other in np.unique(loop):
        hole = segments[loop == other]
        if areas[other] < 0 and _inside(hole[0, 0], segments[loop == outer]):
            polygon = np.concatenate([polygon, hole])
    cross = _cross(polygon)
    area = float(cross.sum())
    anchor = (polygon.sum(1) * cross[:, None]).sum(0) / (3 * area)
    extent = np.ptp(vertices[:, :2], axis=0)
    return Support(
        anchor_xy=(float(anchor[0]), float(anchor[1])),
        height=top,
        distance_to_edge=_distance(anchor, polygon),
        area=area,
        footprint_share=area / max(float(extent.prod()), 1e-12),
        is_centroid_inside=_inside(anchor, polygon),
        outline=polygon,
        flat_share=_flat_area(vertices[faces], top) / area,
    )


def _flat_area(corners: np.ndarray, top: float) -> float:
    """Area of level, upward faces within 3 mm of the top."""
    cross = area_vectors(corners)
    length = np.linalg.norm(cross, axis=1)
    level = (cross[:, 2] > 0.99 * length) & (corners[:, :, 2].min(1) > top - 0.003)
    return float(0.5 * length[level].sum())


def _slice(vertices: np.ndarray, faces: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Directed segments [S, 2, 2] of the cut at z = level, the solid on their left, and ids of their ends [S, 2]."""
    _, weld = np.unique(np.round(vertices, 6), axis=0, return_inverse=True)
    weld = weld.reshape(-1)
    above = vertices[:, 2] > level
    count = above[faces].sum(1)
    cut = faces[(count == 1) | (count == 2)]
    if not len(cut):
        return np.zeros((0, 2, 2)), np.zeros((0, 2), dtype=np.int64)
    # Rotate each triangle so that its odd corner comes first.
    side = above[cut]
    odd = np.where(side.sum(1) == 1, side.argmax(1), (~side).argmax(1))
    turned = np.take_along_axis(cut, (odd[:, None] + np.arange(3)) % 3, axis=1)
    ends = []
    for other in (1, 2):
        a, b = vertices[turned[:, 0]], vertices[turned[:, other]]
        share = (level - a[:, 2]) / (b[:, 2] - a[:, 2])
        ends.append(a[:, :2] + share[:, None] * (b[:, :2] - a[:, :2]))
    pair = [np.sort(np.stack([weld[turned[:, 0]], weld[turned[:, other]]], 1), axis=1) for other in (1, 2)]
    _, keys = np.unique(np.concatenate(pair), axis=0, return_inverse=True)
    keys = keys.reshape(2, -1).T
    # Odd corner above: the cut runs from edge (0, 1) to edge (0, 2) with the solid on its left; below: the other way.
    flip = ~above[turned[:, 0]]
    segments = np.stack(ends, 1)
    segments[flip], keys[flip] = segments[flip][:, ::-1], keys[flip][:, ::-1]
    return segments, keys


def _cross(segments: np.ndarray) -> np.ndarray:
    """Half the cross product of each segment's ends: they sum to the signed area."""
    a, b = segments[:, 0], segments[:, 1]
    return 0.5 * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def _inside(point: np.ndarray, segments: np.ndarray) -> bool:
    """Even-odd test with a ray towards +x."""
    a, b = segments[:, 0], segments[:, 1]
    crosses = (a[:, 1] > point[1]) != (b[:, 1] > point[1])
    a, b = a[crosses], b[crosses]
    x = a[:, 0] + (point[1] - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0])
    return bool((x > point[0]).sum() % 2)


def _distance(point: np.ndarray, segments: np.ndarray) -> float:
    a, edge = segments[:, 0], segments[:, 1] - segments[:, 0]
    share = ((point - a) * edge).sum(1) / np.maximum((edge**2).sum(1), 1e-18)
    return float(np.linalg.norm(a + np.clip(share, 0, 1)[:, None] * edge - point, axis=1).min())
