"""Building cameras: look-at poses, intrinsics from a field of view, orbits, and quasi-uniform views from a sphere.

Source of the sequence: Hammersley points on the sphere as TRELLIS uses them for rendering and baking
(microsoft/TRELLIS trellis/utils/random_utils.py); its yaw is its own: 0 on +y and clockwise seen from above, while
everywhere else yaw 0 is the front (-y) and yaw counts counter-clockwise (docs/conventions.md#rotations). Frame: world
z up, cameras OpenCV (x right, y down, z forward). Legend: K views.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.types import Camera

__all__ = [
    "hammersley",
    "intrinsics_from_fov",
    "look_at",
    "orbit_camera",
    "orbit_position",
    "sphere_cameras",
    "sphere_yaw_pitch",
]

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
    """Points at `radius` from the origin for `sphere_yaw_pitch`: yaw 0 lies on +y, a quarter turn on +x (clockwise)."""
    yaw, pitch = yaw_pitch.unbind(-1)
    return radius * torch.stack([yaw.sin() * pitch.cos(), yaw.cos() * pitch.cos(), pitch.sin()], -1)


def look_at(eye: Float[Tensor, "*K 3"], target: Float[Tensor, "*#K 3"]) -> Float[Tensor, "*K 4 4"]:
    """`cam_from_world` of cameras at `eye` that look at `target`, upright. Looking straight up or down, right is +x.

    Raises:
        ValueError: an `eye` and its `target` coincide.
    """
    forward = target - eye
    if bool((torch.linalg.vector_norm(forward, dim=-1) < 1e-12).any()):
        raise ValueError("Expected a camera position different from the point it looks at; got the same point twice.")
    forward = torch.nn.functional.normalize(forward, dim=-1)
    down = torch.tensor([0.0, 0.0, -1.0]).to(eye).expand_as(forward)
    right = torch.linalg.cross(down, forward)
    is_pole = torch.linalg.vector_norm(right, dim=-1, keepdim=True) < 1e-5
    # Along the pole: +x, made orthogonal to the view direction.
    sideways = torch.tensor([1.0, 0.0, 0.0]).to(eye)
    fallback = sideways - (forward * sideways).sum(-1, keepdim=True) * forward
    right = torch.nn.functional.normalize(torch.where(is_pole, fallback, right), dim=-1)
    rotation = torch.stack([right, torch.linalg.cross(forward, right), forward], -2)
    cam_from_world = torch.zeros(*eye.shape[:-1], 4, 4, dtype=eye.dtype, device=eye.device)
    cam_from_world[..., :3, :3] = rotation
    cam_from_world[..., :3, 3] = -(rotation @ eye[..., None])[..., 0]
    cam_from_world[..., 3, 3] = 1
    return cam_from_world


def intrinsics_from_fov(fov_x_deg: float, width: int, height: int) -> Float[Tensor, "3 3"]:
    """Pixel intrinsics of square pixels with the given horizontal field of view and a centred principal point."""
    if not 0 < fov_x_deg < 180:
        raise ValueError(f"Expected a field of view between 0 and 180 degrees, got {fov_x_deg}.")
    focal = 0.5 * width / math.tan(math.radians(fov_x_deg) / 2)
    return torch.tensor([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])


def orbit_camera(
    target: Float[Tensor, " 3"],
    distance_m: float,
    *,
    yaw_deg: float,
    pitch_deg: float,
    fov_x_deg: float = 40.0,
    width: int = 512,
    height: int = 512,
) -> Camera:
    """A camera on a sphere around `target`, looking at it.

    Yaw 0 stands on the -y side (an object's front), positive yaw moves counter-clockwise seen from above; positive
    pitch looks down from above.
    """
    yaw, pitch = math.radians(yaw_deg), math.radians(pitch_deg)
    offset = torch.tensor([math.sin(yaw) * math.cos(pitch), -math.cos(yaw) * math.cos(pitch), math.sin(pitch)])
    eye = target + distance_m * offset.to(target)
    return Camera(intrinsics_from_fov(fov_x_deg, width, height).to(target), look_at(eye, target), width, height)


def sphere_cameras(num_views: int, *, radius: float = 2.0, size: int = 1024) -> list[Camera]:
    """Square cameras of 40 degrees on a sphere, all looking at the origin; from 2.0 they contain its ball of 0.68."""
    intrinsics_px = intrinsics_from_fov(40.0, size, size)
    eyes = orbit_position(sphere_yaw_pitch(num_views), radius)
    poses = look_at(eyes, torch.zeros_like(eyes))
    return [Camera(intrinsics_px, pose, size, size) for pose in poses]
