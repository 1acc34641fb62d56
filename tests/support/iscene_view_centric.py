"""I-Scene's view-centric space: the whole scene in one cube, turned about the vertical so the camera looks along +y.

Gravity is kept (yaw only); image right is +x, away from the camera is +y, up is +z. One uniform normalisation serves
the whole scene: instances are neither re-centred nor re-scaled. The convention is inferred from published renders.

Legend: N points. Frame: z-up world in, the cube [-0.5, 0.5]^3 out; docs/conventions.md#grid.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.frames import view_centric_rotation

__all__ = ["ViewCentricTransform", "view_centric_transform", "view_centric_voxels"]


@dataclass(frozen=True)
class ViewCentricTransform:
    """p -> scale * (rotation @ p - centre); `centre` is in the rotated frame."""

    rotation: Float[Tensor, "3 3"]
    centre: Float[Tensor, " 3"]
    scale: Float[Tensor, ""]

    def apply(self, points_world: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """World points in the view-centric cube."""
        return (points_world @ self.rotation.T - self.centre) * self.scale


def _camera_rotation(
    camera_position: Float[Tensor, " 3"], camera_target: Float[Tensor, " 3"], camera_up: Float[Tensor, " 3"]
) -> Float[Tensor, "3 3"]:
    """The yaw that takes the camera's horizontal heading to +y.

    A camera that looks straight down or up has no heading; the horizontal part of its image-up direction replaces it.

    Raises:
        InputError: neither the viewing direction nor the up vector has a horizontal part.
    """
    forward = camera_target - camera_position
    heading = forward[:2]
    if heading.norm() <= 1e-6 * forward.norm().clamp_min(1e-12):
        heading = camera_up[:2]
    if heading.norm() <= 1e-9:
        raise InputError("Expected a camera whose view or up direction has a horizontal part, got a vertical pair.")
    return view_centric_rotation(heading)


def view_centric_transform(
    points_world: Float[Tensor, "N 3"],
    camera_position: Float[Tensor, " 3"],
    camera_target: Float[Tensor, " 3"],
    camera_up: Float[Tensor, " 3"],
) -> ViewCentricTransform:
    """The transform fitted to all points of a scene: yaw first, then box centre to 0 and longest side to 1.

    Raises:
        InputError: no points, or all at one place.
    """
    if not len(points_world):
        raise InputError("Expected at least one point to normalise a scene, got none.")
    rotation = _camera_rotation(camera_position, camera_target, camera_up)
    turned = points_world @ rotation.T
    low, high = turned.amin(0), turned.amax(0)
    longest = (high - low).max()
    if longest <= 0:
        raise InputError("Expected a scene with some extent, got a single point.")
    return ViewCentricTransform(rotation, (low + high) / 2, 1.0 / longest)


def view_centric_voxels(points: Float[Tensor, "N 3"], resolution: int = 64) -> Int[Tensor, "N 3"]:
    """Voxel indices of points of the cube; the faces belong to the outermost voxels."""
    inside = points.clamp(-0.5 + 1e-6, 0.5 - 1e-6)
    return ((inside + 0.5) * resolution).floor().to(torch.int32)
