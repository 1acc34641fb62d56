"""The slow twin of the lattice."""

import numpy as np
from scipy.spatial.distance import cdist

from scenewright.metrics.registration.filterreg import GaussianSums, Points

__all__ = ["dense_gaussian_sums"]


def dense_gaussian_sums(source: Points, target: Points, sigma: float) -> GaussianSums:
    """The exact Gaussian sums, O(n m)."""
    m0, m1 = np.empty(len(source)), np.empty((len(source), 3))
    for start in range(0, len(source), 256):
        rows = slice(start, start + 256)
        weight = np.exp(cdist(source[rows], target, "sqeuclidean") / (-2 * sigma**2))
        m0[rows], m1[rows] = weight.sum(1), weight @ target
    return GaussianSums(m0, m1, len(target))
