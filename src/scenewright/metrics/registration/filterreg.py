"""FilterReg, point-to-point and rigid, as SceneGen's evaluation runs it (probreg 0.3.8, no outlier weight).

Gao and Tedrake 2019: the E step is a Gaussian sum over the target (permutohedral lattice), the M step a Kabsch fit of
the source to the weighted means. The variance is the mean squared distance of all pairs, taken once and never
updated; so wide a kernel makes the method close to moment matching.

Legend: n source points, m target points.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import no_type_check

import numpy as np

from scenewright.compiled import njit
from scenewright.metrics.registration.icp import check_cloud
from scenewright.metrics.registration.permutohedral import GaussianLattice, GaussianSums
from scenewright.metrics.registration.similarity import Points, Similarity, fit_moments

__all__ = [
    "FilterRegConfig",
    "FilterRegResult",
    "filterreg",
    "mean_pair_variance",
    "run_filterreg",
]

_MIN_VARIANCE = 1e-4


@dataclass(frozen=True)
class FilterRegConfig:
    """`tolerance` is the one in effect in the published evaluation, whose settings file names another."""

    max_iterations: int = 200
    tolerance: float = 1e-4


@dataclass(frozen=True)
class FilterRegResult:
    """The transform with the loop's own record: iterations done, fixed variance, last objective."""

    transform: Similarity
    iterations: int
    variance: float
    objective: float


def filterreg(source: Points, target: Points, config: FilterRegConfig = FilterRegConfig()) -> Similarity:
    """The rigid transform that brings `source` (the prediction) onto `target` (the truth).

    Raises:
        InputError: a cloud is empty or not finite.
    """
    return run_filterreg(source, target, config).transform


def run_filterreg(
    source: Points,
    target: Points,
    config: FilterRegConfig = FilterRegConfig(),
    sums: Callable[[Points, Points, float], GaussianSums] | None = None,
) -> FilterRegResult:
    """The loop behind `filterreg`; `sums(source, target, sigma)` replaces the lattice as E step."""
    source, target = check_cloud("source", source), check_cloud("target", target)
    variance = mean_pair_variance(source, target)
    sigma = float(np.sqrt(variance))
    lattice = GaussianLattice(target, sigma)
    transform, objective, num_steps = Similarity(), np.inf, 0
    while num_steps < config.max_iterations:
        num_steps += 1
        moved = transform(source)
        step = lattice.sums(moved) if sums is None else sums(moved, target, sigma)
        count, middle, goal, covariance, distance = _moments(moved, step.m0, step.m1)
        if count == 0:
            break
        transform = fit_moments(middle, goal, covariance) @ transform
        previous, objective = objective, float(distance / sigma)
        if abs(objective - previous) < config.tolerance:
            break
    return FilterRegResult(transform, num_steps, variance, objective)


def mean_pair_variance(source: Points, target: Points) -> float:
    """Mean of |x - y|^2 / 3 over all pairs, at least 1e-4; closed form, no n x m matrix."""
    mean_square = np.square(source).sum(1).mean() + np.square(target).sum(1).mean()
    return max(float(mean_square - 2 * source.mean(0) @ target.mean(0)) / 3, _MIN_VARIANCE)


@njit(cache=True, nogil=True)
@no_type_check
def _moments(moved, m0, m1):
    """Points with a goal m1 / m0: their number, both means, covariance [goal, moved] and sum of the distances."""
    count, distance = 0, 0.0
    first, second = np.zeros(3), np.zeros(3)
    product = np.zeros((3, 3))
    for p in range(moved.shape[0]):
        if m0[p] == 0:
            continue
        # In the precision of the sums, as the library divides.
        gx, gy, gz = np.float64(m1[p, 0] / m0[p]), np.float64(m1[p, 1] / m0[p]), np.float64(m1[p, 2] / m0[p])
        x, y, z = moved[p, 0], moved[p, 1], moved[p, 2]
        distance += np.sqrt((x - gx) ** 2 + (y - gy) ** 2 + (z - gz) ** 2)
        # About the first point, so that a cloud far from the origin loses no digits.
        if count == 0:
            ox, oy, oz = x, y, z
        count += 1
        x, y, z, gx, gy, gz = x - ox, y - oy, z - oz, gx - ox, gy - oy, gz - oz
        first[0] += x
        first[1] += y
        first[2] += z
        second[0] += gx
        second[1] += gy
        second[2] += gz
        product[0, 0] += gx * x
        product[0, 1] += gx * y
        product[0, 2] += gx * z
        product[1, 0] += gy * x
        product[1, 1] += gy * y
        product[1, 2] += gy * z
        product[2, 0] += gz * x
        product[2, 1] += gz * y
        product[2, 2] += gz * z
    if count == 0:
        return count, first, second, product, distance
    origin = np.array([ox, oy, oz])
    first /= count
    second /= count
    for i in range(3):
        for j in range(3):
            product[i, j] -= count * second[i] * first[j]
    return count, first + origin, second + origin, product, distance
