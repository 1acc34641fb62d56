"""Chamfer distance, F-score, accuracy and completeness of sampled surfaces, and the cube normalisations around them.

Definitions (SceneGen and MIDI evaluation code, I-Scene supplement; the same formulas in all three):

    CD = mean_p min_g |p - g|^2 + mean_g min_p |g - p|^2          squared distances, sum of both directions
    F  = 2 P R / (P + R + 1e-8),  P = share of p with min_g |p - g| < tau,  R the same for g        plain distances

Accuracy is mean_p min_g |p - g| and completeness mean_g min_p |g - p|, plain distances (Jensen et al. 2014, DTU).
CD-S and F-S are these of whole aligned scenes, CD-O and F-O of single objects in their own cube. Chamfer distance:
Fan et al. 2017; F-score of surfaces: Knapitsch et al. 2017.

Legend: N predicted points p, M ground-truth points g.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.errors import InputError
from scenewright.metrics.nearest import mutual_distances

__all__ = ["CloudDistances", "cloud_distances", "normalize_isotropic", "normalize_per_axis"]

_F_SCORE_EPSILON = 1e-8


@dataclass(frozen=True)
class CloudDistances:
    """Nearest-neighbour distances of two clouds in both directions; every cloud metric follows from them."""

    to_truth: Float[Tensor, " N"]
    to_prediction: Float[Tensor, " M"]

    @property
    def chamfer_to_truth(self) -> float:
        """mean_p min_g |p - g|^2 (SceneGen's scene_cd_1)."""
        return _mean(self.to_truth.double().square())

    @property
    def chamfer_to_prediction(self) -> float:
        """mean_g min_p |g - p|^2 (SceneGen's scene_cd_2)."""
        return _mean(self.to_prediction.double().square())

    @property
    def chamfer(self) -> float:
        """mean_p min_g |p - g|^2 + mean_g min_p |g - p|^2 (Fan et al. 2017, with means; SceneGen's CD-S and CD-O)."""
        return self.chamfer_to_truth + self.chamfer_to_prediction

    @property
    def accuracy(self) -> float:
        """mean_p min_g |p - g|, in the points' unit (Jensen et al. 2014)."""
        return _mean(self.to_truth.double())

    @property
    def completeness(self) -> float:
        """mean_g min_p |g - p|, in the points' unit (Jensen et al. 2014)."""
        return _mean(self.to_prediction.double())

    def precision(self, threshold: float) -> float:
        """Share of predicted points strictly nearer than `threshold` to the truth."""
        return _mean((self.to_truth < threshold).double())

    def recall(self, threshold: float) -> float:
        """Share of true points strictly nearer than `threshold` to the prediction."""
        return _mean((self.to_prediction < threshold).double())

    def fscore(self, threshold: float) -> float:
        """2 P R / (P + R + 1e-8), in [0, 1]; tables print it times 100 (Knapitsch et al. 2017; F-S and F-O)."""
        precision, recall = self.precision(threshold), self.recall(threshold)
        return 2 * precision * recall / (precision + recall + _F_SCORE_EPSILON)


def cloud_distances(prediction: Float[Tensor, "N 3"], truth: Float[Tensor, "M 3"]) -> CloudDistances:
    """Both directions of nearest distances between two clouds given in one frame.

    Raises:
        InputError: a cloud is empty or not finite.
    """
    return CloudDistances(*mutual_distances(prediction, truth))


def normalize_per_axis(points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """Points stretched so that every axis spans [-0.95, 0.95] on its own: the object cube of MIDI and SceneGen.

    A flat axis maps to -0.95. Aspect ratios are lost, so a wrong proportion is invisible after this.
    """
    low, high = _bounds(points)
    extent = high - low
    return 1.9 * (points - low) / torch.where(extent == 0, torch.ones_like(extent), extent) - 0.95


def normalize_isotropic(points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """Points with the centre of their box at 0 and its longest side scaled to [-1, 1].

    A cloud of one place (no extent) is only centred.
    """
    low, high = _bounds(points)
    longest = (high - low).amax()
    scale = 2 / longest if longest > 0 else torch.ones_like(longest)
    return (points - (low + high) / 2) * scale


def _mean(values: Tensor) -> float:
    # NumPy adds in one order; PyTorch's order, and so the last digit, depends on the number of threads.
    return float(values.numpy().mean()) if values.device.type == "cpu" else float(values.mean())


def _bounds(points: Tensor) -> tuple[Tensor, Tensor]:
    if len(points) == 0:
        raise InputError("Expected at least one point to normalise, got none; score empty objects as missing.")
    return points.amin(0), points.amax(0)
