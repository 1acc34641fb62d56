"""FilterReg, point-to-point and rigid, as SceneGen's evaluation runs it (probreg 0.3.8, no outlier weight).

Gao and Tedrake 2019: the E step is a Gaussian sum over the target (permutohedral lattice), the M step a Kabsch fit of
the source to the weighted means. The variance is the mean squared distance of all pairs, taken once and never
updated; so wide a kernel makes the method close to moment matching.

Legend: n source points, m target points.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scenewright.metrics.registration.icp import check_cloud
from scenewright.metrics.registration.permutohedral import GaussianSums, gaussian_sums
from scenewright.metrics.registration.similarity import Points, Similarity, fit_similarity

__all__ = [
    "FilterRegConfig",
    "FilterRegResult",
    "dense_gaussian_sums",
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
    sums: Callable[[Points, Points, float], GaussianSums] = gaussian_sums,
) -> FilterRegResult:
    """The loop behind `filterreg`; `sums(source, target, sigma)` is the E step (`dense_gaussian_sums` is exact)."""
    source, target = check_cloud("source", source), check_cloud("target", target)
    variance = mean_pair_variance(source, target)
    sigma = float(np.sqrt(variance))
    transform, objective, num_steps = Similarity(), np.inf, 0
    while num_steps < config.max_iterations:
        num_steps += 1
        moved = transform(source)
        step = sums(moved, target, sigma)
        kept = step.m0 != 0
        if not kept.any():
            break
        moved = moved[kept]
        goal = (step.m1[kept] / step.m0[kept, None]).astype(np.float64)
        transform = fit_similarity(moved, goal) @ transform
        previous, objective = objective, float(np.linalg.norm(moved - goal, axis=1).sum() / sigma)
        if abs(objective - previous) < config.tolerance:
            break
    return FilterRegResult(transform, num_steps, variance, objective)


def mean_pair_variance(source: Points, target: Points) -> float:
    """Mean of |x - y|^2 / 3 over all pairs, at least 1e-4; closed form, no n x m matrix."""
    mean_square = np.square(source).sum(1).mean() + np.square(target).sum(1).mean()
    return max(float(mean_square - 2 * source.mean(0) @ target.mean(0)) / 3, _MIN_VARIANCE)


def dense_gaussian_sums(source: Points, target: Points, sigma: float) -> GaussianSums:
    """The exact Gaussian sums, O(n m): the slow twin of the lattice, for comparison only."""
    m0, m1 = np.empty(len(source)), np.empty((len(source), 3))
    for start in range(0, len(source), 256):
        rows = slice(start, start + 256)
        squared = np.square(source[rows, None] - target[None]).sum(-1)
        weight = np.exp(-squared / (2 * sigma**2))
        m0[rows], m1[rows] = weight.sum(1), weight @ target
    return GaussianSums(m0, m1, len(target))
