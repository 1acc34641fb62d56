"""Boxes of furniture from distances alone, without a network: what hangs together in front of floor and walls.

Neighbouring pixels belong together where their points are near; a piece's box is the upright one of least area around
its points, reaches down to the floor where it nearly does, and back to a wall that it nearly touches.

Legend: H, W panorama size, N points, C corners of the floor. Frame: world around the camera, z up, metres.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from scenewright.data.room_shell import polygon_contains
from scenewright.systems.inspace.box_decoding import FoundBoxes
from scenewright.systems.inspace.room_frame import depth_points

__all__ = ["PieceSettings", "pieces"]


@dataclass(frozen=True)
class PieceSettings:
    """Lengths in metres; chosen on made rooms (docs/mini.md).

    Attributes:
        wall: what is nearer than this to a wall belongs to it.
        gap, gap_pixels: neighbouring points farther apart than `gap` and so many pixels' widths are of two pieces.
        reach: a box's side nearer than this to floor or wall extends to it.
        overlap: pieces whose boxes share this much of the smaller are one.
    """

    floor: float = 0.03
    ceiling: float = 0.08
    wall: float = 0.06
    gap: float = 0.05
    gap_pixels: float = 4.0
    reach: float = 0.15
    overlap: float = 0.6
    min_pixels: int = 40
    min_side: float = 0.05


def pieces(
    distance_m: Float[Tensor, "H W"],
    floor_m: float,
    ceiling_m: float,
    polygon: Float[np.ndarray, "C 2"],
    settings: PieceSettings = PieceSettings(),
) -> FoundBoxes:
    """Boxes by falling number of pixels, which is their score (as a share of the largest's).

    Args:
        floor_m, ceiling_m: heights over the camera.
        polygon: floor corners around the camera; may be empty.
    """
    points = depth_points(distance_m).numpy()
    known = (torch.isfinite(distance_m) & (distance_m > 0)).numpy()
    is_front = known & (points[..., 2] > floor_m + settings.floor) & (points[..., 2] < ceiling_m - settings.ceiling)
    if len(polygon):
        is_front[is_front] = _depth_inside(points[is_front][:, :2], polygon) > settings.wall
    labels = _connected(points, distance_m.numpy(), is_front, settings)
    clouds = [points[labels == label] for label in range(labels.max() + 1)]
    clouds = [cloud for cloud in clouds if len(cloud) >= settings.min_pixels]
    clouds = _merged(clouds, settings)
    boxes = [_box(cloud, floor_m, polygon, settings) for cloud in clouds]
    order = sorted(range(len(boxes)), key=lambda k: -len(clouds[k]))
    kept = [k for k in order if min(boxes[k][3:5]) >= settings.min_side]
    largest = max((len(clouds[k]) for k in kept), default=1)
    return FoundBoxes(
        torch.tensor([boxes[k] for k in kept], dtype=torch.float32).reshape(-1, 7),
        torch.tensor([len(clouds[k]) / largest for k in kept], dtype=torch.float32),
    )


def _depth_inside(points: Float[np.ndarray, "N 2"], corners: Float[np.ndarray, "C 2"]) -> Float[np.ndarray, " N"]:
    """Distance to the nearest wall of an axis-parallel polygon, negative outside."""
    nearest = np.full(len(points), np.inf)
    for start, end in zip(corners, np.roll(corners, -1, 0), strict=True):
        low, high = np.minimum(start, end), np.maximum(start, end)
        away = np.maximum(np.maximum(low - points, points - high), 0)
        nearest = np.minimum(nearest, np.hypot(away[:, 0], away[:, 1]))
    return np.where(polygon_contains(corners, points), nearest, -nearest)


def _connected(
    points: Float[np.ndarray, "H W 3"],
    distance: Float[np.ndarray, "H W"],
    is_front: Bool[np.ndarray, "H W"],
    settings: PieceSettings,
) -> np.ndarray:
    """Number of every pixel's piece, -1 for background."""
    height, width = is_front.shape
    numbers = np.arange(height * width).reshape(height, width)
    pairs = []
    pixel = math.pi / height
    for axis in (0, 1):
        other = np.roll(points, -1, axis)
        both = is_front & np.roll(is_front, -1, axis)
        if axis == 0:
            both[-1] = False
        near = np.linalg.norm(other - points, axis=-1) < settings.gap + settings.gap_pixels * pixel * distance
        pairs.append(np.stack([numbers[both & near], np.roll(numbers, -1, axis)[both & near]]))
    rows, columns = np.concatenate(pairs, 1)
    graph = coo_matrix((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(height * width,) * 2)
    found = connected_components(graph, directed=False)[1]
    labels = np.full(height * width, -1)
    labels[is_front.ravel()] = np.unique(found[is_front.ravel()], return_inverse=True)[1]
    return labels.reshape(height, width)


def _merged(clouds: list[np.ndarray], settings: PieceSettings) -> list[np.ndarray]:
    """Pieces of one object that something in front divides: boxes that lie in one another."""
    clouds = sorted(clouds, key=len, reverse=True)
    merged: list[np.ndarray] = []
    for cloud in clouds:
        low, high = cloud.min(0), cloud.max(0)
        for k, other in enumerate(merged):
            shared = np.clip(np.minimum(high, other.max(0)) - np.maximum(low, other.min(0)), 0, None)
            if (shared / np.maximum(high - low, 1e-3)).prod() > settings.overlap:
                merged[k] = np.concatenate([other, cloud])
                break
        else:
            merged.append(cloud)
    return merged


def _box(
    cloud: Float[np.ndarray, "N 3"], floor_m: float, polygon: Float[np.ndarray, "C 2"], settings: PieceSettings
) -> list[float]:
    """The upright box around points, without the outermost half per cent of each side."""
    best, best_area = (0.0, np.zeros(2), np.zeros(2)), np.inf
    for yaw in np.radians(np.arange(0, 90, 3)):
        c, s = math.cos(yaw), math.sin(yaw)
        flat = np.column_stack([c * cloud[:, 0] + s * cloud[:, 1], c * cloud[:, 1] - s * cloud[:, 0]])
        low, high = np.quantile(flat, (0.005, 0.995), axis=0)
        area = float((high - low + 0.02).prod())
        # Most furniture stands along the walls: another heading must be clearly tighter.
        if area < best_area * (0.85 if best_area < np.inf and best[0] == 0.0 else 1.0):
            best, best_area = (float(yaw), low, high), area
    yaw, low, high = best
    bottom, top = np.quantile(cloud[:, 2], (0.005, 0.995))
    if bottom - floor_m < 2 * settings.reach:
        bottom = floor_m
    if yaw == 0.0 and len(polygon):
        low, high = _to_walls(low, high, polygon, settings.reach)
    middle, size = (low + high) / 2, high - low
    c, s = math.cos(yaw), math.sin(yaw)
    return [
        float(c * middle[0] - s * middle[1]),
        float(s * middle[0] + c * middle[1]),
        float((bottom + top) / 2),
        float(size[0]),
        float(size[1]),
        float(top - bottom),
        yaw,
    ]


def _to_walls(
    low: np.ndarray, high: np.ndarray, polygon: Float[np.ndarray, "C 2"], reach: float
) -> tuple[np.ndarray, np.ndarray]:
    low, high = low.copy(), high.copy()
    for start, end in zip(polygon, np.roll(polygon, -1, 0), strict=True):
        across = 0 if abs(start[0] - end[0]) < 1e-6 else 1
        along = 1 - across
        first, last = sorted((start[along], end[along]))
        if min(high[along], last) <= max(low[along], first):
            continue
        wall = float(start[across])
        if 0 < low[across] - wall < reach:
            low[across] = wall
        if 0 < wall - high[across] < reach:
            high[across] = wall
    return low, high
