"""Detection of furniture boxes in a room: IoU four ways, precision and recall as InSpace scores them.

Boxes are rows (centre x y z, full extents x y z, yaw about z). IoU takes a box as it stands or the axis-aligned box of
the same extents (yaw ignored), in 3-D or from above. Each prediction, best first, looks only at the truth it overlaps
most; it counts where their IoU reaches the threshold and that truth is still free.
Source: naver/inspace eval/stage1/bbox_inference_centerpoint_obb.py.

Legend: A predicted boxes, B true boxes, K thresholds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from scenewright.metrics.boxes import convex_intersection

__all__ = ["BoxMatch", "DetectionScore", "IouKind", "box_iou", "detection_score", "match_best"]

IouKind = Literal["aabb3d", "aabb2d", "obb3d", "obb2d"]
# Boxes without an area share rounding noise at most.
_SMALLEST_UNION = 1e-12


@dataclass(frozen=True)
class BoxMatch:
    """A prediction that found a truth, with how far off it is; lengths in cube units, yaw in radians, [0, pi]."""

    predicted: int
    true: int
    iou: float
    center_error: float
    size_error: float
    yaw_error: float


@dataclass(frozen=True)
class DetectionScore:
    """Counts of a set of rooms at one threshold; ratios without boxes are 0."""

    hits: int
    predicted: int
    true: int

    @property
    def precision(self) -> float:
        return self.hits / max(self.predicted, 1)

    @property
    def recall(self) -> float:
        return self.hits / max(self.true, 1)

    @property
    def f1(self) -> float:
        return 2 * self.hits / max(self.predicted + self.true, 1)


def box_iou(
    predicted: Float[np.ndarray, "A 7"], true: Float[np.ndarray, "B 7"], kind: IouKind = "obb3d"
) -> Float[np.ndarray, "A B"]:
    """IoU of every prediction with every truth."""
    predicted, true = predicted.astype(np.float64), true.astype(np.float64)
    if kind.startswith("aabb"):
        shared = _common(predicted, true, 0) * _common(predicted, true, 1)
    else:
        corners = [[_footprint(box) for box in boxes] for boxes in (predicted, true)]
        shared = np.array([[convex_intersection(a, b) for b in corners[1]] for a in corners[0]])
        shared = shared.reshape(len(predicted), len(true))
    volumes = [boxes[:, 3] * boxes[:, 4] for boxes in (predicted, true)]
    if kind.endswith("3d"):
        shared = shared * _common(predicted, true, 2)
        volumes = [volume * boxes[:, 5] for volume, boxes in zip(volumes, (predicted, true), strict=True)]
    union = volumes[0][:, None] + volumes[1] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > _SMALLEST_UNION)


def match_best(
    predicted: Float[np.ndarray, "A 7"], true: Float[np.ndarray, "B 7"], iou: Float[np.ndarray, "A B"], threshold: float
) -> list[BoxMatch]:
    """The predictions of one room that find a truth.

    Args:
        predicted: by falling confidence.
        iou: of `box_iou`.
    """
    matches: list[BoxMatch] = []
    taken: set[int] = set()
    for a in range(len(predicted) if len(true) else 0):
        b = int(iou[a].argmax())
        if iou[a, b] >= threshold and b not in taken:
            taken.add(b)
            offset = predicted[a].astype(np.float64) - true[b]
            turn = abs(math.remainder(offset[6], 2 * math.pi))
            center, size = float(np.linalg.norm(offset[:3])), float(np.abs(offset[3:6]).mean())
            matches.append(BoxMatch(a, b, float(iou[a, b]), center, size, turn))
    return matches


def detection_score(
    rooms: Sequence[tuple[Float[np.ndarray, "_ 7"], Float[np.ndarray, "_ 7"]]], kind: IouKind, threshold: float
) -> DetectionScore:
    """Counts over rooms, given as (predictions by falling confidence, truths)."""
    hits = sum(len(match_best(a, b, box_iou(a, b, kind), threshold)) for a, b in rooms)
    return DetectionScore(hits, sum(len(a) for a, _ in rooms), sum(len(b) for _, b in rooms))


def _common(predicted: np.ndarray, true: np.ndarray, axis: int) -> np.ndarray:
    low = [boxes[:, axis] - boxes[:, 3 + axis] / 2 for boxes in (predicted, true)]
    high = [boxes[:, axis] + boxes[:, 3 + axis] / 2 for boxes in (predicted, true)]
    return (np.minimum(high[0][:, None], high[1]) - np.maximum(low[0][:, None], low[1])).clip(min=0)


def _footprint(box: Float[np.ndarray, " 7"]) -> Float[np.ndarray, "4 2"]:
    c, s = math.cos(box[6]), math.sin(box[6])
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) * box[3:5]
    return corners @ np.array([[c, s], [-s, c]]) + box[:2]
