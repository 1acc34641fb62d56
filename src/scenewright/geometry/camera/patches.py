"""Which patch of which picture a point falls into: nearest patch inside the frustum, no interpolation, no occlusion.

A point is seen by a view when it lies in front of the camera and inside the image; a voxel behind a wall is "seen"
through it. Source: GenRecon, `genrecon/modules/cond_3D/projection.py`.

Legend: N views, S points, P patches along an image side. Frame: `cam_from_world` maps the points' frame to an OpenCV
camera; it may hold a uniform scale, as only the sign of the depth matters. Intrinsics are in units of the image size.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["PatchLookup", "camera_embedding", "patch_of_points"]

_NEAREST_DEPTH = 1e-6

PatchLookup = tuple[Int[Tensor, "*views S"], Bool[Tensor, "*views S"]]


def patch_of_points(
    points: Float[Tensor, "S 3"],
    cam_from_world: Float[Tensor, "*views 4 4"],
    intrinsics_unit: Float[Tensor, "*views 3 3"],
    patches: int,
) -> PatchLookup:
    """Patch index v P + u of every point in every view, int64, and whether the view sees the point.

    Left and top edge of the image belong to it, right and bottom edge do not. Where a point is not seen the index is
    that of some border patch. Geometry is computed in the points' dtype: give at least fp32.
    """
    camera = _in_camera(points, cam_from_world)
    depth = camera[..., 2:]
    image = (camera / depth.clamp(min=_NEAREST_DEPTH)) @ intrinsics_unit.transpose(-1, -2)
    u, v = image[..., 0], image[..., 1]
    seen = (depth[..., 0] > _NEAREST_DEPTH) & (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
    column, row = ((axis * patches).floor().clamp(0, patches - 1).long() for axis in (u, v))
    return row * patches + column, seen


def camera_embedding(
    points: Float[Tensor, "S 3"], cam_from_world: Float[Tensor, "*views 4 4"]
) -> Float[Tensor, "*views S 5"]:
    """Elevation, sine and cosine of the azimuth, and radius of the camera's centre, and its distance to each point.

    The centre is -R^T t of the matrix as given; angles take y as up (elevation = atan2(y, hypot(x, z)), azimuth =
    atan2(x, z)), whatever the frame. The distance is in the camera's unit. Only an aggregator trained with these
    numbers uses them; no published weights are.
    """
    rotation, translation = cam_from_world[..., :3, :3], cam_from_world[..., :3, 3]
    centre = -(rotation.transpose(-1, -2) @ translation[..., None])[..., 0]
    x, y, z = centre.unbind(-1)
    azimuth = torch.atan2(x, z)
    radius = centre.norm(dim=-1).clamp(min=_NEAREST_DEPTH)
    pose = torch.stack([torch.atan2(y, torch.hypot(x, z)), azimuth.sin(), azimuth.cos(), radius], -1)
    distance = _in_camera(points, cam_from_world).norm(dim=-1, keepdim=True)
    return torch.cat([pose[..., None, :].expand(*distance.shape[:-1], 4), distance], -1)


def _in_camera(
    points: Float[Tensor, "S 3"], cam_from_world: Float[Tensor, "*views 4 4"]
) -> Float[Tensor, "*views S 3"]:
    return points @ cam_from_world[..., :3, :3].transpose(-1, -2) + cam_from_world[..., None, :3, 3]
