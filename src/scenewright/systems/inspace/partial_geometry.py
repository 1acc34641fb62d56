"""Partial scene geometry: the cells of the cube that a depth panorama shows to be occupied.

Published test rooms are cut with their true extent, centre and scale (`occupancy_in_known_room`); a user's panorama
has only itself (`occupancy_of_panorama`). Points are world axes around the camera, float64.
Source: naver/inspace data_toolkit/erp/step9_erp_depth_da2_to_voxels.py and demo/app_inspace_custom.py.

Legend: H, W panorama size, N points, V cells.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import scipy
import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.systems.inspace.room_frame import RoomFrame, depth_points

__all__ = [
    "PartialGeometry",
    "PointFilters",
    "depth_scale",
    "occupancy_in_known_room",
    "occupancy_of_panorama",
    "occupied_cells",
]

COARSE_RESOLUTION = 64
NEAREST_M = 0.01
# Cells further out than the cube are moved to its last cell.
_INSIDE = 0.5 - 1e-6
_MIN_POINTS = 100
_OUTLIER_NEIGHBOURS = 20


@dataclass(frozen=True)
class PartialGeometry:
    """Occupied cells in lexicographic order, the frame they are in, and how many points each filter left."""

    voxels: Int[Tensor, "V 3"]
    frame: RoomFrame
    camera: Float[Tensor, " 3"]
    """Position of the panorama in the cube."""
    counts: tuple[int, ...] = field(default=())


@dataclass(frozen=True)
class PointFilters:
    """Filters of a user's points, before the room's frame is taken from the rest; 0 or None turns a filter off.

    Attributes:
        max_distance_m: points further away are noise of the depth model.
        ceiling_cut_m: depth below the highest point that counts as ceiling; the networks expect rooms without one.
        yaw: turn of the points about the up axis, counter-clockwise seen from above, radians. The published demo does
            not turn the cube faces with them; `rolled` panoramas (see `panorama`) do.
        distance_cap_m: a second limit, after the turn.
        crop: low and high corner in world axes around the camera.
        outlier_ratio: points whose mean distance to 20 neighbours exceeds the mean by that many deviations are noise.
    """

    max_distance_m: float = 20.0
    ceiling_cut_m: float = 0.0
    yaw: float = 0.0
    distance_cap_m: float = 0.0
    crop: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None
    outlier_ratio: float = 0.0


def depth_scale(predicted_m: Float[Tensor, "height width"], true_m: Float[Tensor, "height width"]) -> tuple[float, int]:
    """Median of true over predicted distances, and over how many pixels; 1 where fewer than 100 have both."""
    both = (predicted_m > NEAREST_M) & torch.isfinite(predicted_m) & (true_m > 0.1) & (true_m < 20)
    count = int(both.sum())
    if count < _MIN_POINTS:
        return 1.0, count
    return float(np.median((true_m[both].double() / predicted_m[both].double()).numpy())), count


def occupied_cells(points: Float[Tensor, "N 3"], resolution: int = COARSE_RESOLUTION) -> Int[Tensor, "V 3"]:
    """Cells of the cube's grid that hold a point, lexicographic; points outside count to the border's cells."""
    return ((points.clamp(-_INSIDE, _INSIDE) + 0.5) * resolution).int().unique(dim=0)


def occupancy_in_known_room(
    distance_m: Float[Tensor, "height width"],
    camera: Float[Tensor, " 3"],
    bounds: Float[Tensor, "2 3"],
    frame: RoomFrame,
    *,
    ceiling_cut_m: float = 0.2,
    resolution: int = COARSE_RESOLUTION,
) -> PartialGeometry:
    """Occupied cells of a panorama whose room is known; nothing where fewer than 100 points remain.

    Args:
        distance_m: along the ray, already scaled (`depth_scale`).
        camera: its position in the world.
        bounds: low and high corner of the room in the world; only x and y are used.
    """
    points = _valid_points(distance_m, 50.0)
    counts = [len(points)]
    low, high = (bounds.double() - camera.double())[:, :2]
    points = points[((points[:, :2] >= low) & (points[:, :2] <= high)).all(1)]
    counts.append(len(points))
    points = _below_ceiling(points, ceiling_cut_m)
    counts.append(len(points))
    voxels = torch.zeros(0, 3, dtype=torch.int32)
    if len(points) >= _MIN_POINTS:
        voxels = occupied_cells(frame.to_cube(points + camera.double()), resolution)
    return PartialGeometry(voxels, frame, frame.to_cube(camera.double()), tuple(counts))


def occupancy_of_panorama(
    distance_m: Float[Tensor, "height width"],
    filters: PointFilters | None = None,
    *,
    resolution: int = COARSE_RESOLUTION,
) -> PartialGeometry:
    """Occupied cells of a panorama on its own, the camera at the world's origin; the points that remain set the frame.

    Raises:
        InputError: no point is left.
    """
    filters = filters or PointFilters()
    points = _valid_points(distance_m, filters.max_distance_m)
    counts = [len(points)]
    points = _below_ceiling(points, filters.ceiling_cut_m)
    counts.append(len(points))
    points = _turned(points, filters.yaw)
    if filters.distance_cap_m > 0:
        points = points[points.norm(dim=1) <= filters.distance_cap_m]
    counts.append(len(points))
    if filters.crop is not None:
        low, high = points.new_tensor(filters.crop)
        points = points[((points >= low) & (points <= high)).all(1)]
    counts.append(len(points))
    points = _without_outliers(points, filters.outlier_ratio)
    counts.append(len(points))
    frame = RoomFrame.around(points)
    voxels = occupied_cells(frame.to_cube(points), resolution)
    return PartialGeometry(voxels, frame, frame.to_cube(points.new_zeros(3)), tuple(counts))


def _valid_points(distance_m: Float[Tensor, "height width"], farthest_m: float) -> Float[Tensor, "N 3"]:
    valid = (distance_m > NEAREST_M) & (distance_m < farthest_m) & torch.isfinite(distance_m)
    return depth_points(distance_m)[valid]


def _below_ceiling(points: Float[Tensor, "N 3"], cut_m: float) -> Float[Tensor, "N2 3"]:
    if cut_m <= 0 or not len(points):
        return points
    return points[points[:, 2] < points[:, 2].max() - cut_m]


def _turned(points: Float[Tensor, "N 3"], yaw: float) -> Float[Tensor, "N 3"]:
    if not yaw:
        return points
    c, s = math.cos(yaw), math.sin(yaw)
    x, y, z = points.unbind(1)
    return torch.stack([c * x - s * y, s * x + c * y, z], 1)


def _without_outliers(points: Float[Tensor, "N 3"], ratio: float) -> Float[Tensor, "N2 3"]:
    if ratio <= 0 or len(points) <= _MIN_POINTS:
        return points
    distances = scipy.spatial.cKDTree(points.numpy()).query(points.numpy(), k=_OUTLIER_NEIGHBOURS + 1)[0][:, 1:].mean(1)
    return points[torch.from_numpy(distances < distances.mean() + ratio * distances.std())]
