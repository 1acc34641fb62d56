"""Pinhole cameras: building them, projecting points, lifting depth back to points.

OpenCV camera frame (x right, y down, z forward) in a z-up world; u = fx x/z + cx with pixel centres at half integers
(docs/conventions.md#cameras-and-images). Depth is along the camera's z axis unless a name says distance.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.types import Camera

__all__ = [
    "camera_center",
    "depth_to_distance",
    "depth_to_points",
    "distance_to_depth",
    "intrinsics_from_fov",
    "look_at",
    "orbit_camera",
    "pixel_rays",
    "project_points",
    "scale_camera",
]


def look_at(
    eye: Float[Tensor, " 3"], target: Float[Tensor, " 3"], up: Float[Tensor, " 3"] | None = None
) -> Float[Tensor, "4 4"]:
    """`cam_from_world` of a camera at `eye` that looks at `target` with `up` (default +z) upwards in the image.

    Looking straight along `up` is allowed: the image's top then points to +y (or +x if `up` is +-y).

    Raises:
        ValueError: `eye` and `target` coincide.
    """
    forward = target - eye
    if float(forward.norm()) < 1e-12:
        raise ValueError("Expected a camera position different from the point it looks at; got the same point twice.")
    forward = forward / forward.norm()
    up = torch.tensor([0.0, 0.0, 1.0]).to(eye) if up is None else up / up.norm()
    if float(forward.dot(up).abs()) > 1 - 1e-6:
        up = torch.tensor([1.0, 0.0, 0.0] if float(up[1].abs()) > 0.9 else [0.0, 1.0, 0.0]).to(eye)
    right = torch.linalg.cross(forward, up)
    right = right / right.norm()
    rotation = torch.stack([right, torch.linalg.cross(forward, right), forward])
    matrix = torch.eye(4, dtype=eye.dtype, device=eye.device)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = -rotation @ eye
    return matrix


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


def scale_camera(camera: Camera, factor: float) -> Camera:
    """The same view with `factor` times as many pixels per side (sizes are rounded, intrinsics follow exactly)."""
    width, height = max(1, round(camera.width * factor)), max(1, round(camera.height * factor))
    ratio = torch.tensor([width / camera.width, height / camera.height, 1.0]).to(camera.intrinsics_px)
    return Camera(camera.intrinsics_px * ratio[:, None], camera.cam_from_world, width, height)


def camera_center(camera: Camera) -> Float[Tensor, " 3"]:
    """The camera's position in the world frame."""
    return -camera.cam_from_world[:3, :3].T @ camera.cam_from_world[:3, 3]


def project_points(
    camera: Camera, points: Float[Tensor, "*batch 3"]
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch"]]:
    """Pixel positions and z-depth of world points. Points at or behind the camera plane get depth <= 0: check it."""
    in_camera = points @ camera.cam_from_world[:3, :3].T.to(points) + camera.cam_from_world[:3, 3].to(points)
    depth = in_camera[..., 2]
    homogeneous = in_camera @ camera.intrinsics_px.T.to(points)
    return homogeneous[..., :2] / torch.where(depth == 0, torch.ones_like(depth), depth)[..., None], depth


def pixel_rays(camera: Camera) -> Float[Tensor, "height width 3"]:
    """Camera-frame rays through the pixel centres with z = 1 (multiply by z-depth to get points)."""
    k = camera.intrinsics_px
    v, u = torch.meshgrid(
        torch.arange(camera.height, dtype=k.dtype, device=k.device) + 0.5,
        torch.arange(camera.width, dtype=k.dtype, device=k.device) + 0.5,
        indexing="ij",
    )
    y = (v - k[1, 2]) / k[1, 1]
    x = (u - k[0, 2] - k[0, 1] * y) / k[0, 0]
    return torch.stack([x, y, torch.ones_like(x)], -1)


def depth_to_points(camera: Camera, depth_z_m: Float[Tensor, "height width"]) -> Float[Tensor, "height width 3"]:
    """World points seen at the pixel centres; pixels of depth 0 (nothing hit) give the camera's centre."""
    in_camera = pixel_rays(camera) * depth_z_m[..., None]
    return (in_camera - camera.cam_from_world[:3, 3]) @ camera.cam_from_world[:3, :3]


def depth_to_distance(camera: Camera, depth_z_m: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    """Distance along the ray from z-depth."""
    return depth_z_m * pixel_rays(camera).norm(dim=-1)


def distance_to_depth(camera: Camera, distance_m: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    """Z-depth from distance along the ray."""
    return distance_m / pixel_rays(camera).norm(dim=-1)
