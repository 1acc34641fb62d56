"""From SceneGen's poses to a placed scene, and from annotations to the poses it is trained on.

A pose (t, q, s) says x_query = s R(q) x_asset + t, where both assets are in y-up boxes of longest side 1 centred at the
origin: t is in units of the query's longest side, s is a ratio of longest sides, q is (w, x, y, z), normalised when
used. Our objects are z up, so that world_from_object = U P U^-1 with U the turn from y up to z up; the world is the
query's frame. Source: Mengmouxu/SceneGen scenegen/pipelines/scenegen_image_to_scene.py,
scenegen/datasets/components.py and scenegen/trainers/flow_matching/flow_matching.py.

Legend: N assets (row 0 is the query), M voxels or points, V vertices.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.geometry.frames import ZUP_FROM_YUP
from scenewright.geometry.rotation import (
    compose_similarity,
    decompose_similarity,
    euler_xyz_deg_to_matrix,
    invert_similarity,
    matrix_to_quaternion_wxyz,
    quaternion_wxyz_to_matrix,
    transform_points,
)

__all__ = [
    "MIN_SCALE",
    "PublishedAssembly",
    "centred_in_unit_cube",
    "pose_matrices",
    "poses_of_placements",
    "published_assembly",
    "relative_poses",
    "scene_points",
    "world_from_objects",
]

# The network's scale is a relu and may be 0, which no transform can undo.
MIN_SCALE = 1e-3
# Longest side of a published scene.
_PUBLISHED_EXTENT = 1.96


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


def relative_poses(
    translations: Float[Tensor, "N 3"],
    euler_xyz_deg: Float[Tensor, "N 3"],
    longest_sides: Float[Tensor, " N"],
    order: Int[Tensor, " n"],
) -> Float[Tensor, "n 8"]:
    """Training poses of annotated assets in the frame of the first of `order`.

    Args:
        translations: of the assets in a common y-up frame.
        euler_xyz_deg: extrinsic x-y-z angles in degrees.
        longest_sides: of the raw meshes' boxes.
        order: assets to keep, the query first.

    The quaternion's sign is as `matrix_to_quaternion_wxyz` gives it; compare up to sign.
    """
    order = order.long()
    rotations, sides = euler_xyz_deg_to_matrix(euler_xyz_deg)[order], longest_sides[order]
    query_inverse = rotations[0].T
    offsets = (translations[order] - translations[order[0]]) / sides[0]
    quaternions = matrix_to_quaternion_wxyz(query_inverse @ rotations)
    return torch.cat([offsets @ query_inverse.T, quaternions, sides[:, None] / sides[0]], 1)


@dataclass(frozen=True)
class PublishedAssembly:
    """The scene exactly as the published export writes it, y up, in output order."""

    transforms: Float[Tensor, "N 4 4"]
    vertices: tuple[Float[Tensor, "_ 3"], ...]
    bounds: Float[Tensor, "2 3"]
    positions: Float[Tensor, "N 3"]


def published_assembly(
    poses: Float[Tensor, "N 8"], vertices: Sequence[Float[Tensor, "_ 3"]], order: Sequence[int] | None = None
) -> PublishedAssembly:
    """Transforms of y-up asset meshes as published, for reproducing published evaluation values.

    Two quirks are kept: the frame of the first asset in output order is undone by a transpose, which leaves its squared
    scale in the scene; and the scene is scaled first and then moved by the centre it had before, so that it is not
    centred (subtract the mean of `bounds` to centre it).

    Args:
        poses, vertices: in network order, the query first.
        order: network index of each output asset; None keeps the network's order.
    """
    indices = list(range(len(poses)) if order is None else order)
    up = ZUP_FROM_YUP[:3, :3].to(poses)
    linear = up @ quaternion_wxyz_to_matrix(poses[:, 3:7])
    placed = compose_similarity(linear, poses[:, :3] @ up.T, poses[:, 7])
    placed[0] = compose_similarity(up, poses.new_zeros(3))
    placed = placed[indices]
    positions = placed[:, :3, 3].clone()

    back = placed[0, :3, :3].T
    placed = compose_similarity(back, -back @ placed[0, :3, 3]) @ placed
    moved = [transform_points(matrix, vertices[index]) for matrix, index in zip(placed, indices, strict=True)]
    low, high = torch.cat(moved).amin(0), torch.cat(moved).amax(0)
    normalise = compose_similarity(
        torch.eye(3, dtype=poses.dtype, device=poses.device), -(low + high) / 2, _PUBLISHED_EXTENT / (high - low).max()
    )
    placed = normalise @ placed
    moved = [transform_points(normalise, points) for points in moved]
    everything = torch.cat(moved)
    return PublishedAssembly(placed, tuple(moved), torch.stack([everything.amin(0), everything.amax(0)]), positions)
