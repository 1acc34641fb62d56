"""Scores of a reconstructed place against its measured surface, in metres: distances, F-scores, normal consistency.

Surfaces are sampled evenly by area. Chamfer is half the sum of both mean distances; the F-score is given both as the
arithmetic mean of precision and recall, which GenRecon's figures are, and as the harmonic one (Knapitsch et al. 2017).
Normal consistency is mean |n . n'| over nearest neighbours both ways; pairs farther apart than 20 cm count 0.
Source: GenRecon (arXiv 2605.23888), evaluation.

Legend: N points of the prediction, M of the truth. Frame: one world for both, metres.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenewright.geometry.mesh.area_vectors import area_vectors
from scenewright.geometry.mesh.sample import sample_faces
from scenewright.metrics.nearest import nearest_neighbours
from scenewright.types import Mesh

__all__ = ["SurfaceSamples", "SurfaceScores", "sampled_surface", "surface_scores"]

NUM_SAMPLES = 200_000
THRESHOLDS_M = (0.05, 0.10)
_MAX_NORMAL_DISTANCE_M = 0.20


@dataclass(frozen=True)
class SurfaceSamples:
    """Points of a surface with the unit normals of their faces, and those faces."""

    points: Float[Tensor, "N 3"]
    normals: Float[Tensor, "N 3"]
    faces: Int[Tensor, " N"]

    def chosen(self, kept: Bool[Tensor, " N"]) -> "SurfaceSamples":
        return SurfaceSamples(self.points[kept], self.normals[kept], self.faces[kept])


@dataclass(frozen=True)
class SurfaceScores:
    """Scores of one place; precision, recall and F by threshold in metres.

    `normals_there` and `normals_back` are the agreement of normals from the prediction to the truth and back.
    """

    chamfer_m: float
    accuracy_m: float
    completeness_m: float
    precision: dict[float, float]
    recall: dict[float, float]
    normals_there: float
    normals_back: float

    @property
    def normal_consistency(self) -> float:
        return (self.normals_there + self.normals_back) / 2

    def f_arithmetic(self, threshold_m: float) -> float:
        return (self.precision[threshold_m] + self.recall[threshold_m]) / 2

    def f_harmonic(self, threshold_m: float) -> float:
        precision, recall = self.precision[threshold_m], self.recall[threshold_m]
        return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def sampled_surface(mesh: Mesh, *, num_points: int = NUM_SAMPLES, seed: int = 0) -> SurfaceSamples:
    """Points spread evenly by area over a mesh; none where it has no area."""
    vertices, faces = mesh.vertices.double().cpu().numpy(), mesh.faces.long().cpu().numpy()
    points, face = sample_faces(vertices, faces, num_points, np.random.default_rng(seed))
    normals = area_vectors(vertices[faces[face]])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    return SurfaceSamples(torch.from_numpy(points), torch.from_numpy(normals), torch.from_numpy(face))


def surface_scores(prediction: SurfaceSamples, truth: SurfaceSamples) -> SurfaceScores:
    """The scores of two sampled surfaces, precision and recall at `THRESHOLDS_M`.

    Raises:
        InputError: one of them has no point.
    """
    to_truth, of_truth = nearest_neighbours(prediction.points, truth.points)
    to_prediction, of_prediction = nearest_neighbours(truth.points, prediction.points)
    there = _agreement(prediction.normals, truth.normals[of_truth.long()], to_truth)
    back = _agreement(truth.normals, prediction.normals[of_prediction.long()], to_prediction)
    accuracy, completeness = float(to_truth.mean()), float(to_prediction.mean())
    return SurfaceScores(
        chamfer_m=(accuracy + completeness) / 2,
        accuracy_m=accuracy,
        completeness_m=completeness,
        precision={limit: float((to_truth < limit).double().mean()) for limit in THRESHOLDS_M},
        recall={limit: float((to_prediction < limit).double().mean()) for limit in THRESHOLDS_M},
        normals_there=there,
        normals_back=back,
    )


def _agreement(first: Tensor, second: Tensor, distance: Tensor) -> float:
    cosine = (first * second).sum(1).abs()
    return float(torch.where(distance <= _MAX_NORMAL_DISTANCE_M, cosine, 0.0).mean())
