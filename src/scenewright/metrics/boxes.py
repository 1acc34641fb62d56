"""Boxes of objects: axis-aligned IoU (IoU-B, IoU-O), oriented layout IoU, and average precision of boxes.

Axis-aligned: IoU = inter / (union + 1e-8) of the boxes around the points (SceneGen, MIDI and I-Scene evaluation).
Oriented: boxes may turn about the up axis only; the volume of the intersection is the area of the intersected
footprints times the common height. Average precision follows PASCAL VOC 2010 (area under the monotone
precision-recall curve) with one class and 3D IoU.

Frame: z up. Legend: A predicted boxes, B true boxes, N points.
"""

import numpy as np
import scipy
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scenewright.errors import InputError
from scenewright.types import OrientedBox

__all__ = [
    "aabb_iou",
    "average_precision",
    "bounds_of",
    "convex_intersection",
    "fit_oriented_box",
    "layout_iou",
    "match_detections",
]

_IOU_EPSILON = 1e-8


def bounds_of(points: Float[Tensor, "N 3"]) -> Float[Tensor, "2 3"]:
    """Low and high corner of the axis-aligned box around the points.

    Raises:
        InputError: there is no point.
    """
    if len(points) == 0:
        raise InputError("Expected at least one point to bound, got none; score empty objects as missing.")
    return torch.stack([points.amin(0), points.amax(0)])


def aabb_iou(first: Float[Tensor, "2 3"], second: Float[Tensor, "2 3"]) -> float:
    """inter / (union + 1e-8) of the volumes of two axis-aligned boxes (low, high).

    IoU-B of SceneGen and MIDI (per asset) and of I-Scene (whole scenes), IoU-O of I-Scene (per object).
    """
    first, second = first.double(), second.double()
    shared = torch.minimum(first[1], second[1]) - torch.maximum(first[0], second[0])
    inter = shared.clamp_min(0).prod()
    union = (first[1] - first[0]).prod() + (second[1] - second[0]).prod() - inter
    return float(inter / (union + _IOU_EPSILON))


def fit_oriented_box(points: Float[Tensor, "N 3"]) -> OrientedBox:
    """The upright box around the points whose footprint has the smallest area (one side lies on the hull).

    Yaw is in [-pi/4, pi/4): a box says nothing about which side is the front.
    """
    low, high = bounds_of(points).double().numpy()
    ground = points[:, :2].detach().double().cpu().numpy()
    try:
        hull = ground[scipy.spatial.ConvexHull(ground).vertices]
        edges = np.roll(hull, -1, axis=0) - hull
        yaws = np.unique(np.mod(np.arctan2(edges[:, 1], edges[:, 0]) + np.pi / 4, np.pi / 2) - np.pi / 4)
    except (scipy.spatial.QhullError, ValueError):  # fewer than three points, or all on one line
        hull, yaws = ground, np.zeros(1)
    best: tuple | None = None
    for yaw in yaws:
        c, s = np.cos(yaw), np.sin(yaw)
        turned = hull @ np.array([[c, -s], [s, c]])
        lo, hi = turned.min(0), turned.max(0)
        # Ties (an axis-aligned box has four) go to the smallest turn.
        key = (round(float(np.prod(hi - lo)), 12), abs(float(yaw)))
        if best is None or key < best[0]:
            best = (key, float(yaw), lo, hi, np.array([[c, s], [-s, c]]))
    assert best is not None
    _, yaw, lo, hi, back = best
    centre = (lo + hi) / 2 @ back
    return OrientedBox(
        (float(centre[0]), float(centre[1]), float((low[2] + high[2]) / 2)),
        (float(hi[0] - lo[0]), float(hi[1] - lo[1]), float(high[2] - low[2])),
        yaw,
    )


def layout_iou(first: OrientedBox, second: OrientedBox) -> float:
    """IoU of two upright boxes (3D IoU of SUN RGB-D, Song et al. 2015); moving and turning both does not change it."""
    low = max(first.centre[2] - first.size[2] / 2, second.centre[2] - second.size[2] / 2)
    high = min(first.centre[2] + first.size[2] / 2, second.centre[2] + second.size[2] / 2)
    if high <= low:
        return 0.0
    inter = convex_intersection(first.footprint(), second.footprint()) * (high - low)
    return inter / (first.volume + second.volume - inter + _IOU_EPSILON)


def convex_intersection(subject: Float[np.ndarray, "N 2"], clip: Float[np.ndarray, "M 2"]) -> float:
    """Area shared by two convex polygons with counter-clockwise corners (Sutherland-Hodgman clipping)."""
    polygon = [np.asarray(p, float) for p in subject]
    for start, end in zip(clip, np.roll(clip, -1, axis=0), strict=True):
        edge = end - start
        sides = [edge[0] * (p[1] - start[1]) - edge[1] * (p[0] - start[0]) for p in polygon]
        clipped = []
        for i in range(len(polygon)):
            here, there, side, other = polygon[i - 1], polygon[i], sides[i - 1], sides[i]
            if (side >= 0) != (other >= 0):
                clipped.append(here + (there - here) * (side / (side - other)))
            if other >= 0:
                clipped.append(there)
        polygon = clipped
        if len(polygon) < 3:
            return 0.0
    x, y = np.array(polygon).T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def match_detections(
    iou: Float[np.ndarray, "A B"], confidences: Float[np.ndarray, " A"], threshold: float
) -> Bool[np.ndarray, " A"]:
    """Which detections of one scene are true.

    By falling confidence, each takes the free truth it overlaps most, if their IoU is at least `threshold`.
    """
    hit, free = np.zeros(iou.shape[0], bool), np.ones(iou.shape[1], bool)
    for index in np.argsort(-confidences, kind="stable"):
        candidates = np.where(free, iou[index], -1.0)
        if len(candidates) and candidates.max() >= threshold:
            hit[index], free[candidates.argmax()] = True, False
    return hit


def average_precision(hit: Bool[np.ndarray, " A"], confidences: Float[np.ndarray, " A"], num_truths: int) -> float:
    """Area under the monotone precision-recall curve, in [0, 1]; detections of all scenes pooled.

    AP = sum_k (r_k - r_(k-1)) max_(j >= k) p_j, precision p and recall r after the k most confident (Everingham et al.,
    PASCAL VOC 2010).

    Detections of equal confidence enter together, so the result does not depend on their order. Without truths it
    is 1 if there is no detection either, else 0.
    """
    if num_truths == 0:
        return float(len(hit) == 0)
    if len(hit) == 0:
        return 0.0
    order = np.argsort(-confidences, kind="stable")
    last_of_tie = np.append(np.diff(confidences[order]) != 0, True)
    true_positives = np.cumsum(hit[order])[last_of_tie]
    precision = true_positives / (np.flatnonzero(last_of_tie) + 1)
    recall = np.concatenate([[0.0], true_positives / num_truths])
    return float(np.diff(recall) @ np.maximum.accumulate(precision[::-1])[::-1])
