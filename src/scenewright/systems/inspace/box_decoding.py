"""Boxes from the dense outputs of the box network: peaks of the heat map, then non-maximum suppression.

A peak equals the maximum of a window of 7^3 voxels around it, so every voxel of a plateau is one. Suppression compares
axis-aligned boxes and ignores the yaw, as published. Ties go to the lower voxel index, which makes results repeatable.
Source: naver/inspace trellis2/models/bbox_centerpoint.py.

Legend: N boxes. Boxes are rows (centre x y z, full extents x y z, yaw) in the cube.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from scenewright.systems.inspace.box_network import DenseBoxes, yaw_bin_centers

__all__ = ["BoxDecoding", "FoundBoxes", "decode_boxes", "suppress_overlaps"]

_IOU_EPSILON = 1e-8


@dataclass(frozen=True)
class BoxDecoding:
    """Thresholds; the published ones are the defaults."""

    score: float = 0.3
    window: int = 7
    iou: float = 0.3
    max_boxes: int = 50


@dataclass(frozen=True)
class FoundBoxes:
    """Boxes of one room by falling score."""

    boxes: Float[Tensor, "N 7"]
    scores: Float[Tensor, " N"]


@torch.no_grad()
def decode_boxes(dense: DenseBoxes, settings: BoxDecoding | None = None) -> list[FoundBoxes]:
    """The boxes of every room; a room may have none."""
    settings = settings or BoxDecoding()
    heat = dense.heat
    highest = F.max_pool3d(heat, settings.window, stride=1, padding=settings.window // 2)
    is_peak = (heat == highest) & (heat >= settings.score)
    return [_decode_room(dense, heat, is_peak, room, settings) for room in range(len(heat))]


def _decode_room(dense: DenseBoxes, heat: Tensor, is_peak: Tensor, room: int, settings: BoxDecoding) -> FoundBoxes:
    index = is_peak[room, 0].nonzero()
    scores = heat[room, 0][tuple(index.T)]
    order = scores.argsort(descending=True, stable=True)[: 3 * settings.max_boxes]
    index, scores = index[order], scores[order]

    def at(values: Tensor) -> Float[Tensor, "N C"]:
        return values[room][:, index[:, 0], index[:, 1], index[:, 2]].T

    centers = (index + 0.5 + at(dense.offset)) / heat.shape[-1] - 0.5
    boxes = torch.cat([centers, at(dense.size), _yaw(at(dense.yaw_bin_logits), at(dense.yaw_residual))[:, None]], 1)
    kept = suppress_overlaps(boxes, settings.iou)[: settings.max_boxes]
    return FoundBoxes(boxes[kept], scores[kept])


def _yaw(logits: Float[Tensor, "N K"], residuals: Float[Tensor, "N K"]) -> Float[Tensor, " N"]:
    """Centre of the likeliest bin (the first of equals) plus half a bin times tanh(its residual), in [-pi, pi)."""
    count = logits.shape[1]
    chosen = (logits == logits.amax(1, keepdim=True)).int().argmax(1)
    residual = residuals.gather(1, chosen[:, None])[:, 0]
    yaw = yaw_bin_centers(count).to(logits)[chosen] + math.pi / count * residual.tanh()
    return torch.remainder(yaw + math.pi, 2 * math.pi) - math.pi


def suppress_overlaps(boxes: Float[Tensor, "N 7"], iou: float) -> list[int]:
    """Rows that stay when each box, best first, removes later ones that overlap it by more than `iou`."""
    low, high = boxes[:, :3] - boxes[:, 3:6] / 2, boxes[:, :3] + boxes[:, 3:6] / 2
    shared = (torch.minimum(high[:, None], high) - torch.maximum(low[:, None], low)).clamp(min=0).prod(-1)
    volume = boxes[:, 3:6].prod(-1)
    overlaps = (shared / (volume[:, None] + volume - shared + _IOU_EPSILON) > iou).tolist()
    kept: list[int] = []
    for row in range(len(boxes)):
        if not any(overlaps[better][row] for better in kept):
            kept.append(row)
    return kept
