"""Cameras placed on a sphere round an object: quasi-uniform directions, look-at poses, intrinsics from a field of view.

Source of the sequence: Hammersley points on the sphere as TRELLIS uses them for rendering and baking. Frame: world z
up, cameras OpenCV (x right, y down, z forward); see docs/conventions.md#cameras-and-images. Legend: K views.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.types import Camera

__all__ = ["hammersley", "intrinsics_unit_from_fov", "look_at", "orbit_position", "sphere_cameras", "sphere_yaw_pitch"]

_PRIMES = (2, 3, 5, 7, 11)


def hammersley(num_points: int, dimensions: int) -> Float[Tensor, "num_points dimensions"]:
    """Hammersley points in [0, 1)^dimensions, 1 to 6 of them: i/n, then radical inverses in bases 2, 3, 5, ..."""
    columns = [[index / num_points for index in range(num_points)]]
    for base in _PRIMES[: dimensions - 1]:
        columns.append([_radical_inverse(index, base) for index in range(num_points)])
    return torch.tensor(columns, dtype=torch.float64).T.float().contiguous()


def _radical_inverse(index: int, base: int) -> float:
    value, scale = 0.0, 1.0 / base
    while index:
        index, digit = divmod(index, base)
        value += digit * scale
        scale /= base
    return value


def sphere_yaw_pitch(num_views: int, offset: tuple[float, float] = (0.0, 0.0)) -> Float[Tensor, "num_views 2"]:
    """Yaw and pitch in radians of quasi-uniform directions, from the south pole upwards.

    Args:
        offset: shifts the sequence, in units of one latitude step and of one turn; yaw is not wrapped.
    """
    rows = []
    for index in range(num_views):
        u = (index + offset[0]) / num_views
        v = _radical_inverse(index, 2) + offset[1]
        rows.append((2 * math.pi * v, math.acos(1 - 2 * u) - math.pi / 2))
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 2).float()


def orbit_position(yaw_pitch: Float[Tensor, "*K 2"], radius: float) -> Float[Tensor, "*K 3"]:
    """Points at `radius` from the origin; yaw 0 lies on +y, a quarter turn on +x, positive pitch above."""
    yaw, pitch = yaw_pitch.unbind(-1)
    return radius * torch.stack([yaw.sin() * pitch.cos(), yaw.cos() * pitch.cos(), pitch.sin()], -1)


def look_at(
    eye: Float[Tensor, "*K 3"], target: Float[Tensor, "*#K 3"], up: tuple[float, float, float] = (0.0, 0.0, 1.0)
) -> Float[Tensor, "*K 4 4"]:
    """`cam_from_world` of cameras at `eye` looking at `target`. Looking along `up`, +x stays to the camera's right."""
    forward = torch.nn.functional.normalize(target - eye, dim=-1)
    up_vector = torch.tensor(up, dtype=eye.dtype, device=eye.device).expand_as(forward)
    right = torch.linalg.cross(-up_vector, forward)
    sideways = torch.tensor((1.0, 0.0, 0.0) if abs(up[0]) < 0.9 else (0.0, 1.0, 0.0)).to(right)
    is_pole = torch.linalg.vector_norm(right, dim=-1, keepdim=True) < 1e-5
    # Rows of a look along the pole: keep `sideways`, made orthogonal to the view direction.
    fallback = sideways - (forward * sideways).sum(-1, keepdim=True) * forward
    right = torch.nn.functional.normalize(torch.where(is_pole, fallback, right), dim=-1)
    down = torch.linalg.cross(forward, right)
    rotation = torch.stack([right, down, forward], -2)
    cam_from_world = torch.zeros(*eye.shape[:-1], 4, 4, dtype=eye.dtype, device=eye.device)
    cam_from_world[..., :3, :3] = rotation
    cam_from_world[..., :3, 3] = -(rotation @ eye[..., None])[..., 0]
    cam_from_world[..., 3, 3] = 1
    return cam_from_world


def intrinsics_unit_from_fov(fov_deg: float) -> Float[Tensor, "3 3"]:
    """Intrinsics of a square image in units of its side; `fov_deg` spans the whole image."""
    focal = 0.5 / math.tan(math.radians(fov_deg) / 2)
    return torch.tensor([[focal, 0.0, 0.5], [0.0, focal, 0.5], [0.0, 0.0, 1.0]])


def sphere_cameras(num_views: int, *, radius: float = 2.0, fov_deg: float = 40.0, size: int = 1024) -> list[Camera]:
    """Square cameras spread over a sphere, all looking at the origin; the defaults contain its ball of radius 0.68."""
    intrinsics_px = intrinsics_unit_from_fov(fov_deg) * torch.tensor([[size], [size], [1.0]])
    eyes = orbit_position(sphere_yaw_pitch(num_views), radius)
    poses = look_at(eyes, torch.zeros(3).expand_as(eyes))
    return [Camera(intrinsics_px, pose, size, size) for pose in poses]
