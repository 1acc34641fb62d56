"""A pinhole camera at work: projecting points, lifting depth back to points.

u = fx x/z + cx with pixel centres at half integers; depth is along the camera's z axis unless a name says distance.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.types import Camera


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
