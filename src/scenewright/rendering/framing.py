"""Cameras for looking at a result: framed exactly, from named sides, or going round it.

Frame: world, z up, front towards -y. Yaw 0 looks at the front; positive yaw moves counter-clockwise seen from above.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.geometry.camera.cameras import intrinsics_from_fov, look_at
from scenewright.types import Camera

__all__ = ["NAMED_VIEWS", "frame_points", "turntable"]

NAMED_VIEWS = {
    "three-quarter": (-35.0, 22.0),
    "front": (0.0, 8.0),
    "right": (90.0, 8.0),
    "back": (180.0, 8.0),
    "left": (-90.0, 8.0),
    "top": (0.0, 89.9),
}


def frame_points(
    points: Float[Tensor, "N 3"],
    *,
    yaw_deg: float,
    pitch_deg: float,
    width: int,
    height: int,
    fov_deg: float = 30.0,
    margin: float = 0.08,
) -> Camera:
    """The nearest camera of the given direction that sees all points, centred, with `margin` of the picture left free.

    `fov_deg` is the field of view across the longer side.
    """
    rotation, tangents, intrinsics = _direction(yaw_deg, pitch_deg, width, height, fov_deg, margin)
    turned = points.double().cpu() @ rotation.T
    # A point is inside when |x - cx| <= tan (z + d): both extremes of each axis give the depth and the centre.
    high = (turned[:, :2] / tangents - turned[:, 2:]).amax(0)
    low = (-turned[:, :2] / tangents - turned[:, 2:]).amax(0)
    distance = float(((high + low) / 2).amax().clamp(min=1e-3 - float(turned[:, 2].amin())))
    shift = (high - low) / 2 * tangents
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = rotation
    pose[:3, 3] = torch.tensor([-float(shift[0]), -float(shift[1]), distance])
    return Camera(intrinsics, pose.float(), width, height)


_MARGIN = 0.06
"""Share of a turntable's pictures that is left free at each side."""
_TURNTABLE_PITCH_DEG = 20.0


def turntable(
    points: Float[Tensor, "N 3"],
    frames: int,
    *,
    width: int = 512,
    height: int = 512,
    fov_deg: float = 30.0,
) -> list[Camera]:
    """Cameras on a circle around the points' vertical axis, all at the one distance that fits every view."""
    low, high = points.amin(0).double().cpu(), points.amax(0).double().cpu()
    center = (low + high) / 2
    needed = 0.0
    steps = [-35.0 + 360.0 * i / frames for i in range(frames)]
    for yaw in steps:
        rotation, tangents, _ = _direction(yaw, _TURNTABLE_PITCH_DEG, width, height, fov_deg, _MARGIN)
        turned = (points.double().cpu() - center) @ rotation.T
        needed = max(needed, float((turned[:, :2].abs() / tangents - turned[:, 2:]).amax()))
    cameras = []
    for yaw in steps:
        rotation, _, intrinsics = _direction(yaw, _TURNTABLE_PITCH_DEG, width, height, fov_deg, _MARGIN)
        pose = torch.eye(4, dtype=torch.float64)
        pose[:3, :3] = rotation
        pose[:3, 3] = -rotation @ center + torch.tensor([0.0, 0.0, needed], dtype=torch.float64)
        cameras.append(Camera(intrinsics, pose.float(), width, height))
    return cameras


def _direction(
    yaw_deg: float, pitch_deg: float, width: int, height: int, fov_deg: float, margin: float
) -> tuple[Float[Tensor, "3 3"], Float[Tensor, " 2"], Float[Tensor, "3 3"]]:
    """Rotation of a view, tangents of its usable half angles, and its intrinsics."""
    yaw, pitch = math.radians(yaw_deg), math.radians(pitch_deg)
    back = [math.sin(yaw) * math.cos(pitch), -math.cos(yaw) * math.cos(pitch), math.sin(pitch)]
    origin = torch.zeros(3, dtype=torch.float64)
    rotation = look_at(torch.tensor(back, dtype=torch.float64), origin)[:3, :3]
    longer = max(width, height)
    half = math.tan(math.radians(fov_deg) / 2)
    fov_x_deg = math.degrees(2 * math.atan(half * width / longer))
    tangents = torch.tensor([half * width / longer, half * height / longer], dtype=torch.float64) * (1 - 2 * margin)
    return rotation, tangents, intrinsics_from_fov(fov_x_deg, width, height)
