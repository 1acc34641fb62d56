"""Cameras: single views that frame a group of objects, panorama positions in a room, and walks through it.

Ranges follow the public test scenes: single views with 40 to 60 degrees across, looking down by 10 to 34 degrees from
0.7 to 2.8 m; panoramas and walks at 1.2 to 1.8 m. Cameras are gravity aligned and never rolled.
Frame: world z up, cameras OpenCV.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.geometry.camera.cameras import intrinsics_from_fov, look_at
from scenewright.types import Camera

__all__ = ["SingleViewRanges", "level_pose", "pinhole", "sample_single_view", "sample_sphere_view", "walk_poses"]


@dataclass(frozen=True)
class SingleViewRanges:
    """Uniform ranges of a single view; `margin` is the free share of the picture around the objects."""

    fov_deg: tuple[float, float] = (40.0, 60.0)
    pitch_down_deg: tuple[float, float] = (12.0, 33.0)
    yaw_deg: tuple[float, float] = (-75.0, 75.0)
    margin: tuple[float, float] = (0.03, 0.12)
    slack: tuple[float, float] = (1.0, 1.2)


def pinhole(cam_from_world: Float[Tensor, "4 4"], fov_deg: float, width: int, height: int) -> Camera:
    """A camera with square pixels and a centred axis; `fov_deg` spans the width."""
    return Camera(intrinsics_from_fov(fov_deg, width, height), cam_from_world.float(), width, height)


def sample_single_view(
    corners: Float[np.ndarray, "N 3"],
    rng: np.random.Generator,
    *,
    size: int = 518,
    ranges: SingleViewRanges = SingleViewRanges(),
) -> Camera:
    """A square view from the front half that frames all corners with a margin.

    Args:
        corners: points that must lie inside the picture, such as the corners of all boxes.
    """
    fov = float(rng.uniform(*ranges.fov_deg))
    pitch = math.radians(rng.uniform(*ranges.pitch_down_deg))
    yaw = math.radians(rng.uniform(*ranges.yaw_deg))
    # Yaw 0 stands in front of the objects, on their -y side.
    away = np.array([math.sin(yaw) * math.cos(pitch), -math.cos(yaw) * math.cos(pitch), math.sin(pitch)])
    target = (corners.min(0) + corners.max(0)) / 2
    limit = math.tan(math.radians(fov) / 2) * (1 - 2 * float(rng.uniform(*ranges.margin)))
    rotation = _pose(away, np.zeros(3))[:3, :3].numpy()
    local = (corners - target) @ rotation.T
    # |x| <= limit (z + d) for every corner, and the same for y.
    distance = float((np.abs(local[:, :2]).max(1) / limit - local[:, 2]).max())
    distance *= float(rng.uniform(*ranges.slack))
    eye = target + away * distance
    return pinhole(_pose(eye, target), fov, size, size)


def sample_sphere_view(
    corners: Float[np.ndarray, "N 3"], index: int, num_views: int, offset: tuple[float, float], *, size: int
) -> Camera:
    """View `index` of `num_views` spread evenly over the sphere about the scene's centre (I-Scene's 150 views).

    The distance keeps the bounding sphere inside a 40 degree picture.
    """
    fov = 40.0
    z = 1 - 2 * ((index + offset[0] % 1) / num_views)
    angle = 2 * math.pi * (index * 0.6180339887498949 + offset[1])
    flat = math.sqrt(max(1 - z * z, 0.0))
    center = (corners.min(0) + corners.max(0)) / 2
    radius = float(np.linalg.norm(corners - center, axis=1).max())
    away = np.array([flat * math.cos(angle), flat * math.sin(angle), z])
    eye = center + away * (1.02 * radius / math.sin(math.radians(fov) / 2))
    return pinhole(_pose(eye, center), fov, size, size)


def level_pose(position: tuple[float, float, float], heading_rad: float) -> Float[Tensor, "4 4"]:
    """`cam_from_world` of a level camera that looks along (cos, sin) of the heading."""
    eye = np.array(position)
    return _pose(eye, eye + np.array([math.cos(heading_rad), math.sin(heading_rad), 0.0]))


def walk_poses(
    is_free: Callable[[float, float], bool],
    low: tuple[float, float],
    high: tuple[float, float],
    count: int,
    rng: np.random.Generator,
) -> list[Float[Tensor, "4 4"]]:
    """A walk at eye height: free stations, each next one the nearest not yet visited, looking across the room.

    Args:
        is_free: whether a person may stand at (x, y).
        low: corner of the floor's bounding box; `high` the other.
        count: number of views; fewer come back when the floor has no free spot.
    """
    stations: list[tuple[float, float]] = []
    for _ in range(400):
        if len(stations) >= max(3, count // 3):
            break
        x, y = float(rng.uniform(low[0], high[0])), float(rng.uniform(low[1], high[1]))
        if is_free(x, y):
            stations.append((x, y))
    if not stations:
        return []
    route = [stations.pop(0)]
    while stations:
        here = route[-1]
        stations.sort(key=lambda p: (p[0] - here[0]) ** 2 + (p[1] - here[1]) ** 2)
        route.append(stations.pop(0))
    center = ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2)
    poses = []
    for view in range(count):
        share = view / max(count - 1, 1) * (len(route) - 1)
        left = min(int(share), max(len(route) - 2, 0))
        here = route[left] if share - left < 0.5 or left + 1 >= len(route) else route[left + 1]
        jitter = rng.uniform(-0.15, 0.15, 2)
        x, y = here[0] + float(jitter[0]), here[1] + float(jitter[1])
        if not is_free(x, y):
            x, y = here
        heading = math.atan2(center[1] - y, center[0] - x) + float(rng.uniform(-0.8, 0.8))
        drop = math.tan(math.radians(rng.uniform(8.0, 20.0)))
        eye = np.array([x, y, rng.uniform(1.3, 1.6)])
        poses.append(_pose(eye, eye + np.array([math.cos(heading), math.sin(heading), -drop])))
    return poses


def _pose(eye: np.ndarray, target: np.ndarray) -> Float[Tensor, "4 4"]:
    return look_at(torch.from_numpy(eye.astype(np.float64)), torch.from_numpy(target.astype(np.float64)))
