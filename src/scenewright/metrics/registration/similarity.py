"""Similarity transforms x -> s R x + t in float64, and the least-squares fits that produce them.

Fit of paired points: Kabsch (rotation) and Umeyama (with scale), reflections excluded by the sign of the
determinant. All arrays are NumPy float64: registration is a CPU algorithm around a k-d tree.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

__all__ = ["Similarity", "fit_moments", "fit_similarity", "nearest_rotation"]

# The axis has no name: functions here take two clouds of different sizes.
Points = Float[np.ndarray, "_ 3"]


@dataclass(frozen=True)
class Similarity:
    """x -> scale * rotation @ x + translation. `rotation` is proper (determinant +1)."""

    rotation: Float[np.ndarray, "3 3"] = field(default_factory=lambda: np.eye(3))
    translation: Float[np.ndarray, "3"] = field(default_factory=lambda: np.zeros(3))
    scale: float = 1.0

    def __call__(self, points: Points) -> Points:
        return points @ (self.scale * self.rotation).T + self.translation

    def __matmul__(self, other: "Similarity") -> "Similarity":
        """The transform that applies `other` first."""
        return Similarity(
            self.rotation @ other.rotation,
            self.scale * (self.rotation @ other.translation) + self.translation,
            self.scale * other.scale,
        )

    def inverse(self) -> "Similarity":
        """The transform that undoes this one; the scale must not be zero."""
        back = self.rotation.T
        return Similarity(back, -(back @ self.translation) / self.scale, 1 / self.scale)

    @property
    def matrix(self) -> Float[np.ndarray, "4 4"]:
        matrix = np.eye(4)
        matrix[:3, :3] = self.scale * self.rotation
        matrix[:3, 3] = self.translation
        return matrix


def nearest_rotation(matrix: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """The proper rotation nearest to `matrix` in the Frobenius norm."""
    u, _, vt = np.linalg.svd(matrix)
    return u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt)) or 1.0]) @ vt


def fit_similarity(source: Points, target: Points, *, estimate_scale: bool = False) -> Similarity:
    """The rigid (or similarity) transform that minimises the mean squared distance of paired points.

    Degenerate pairs (one point, a line) give a finite answer with the undetermined part left to the SVD's choice.
    """
    source_mean, target_mean = source.mean(0), target.mean(0)
    centred_source, centred_target = source - source_mean, target - target_mean
    variance = float(np.square(centred_source).sum()) if estimate_scale else None
    return fit_moments(source_mean, target_mean, centred_target.T @ centred_source, variance)


def fit_moments(
    source_mean: Float[np.ndarray, "3"],
    target_mean: Float[np.ndarray, "3"],
    covariance: Float[np.ndarray, "3 3"],
    variance: float | None = None,
) -> Similarity:
    """The fit of `fit_similarity` from the sums it needs, for callers that have them.

    Args:
        covariance: sum over the pairs of (target - mean) (source - mean)^T.
        variance: sum over the pairs of |source - mean|^2; None keeps the scale at 1.
    """
    u, singular, vt = np.linalg.svd(covariance)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt)) or 1.0])
    rotation = (u * signs) @ vt
    scale = 1.0
    if variance is not None:
        fitted = float((singular * signs).sum() / variance) if variance > 0 else 1.0
        scale = fitted if fitted > 0 else 1.0
    return Similarity(rotation, target_mean - scale * (rotation @ source_mean), scale)
