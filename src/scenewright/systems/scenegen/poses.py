"""From SceneGen's poses to a placed scene, and from annotations to the poses it is trained on.

A pose (t, q, s) says x_query = s R(q) x_asset + t, where both assets are in y-up boxes of longest side 1 centred at the
origin: t is in units of the query's longest side, s is a ratio of longest sides, q is (w, x, y, z), normalised when
used. Our objects are z up, so that world_from_object = U P U^-1 with U the turn from y up to z up; the world is the
query's frame. Source: Mengmouxu/SceneGen scenegen/pipelines/scenegen_image_to_scene.py,
scenegen/datasets/components.py and scenegen/trainers/flow_matching/flow_matching.py.

Legend: N assets (row 0 is the query), M voxels or points, V vertices.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.geometry.frames import ZUP_FROM_YUP
from scenewright.geometry.rotation import (
    compose_similarity,
    decompose_similarity,
    invert_similarity,
    matrix_to_quaternion_wxyz,
    quaternion_wxyz_to_matrix,
)

__all__ = [
    "MIN_SCALE",
    "centred_in_unit_cube",
    "pose_matrices",
    "poses_of_placements",
    "scene_points",
    "world_from_objects",
]

# The network's scale is a relu and may be 0, which no transform can undo.
MIN_SCALE = 1e-3


def pose_matrices(poses: Float[Tensor, "N 8"]) -> Float[Tensor, "N 4 4"]:
    """query_from_asset of each pose, both frames y up."""
    rotation = quaternion_wxyz_to_matrix(poses[:, 3:7])
    return compose_similarity(rotation, poses[:, :3], poses[:, 7])


def world_from_objects(poses: Float[Tensor, "N 8"]) -> Float[Tensor, "N 4 4"]:
    """Placement of z-up objects in the query's z-up frame; scales below `MIN_SCALE` are raised to it."""
    poses = torch.cat([poses[:, :7], poses[:, 7:].clamp(min=MIN_SCALE)], 1)
    up = ZUP_FROM_YUP.to(poses)
    return up @ pose_matrices(poses) @ up.mT


def poses_of_placements(world_from_object: Float[Tensor, "N 4 4"]) -> Float[Tensor, "N 8"]:
    """Poses of z-up objects (longest side 1 in their own frame) relative to the first: what the network is to say.

    The inverse of `world_from_objects`, for any world.
    """
    query_from_object = invert_similarity(world_from_object[0]) @ world_from_object
    up = ZUP_FROM_YUP.to(world_from_object)
    rotation, translation, scale = decompose_similarity(up.mT @ query_from_object @ up)
    return torch.cat([translation, matrix_to_quaternion_wxyz(rotation), scale[:, None]], 1)


def scene_points(coords: Int[Tensor, "M 4"], poses: Float[Tensor, "N 8"], resolution: int = 64) -> Float[Tensor, "M 3"]:
    """Voxels (asset, x, y, z) of z-up assets as points of the query's y-up frame, shifted by 0.5 as published.

    Voxel c becomes the point c / resolution - 0.5: its low corner, not its centre.
    """
    asset = coords[:, 0].long()
    local = poses[asset, 7:] * (coords[:, 1:].to(poses.dtype) / resolution - 0.5)
    turn = quaternion_wxyz_to_matrix(poses[:, 3:7]) @ ZUP_FROM_YUP[:3, :3].to(poses).T
    return (turn[asset] @ local[..., None]).squeeze(-1) + 0.5 + poses[asset, :3]


def centred_in_unit_cube(points: Float[Tensor, "M 3"]) -> Float[Tensor, "M 3"]:
    """Points with their box centred at 0.5 and its largest edge 1."""
    low, high = points.amin(0), points.amax(0)
    return (points - (low + high) / 2) / (high - low).max() + 0.5
