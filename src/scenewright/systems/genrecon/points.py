"""Structure-from-motion points cleaned of outliers, and the extent of the room they outline.

Source: GenRecon, `inference/get_chunks.py`; the filters are Open3D's statistical and radius outlier removal.

Legend: N points. Frame: world, z up, metres.
"""

from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int

from scenewright.errors import InputError
from scenewright.systems.genrecon.tiling import Extent

__all__ = ["PointFilter", "clean_points", "in_dense_region", "near_others", "point_extent", "without_outliers"]

_NEIGHBOURS = 20
_NEAREST_OTHERS = 8
# Percentiles of the cleaned points that bound the room; points below the floor are rarer than above it.
_SIDE_PERCENTILES = (0.5, 99.5)
_HEIGHT_PERCENTILES = (0.2, 99.97)


@dataclass(frozen=True)
class PointFilter:
    """Which points count; defaults are the published ones for ScanNet++ reconstructions.

    Attributes:
        max_reprojection_error_px: None keeps all.
        min_track_length: views a point was seen in; 0 keeps points that record none.
        deviations: how far above the mean the distance to the neighbours may be, in standard deviations.
        min_neighbours: a point needs more than this many points (itself included) within `radius_m`.
        is_sparse: the cloud is too thin for the two distance filters, which are left out.
        max_isolation: points are dropped whose nearest neighbours are this many times farther than the cloud's median;
            None drops none [ours].
        neighbours: points, itself included, whose mean distance the outlier filter takes.
    """

    max_reprojection_error_px: float | None = 2.0
    min_track_length: int = 4
    deviations: float = 2.0
    min_neighbours: int = 10
    radius_m: float = 0.1
    is_sparse: bool = False
    max_isolation: float | None = None
    neighbours: int = _NEIGHBOURS


def clean_points(
    points: Float[np.ndarray, "N 3"],
    error_px: Float[np.ndarray, " N"],
    track_length: Int[np.ndarray, " N"],
    settings: PointFilter,
) -> Int[np.ndarray, " kept"]:
    """Indices of the points that pass all filters, ascending.

    Raises:
        InputError: none does; the message says which filter took the last.
    """
    limit = np.inf if settings.max_reprojection_error_px is None else settings.max_reprojection_error_px
    kept = np.flatnonzero((error_px <= limit) & (track_length >= settings.min_track_length))
    _require(kept, len(points), "the limits of reprojection error and track length")
    if settings.max_isolation is not None:
        kept = kept[near_others(points[kept], settings.max_isolation)]
    if settings.is_sparse:
        return kept
    kept = kept[without_outliers(points[kept], settings.deviations, neighbours=settings.neighbours)]
    _require(kept, len(points), "the outlier filter")
    kept = kept[in_dense_region(points[kept], settings.radius_m, settings.min_neighbours)]
    _require(kept, len(points), f"the density filter ({settings.min_neighbours} points within {settings.radius_m:g} m)")
    return kept


def without_outliers(
    points: Float[np.ndarray, "N 3"], deviations: float, *, neighbours: int = _NEIGHBOURS
) -> Bool[np.ndarray, " N"]:
    """Points whose mean distance to their nearest neighbours is below the cloud's mean plus `deviations` standard ones.

    The point itself is one of the neighbours, at distance 0. A point whose neighbours all coincide with it is dropped.
    """
    if len(points) == 0:
        return np.zeros(0, dtype=bool)
    count = min(neighbours, len(points))
    distance, _ = scipy.spatial.cKDTree(points).query(points, k=[*range(1, count + 1)], workers=-1)
    mean_distance = distance.mean(1)
    positive = mean_distance[mean_distance > 0]
    mean = positive.sum() / len(points)
    deviation = np.sqrt(((positive - mean) ** 2).sum() / max(len(points) - 1, 1))
    return (mean_distance > 0) & (mean_distance < mean + deviations * deviation)


def near_others(points: Float[np.ndarray, "N 3"], max_isolation: float) -> Bool[np.ndarray, " N"]:
    """Points whose mean distance to their eight nearest others is at most `max_isolation` times the median of all.

    Unlike mean and deviation, the median holds when a point in fifty lies far outside of the place.
    """
    count = min(_NEAREST_OTHERS, len(points) - 1)
    if count < 1:
        return np.ones(len(points), dtype=bool)
    distance, _ = scipy.spatial.cKDTree(points).query(points, k=[*range(2, count + 2)], workers=-1)
    isolation = distance.mean(1)
    return np.asarray(isolation <= max_isolation * np.median(isolation))


def in_dense_region(points: Float[np.ndarray, "N 3"], radius_m: float, min_neighbours: int) -> Bool[np.ndarray, " N"]:
    """Points with more than `min_neighbours` points, themselves included, within `radius_m`."""
    if len(points) == 0:
        return np.zeros(0, dtype=bool)
    counts = scipy.spatial.cKDTree(points).query_ball_point(points, radius_m, return_length=True, workers=-1)
    return np.asarray(counts) > min_neighbours


def point_extent(points: Float[np.ndarray, "N 3"]) -> Extent:
    """The room's box from percentiles (linear interpolation), so that a few stray points do not move it.

    Raises:
        InputError: there is no point, or floor and ceiling coincide.
    """
    if len(points) == 0:
        raise InputError("Expected points to measure the room by, got none; filter them less or give the extent.")
    sides = np.percentile(points[:, :2], _SIDE_PERCENTILES, axis=0)
    floor, ceiling = np.percentile(points[:, 2], _HEIGHT_PERCENTILES)
    extent = Extent(
        float(sides[0, 0]), float(sides[1, 0]), float(sides[0, 1]), float(sides[1, 1]), float(floor), float(ceiling)
    )
    if not extent.height > 0:
        raise InputError(
            f"Floor and ceiling of the points are both at {floor:g} m, so chunks would have no size; is z up, and are "
            "there points on more than one height?"
        )
    return extent


def _require(kept: np.ndarray, count: int, name: str) -> None:
    if len(kept) == 0:
        raise InputError(f"Of {count} points none passes {name}; loosen it, or mark the cloud as sparse.")
