"""Iterative closest point: point-to-point (with optional scale) and robust point-to-plane.

Besl and McKay 1992 (point-to-point), Chen and Medioni 1992 (point-to-plane); the robust weight is Tukey's
biweight. Correspondences farther than a threshold are dropped. Iteration stops when neither the share of matched
points nor their error moves any more.

Legend: N source points, M target points.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from scenewright.errors import InputError
from scenewright.metrics.point_tree import PointTree
from scenewright.metrics.registration.similarity import Points, Similarity, fit_similarity

__all__ = ["IcpResult", "check_cloud", "estimate_normals", "icp", "icp_point_to_plane", "icp_point_to_point"]

# Share of matched points, and of the error: standing still by any measure that a metric could show.
_STOP_CHANGE = 1e-4


@dataclass(frozen=True)
class IcpResult:
    """`fitness` is the share of source points with a correspondence, `rmse` the root mean squared distance of those."""

    transform: Similarity
    fitness: float
    rmse: float
    iterations: int


def check_cloud(name: str, points: Points) -> Points:
    """The cloud as float64.

    Raises:
        InputError: it is empty or not finite.
    """
    if len(points) == 0:
        raise InputError(f"Expected at least one point in the {name} cloud, got none; there is nothing to align.")
    if not np.isfinite(points).all():
        raise InputError(f"The {name} cloud holds NaN or infinite coordinates; clean the mesh before aligning it.")
    return np.ascontiguousarray(points, dtype=np.float64)


def icp(
    source: Points,
    target: Points,
    *,
    max_iterations: int = 100,
    estimate_scale: bool = False,
) -> Similarity:
    """Plain point-to-point ICP from the identity: the transform that brings `source` onto `target`.

    Raises:
        InputError: a cloud is empty or not finite.
    """
    source, target = check_cloud("source", source), check_cloud("target", target)
    return icp_point_to_point(
        source, PointTree(target), Similarity(), np.inf, max_iterations, estimate_scale=estimate_scale
    ).transform


def icp_point_to_point(
    source: Points,
    target: PointTree,
    start: Similarity,
    max_distance: float,
    max_iterations: int,
    *,
    estimate_scale: bool = False,
) -> IcpResult:
    """Refines `start` by alternating nearest neighbours and a least-squares similarity."""
    transform, fitness, rmse = start, 0.0, np.inf
    match = _Matcher(target, max_distance)
    for iteration in range(1, max_iterations + 1):
        matched, indices, new_fitness, new_rmse = match(transform(source))
        if not matched.any() or _settled(fitness, rmse, new_fitness, new_rmse):
            return IcpResult(transform, new_fitness, new_rmse, iteration)
        fitness, rmse = new_fitness, new_rmse
        transform = fit_similarity(source[matched], target.points[indices], estimate_scale=estimate_scale)
    _, _, fitness, rmse = match(transform(source))
    return IcpResult(transform, fitness, rmse, max_iterations)


def icp_point_to_plane(
    source: Points,
    target: PointTree,
    normals: Points,
    start: Similarity,
    max_distance: float,
    max_iterations: int,
    *,
    tukey: float,
    estimate_scale: bool = False,
) -> IcpResult:
    """Refines `start` by Gauss-Newton steps on the weighted distances to the target's tangent planes.

    Args:
        tukey: residuals beyond this distance get weight zero (Tukey's biweight).
    """
    transform, fitness, rmse = start, 0.0, np.inf
    match = _Matcher(target, max_distance)
    for iteration in range(1, max_iterations + 1):
        moved = transform(source)
        matched, indices, new_fitness, new_rmse = match(moved)
        if matched.sum() < 3 or _settled(fitness, rmse, new_fitness, new_rmse):
            return IcpResult(transform, new_fitness, new_rmse, iteration)
        fitness, rmse = new_fitness, new_rmse
        points, normal = moved[matched], normals[indices]
        residual = np.einsum("nd,nd->n", points - target.points[indices], normal)
        weight = np.square(np.clip(1 - np.square(residual / tukey), 0, None))
        middle = points.mean(0)
        growth = np.einsum("nd,nd->n", points - middle, normal)[:, None]
        jacobian = np.concatenate([np.cross(points, normal), normal, growth][: 3 if estimate_scale else 2], axis=1)
        weighted = jacobian * weight[:, None]
        # Minimum-norm solution: directions that a plane or a sphere leaves free do not move.
        step = -np.linalg.lstsq(jacobian.T @ weighted, weighted.T @ residual, rcond=1e-9)[0]
        rotation = Rotation.from_rotvec(step[:3]).as_matrix()
        scale = float(np.exp(step[6])) if estimate_scale else 1.0
        transform = Similarity(rotation, step[3:6] + (1 - scale) * (rotation @ middle), scale) @ transform
    _, _, fitness, rmse = match(transform(source))
    return IcpResult(transform, fitness, rmse, max_iterations)


def estimate_normals(points: Points, num_neighbours: int) -> Float[np.ndarray, "N 3"] | None:
    """Unit normals (sign arbitrary) from the smallest principal axis of each neighbourhood; None below four points."""
    if len(points) < 4:
        return None
    _, indices = cKDTree(points).query(points, k=min(num_neighbours, len(points)))
    neighbours = points[indices]
    centred = neighbours - neighbours.mean(1, keepdims=True)
    return np.linalg.eigh(np.einsum("nki,nkj->nij", centred, centred))[1][:, :, 0]


class _Matcher:
    """Correspondences of one source as it moves; every round starts from the answers of the round before."""

    def __init__(self, tree: PointTree, max_distance: float) -> None:
        self._tree, self._max_distance = tree, max_distance
        self._last: np.ndarray | None = None

    def __call__(self, points: Points) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Mask of matched points, their partners' indices, fitness and rmse."""
        distances, indices = self._tree.nearest(points, within=self._max_distance, guess=self._last)
        self._last = indices
        matched = indices >= 0
        inliers = distances[matched]
        rmse = float(np.sqrt(np.square(inliers).mean())) if len(inliers) else np.inf
        return matched, indices[matched], float(matched.mean()), rmse


def _settled(fitness: float, rmse: float, new_fitness: float, new_rmse: float) -> bool:
    return abs(new_fitness - fitness) < _STOP_CHANGE and abs(new_rmse - rmse) <= _STOP_CHANGE * rmse
