"""Targets and loss of the box network.

A box marks the voxel of its centre (1 in the heat map) and a Gaussian around it; offset, size and yaw are learned at
that voxel, the yaw's bin also over the Gaussian. Source: naver/inspace
trellis2/trainers/bbox_estimation_centerpoint.py; focal loss of CornerNet (Law and Deng 2018).

Legend: N boxes, R grid side, B rooms, K yaw bins. Boxes as in `box_decoding`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.systems.inspace.box_network import DenseBoxes

__all__ = ["BoxLossWeights", "BoxTargets", "box_loss", "box_targets", "usable_boxes"]

MAX_TRAINED_BOXES = 30
_SMALLEST_SIDE = 0.005


@dataclass(frozen=True)
class BoxTargets:
    """Targets of one room; rows of `index` and everything after it belong to its boxes.

    Attributes:
        heat: 1 at centres, falling off as the highest Gaussian.
        dense_yaw: yaw of the box with the heaviest Gaussian at each voxel (the first of equals), 0 outside all.
        index: voxel of each centre; two boxes may share one.
        offset: from that voxel's centre, in voxels; beyond half a voxel where the centre lies outside the cube.
        yaw_residual: distance from the bin's centre over half a bin, in [-1, 1].
    """

    heat: Float[Tensor, "R R R"]
    dense_yaw: Float[Tensor, "R R R"]
    index: Int[Tensor, "N 3"]
    offset: Float[Tensor, "N 3"]
    size: Float[Tensor, "N 3"]
    yaw: Float[Tensor, " N"]
    yaw_bin: Int[Tensor, " N"]
    yaw_residual: Float[Tensor, " N"]


@dataclass(frozen=True)
class BoxLossWeights:
    """Factors of the loss terms; the published ones are the defaults."""

    heat: float = 1.0
    offset: float = 1.0
    size: float = 5.0
    yaw_bin: float = 2.0
    yaw_residual: float = 2.0
    dense_yaw: float = 1.0
    dense_threshold: float = 0.1


def usable_boxes(boxes: Float[Tensor, "N 7"]) -> Float[Tensor, "N2 7"]:
    """The boxes a room is trained with: the first 30 that have a side of 0.005 or more."""
    return boxes[~(boxes[:, 3:6] < _SMALLEST_SIDE).all(1)][:MAX_TRAINED_BOXES]


def box_targets(
    boxes: Float[Tensor, "N 7"],
    resolution: int = 64,
    *,
    sigmas: tuple[float, float] = (2.0, 4.0),
    num_yaw_bins: int = 12,
) -> BoxTargets:
    """Targets of one room's boxes.

    Args:
        sigmas: smallest and largest deviation of the Gaussian, in voxels; between them it is a third of the longest
            side. Its window is a cube of radius ceil(3 sigma).
    """
    position = (boxes[:, :3].double() + 0.5) * resolution
    index = (position - 0.5).round().clamp(0, resolution - 1)  # torch rounds halves to even, as the published code
    sigma = (boxes[:, 3:6].double().amax(1) * resolution / 3).clamp(*sigmas)
    heat, dense_yaw = _gaussians(index.numpy(), sigma.numpy(), boxes[:, 6].numpy(), resolution)
    turn = torch.remainder(boxes[:, 6].double() + math.pi, 2 * math.pi)
    width = 2 * math.pi / num_yaw_bins
    yaw_bin = _bins(boxes[:, 6], num_yaw_bins)
    return BoxTargets(
        torch.from_numpy(heat).float(),
        torch.from_numpy(dense_yaw).float(),
        index.int(),
        (position - index - 0.5).float(),
        boxes[:, 3:6],
        boxes[:, 6],
        yaw_bin.int(),
        ((turn - (yaw_bin + 0.5) * width) / (width / 2)).float(),
    )


def _gaussians(index: np.ndarray, sigma: np.ndarray, yaw: np.ndarray, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    heat = np.zeros((resolution,) * 3)
    dense_yaw = np.zeros((resolution,) * 3)
    axis = np.arange(resolution)
    for center, deviation, angle in zip(index, sigma, yaw, strict=True):
        radius = math.ceil(3 * deviation)
        near = [axis[np.abs(axis - c) <= radius] for c in center]
        squared = sum(np.ix_(*[(a - c) ** 2 for a, c in zip(near, center, strict=True)]))
        weight = np.exp(-squared / (2 * deviation**2))
        block = np.ix_(*near)
        is_heavier = weight > heat[block]  # strictly: the first of equals keeps its yaw
        heat[block] = np.where(is_heavier, weight, heat[block])
        dense_yaw[block] = np.where(is_heavier, angle, dense_yaw[block])
    return heat, dense_yaw


def box_loss(
    dense: DenseBoxes, targets: Sequence[BoxTargets], weights: BoxLossWeights | None = None
) -> dict[str, Float[Tensor, ""]]:
    """Terms by name, and their weighted sum as `loss`.

    The focal term is divided by the number of voxels that hold a centre (without one: by the number of rooms), the
    terms at centres by the number of boxes, the dense one by its total weight.
    """
    weights = weights or BoxLossWeights()
    device = dense.heat_logits.device
    heat = torch.stack([room.heat for room in targets]).to(device)
    room = torch.cat([torch.full((len(item.index),), b) for b, item in enumerate(targets)]).to(device)
    x, y, z = torch.cat([item.index for item in targets]).to(device).long().T

    def gathered(name: str) -> Tensor:
        return torch.cat([getattr(item, name) for item in targets]).to(device)

    def at_centers(values: Tensor) -> Float[Tensor, "N C"]:
        return values[room, :, x, y, z]

    count = max(len(room), 1)
    yaw_bin = gathered("yaw_bin").long()
    residual = at_centers(dense.yaw_residual).gather(1, yaw_bin[:, None])[:, 0].tanh()
    terms = {
        "heat": _focal(dense.heat_logits[:, 0], heat),
        "offset": (at_centers(dense.offset) - gathered("offset")).abs().sum() / count,
        "size": (at_centers(dense.size) - gathered("size")).abs().sum() / count,
        "yaw_bin": F.cross_entropy(at_centers(dense.yaw_bin_logits), yaw_bin, reduction="sum") / count,
        "yaw_residual": F.smooth_l1_loss(residual, gathered("yaw_residual"), reduction="sum") / count,
        "dense_yaw": _dense_yaw(dense.yaw_bin_logits, heat, targets, weights.dense_threshold),
    }
    return terms | {"loss": torch.stack([getattr(weights, name) * value for name, value in terms.items()]).sum()}


def _focal(logits: Float[Tensor, "B R R R"], heat: Float[Tensor, "B R R R"]) -> Float[Tensor, ""]:
    probability, is_center = logits.sigmoid(), heat == 1
    positive = -((1 - probability) ** 2) * F.logsigmoid(logits)
    negative = -((1 - heat) ** 4) * probability**2 * F.logsigmoid(-logits)
    num_centers = int(is_center.sum())
    return torch.where(is_center, positive, negative).sum() / (num_centers or len(logits))


def _dense_yaw(
    logits: Float[Tensor, "B K R R R"], heat: Float[Tensor, "B R R R"], targets: Sequence[BoxTargets], threshold: float
) -> Float[Tensor, ""]:
    """Cross-entropy of the bins where a Gaussian weighs more than the threshold, averaged by that weight."""
    near = heat > threshold
    if not bool(near.any()):
        return logits.sum() * 0
    yaw = torch.stack([room.dense_yaw for room in targets]).to(logits)[near]
    bins = _bins(yaw, logits.shape[1])
    entropy = F.cross_entropy(logits.movedim(1, -1)[near], bins, reduction="none")
    return (entropy * heat[near]).sum() / heat[near].sum()


def _bins(yaw: Float[Tensor, " N"], count: int) -> Int[Tensor, " N"]:
    turn = torch.remainder(yaw.double() + math.pi, 2 * math.pi)
    return (turn / (2 * math.pi / count)).floor().long().clamp(max=count - 1)
