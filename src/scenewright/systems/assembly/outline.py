"""Parts of the rectangle round an object: the hull of its points, where its mask ends, and a level camera's axes.

Legend: O objects, S outline points. Frame: world z up, camera OpenCV.
"""

import contextlib
import math

import numpy as np
import scipy
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scenewright.types import Mask, SceneObject

__all__ = ["ends_above", "has_geometry", "is_cut", "is_framed", "level_axes", "open_sides", "outline_points"]

_NEIGHBOURHOOD_PX, _BORDER_PX = 3, 2
# By how much another mask must begin above an object's lowest row to frame it, in widths of the picture.
_FRAME = 0.003


def has_geometry(item: SceneObject) -> bool:
    """Whether the object has a face or a Gaussian."""
    return any(len(part.faces) for part in item.parts) or item.splats is not None


def outline_points(item: SceneObject, limit: int) -> Float[np.ndarray, "S 3"]:
    """Points of the object in the world whose hull is nearly the object's, about `limit` at most.

    Of a larger hull those stay that lie furthest out in evenly spread directions, the axes among them.
    """
    clouds = [part.vertices for part in item.parts if len(part.vertices)]
    if not clouds and item.splats is not None:
        clouds = [item.splats.means]
    local = torch.cat(clouds).detach().cpu().double().numpy()
    with contextlib.suppress(scipy.spatial.QhullError, ValueError):  # flat or tiny: every point is kept
        local = local[np.sort(scipy.spatial.ConvexHull(local).vertices)]
    matrix = item.world_from_object.double().numpy()
    points = local @ matrix[:3, :3].T + matrix[:3, 3]
    if len(points) > limit:
        points = points[np.unique((points @ _spread_directions(limit).T).argmax(0))]
    return points


def level_axes(
    yaw: float | Float[np.ndarray, "*B"], pitch: float | Float[np.ndarray, "*B"]
) -> Float[np.ndarray, "*B 3 3"]:
    """cam_from_world rotation of a camera without roll: its right, down and forward axes in rows.

    Args:
        yaw: of the forward direction in the ground plane, from +x to +y, in radians.
        pitch: down from level.
    """
    sin_yaw, cos_yaw, sin_pitch, cos_pitch = np.sin(yaw), np.cos(yaw), np.sin(pitch), np.cos(pitch)
    rows = (
        (sin_yaw, -cos_yaw, np.zeros_like(yaw)),
        (-sin_pitch * cos_yaw, -sin_pitch * sin_yaw, -cos_pitch),
        (cos_pitch * cos_yaw, cos_pitch * sin_yaw, -sin_pitch),
    )
    return np.stack([np.stack(row, -1) for row in rows], -2)


def open_sides(mask: Bool[Tensor, "H W"], others: Bool[Tensor, "H W"]) -> tuple[bool, bool, bool, bool]:
    """Whether the mask ends at another mask or at the border on its left, top, right and bottom: it may go on there."""
    own, blocked = mask.numpy(), (others & ~mask).numpy()
    left, top, right, bottom = (
        _touches_border(side) or _ends_at(side, other)
        for side, other in zip(_from_each_side(own), _from_each_side(blocked), strict=True)
    )
    return left, top, right, bottom


def is_cut(mask: Mask) -> bool:
    """Whether the mask reaches the picture's border: the object may go on beyond it."""
    left, top, right, bottom = mask.box
    return min(left, top, mask.width - right, mask.height - bottom) < _BORDER_PX


def ends_above(mask: Bool[Tensor, "H W"], other: Bool[Tensor, "H W"]) -> bool:
    """Whether another mask goes on where this one ends below: it stands on the other object, or behind it."""
    return _ends_at(_from_each_side(mask.numpy())[3], _from_each_side((other & ~mask).numpy())[3])


def is_framed(mask: Bool[Tensor, "H W"], other: Bool[Tensor, "H W"]) -> bool:
    """Whether another mask begins above this one's lowest row on both sides of its foot: it stands on that object.

    Of an object that it stands behind, the upper edge passes its lowest visible row on one side at least.
    """
    own, frame = mask.numpy(), other.numpy()
    rows = np.flatnonzero(own.any(1))
    top, bottom = int(rows[0]), int(rows[-1])
    height, width = bottom - top + 1, int(own.any(0).sum())
    foot = np.flatnonzero(own[max(0, bottom - max(2, height // 6) + 1) :].any(0))
    reach = max(3, width // 4)
    least = max(2, round(_FRAME * mask.shape[1]))
    for columns in (
        slice(max(int(foot[0]) - reach, 0), int(foot[0])),
        slice(int(foot[-1]) + 1, int(foot[-1]) + 1 + reach),
    ):
        beside = frame[:, columns]
        if not beside.shape[1]:
            return False
        begins = np.where(beside.any(0), beside.argmax(0), len(frame))
        if bottom - float(np.median(begins)) < least:
            return False
    return True


def _from_each_side(mask: Bool[np.ndarray, "H W"]) -> list[Bool[np.ndarray, "_ _"]]:
    """The mask turned so that its left, top, right and bottom side come first along the columns."""
    return [mask, mask.T, mask[:, ::-1], mask.T[:, ::-1]]


def _touches_border(own: Bool[np.ndarray, "A B"]) -> bool:
    return int(np.flatnonzero(own.any(0))[0]) < _BORDER_PX


def _ends_at(own: Bool[np.ndarray, "A B"], blocked: Bool[np.ndarray, "A B"]) -> bool:
    """Whether `blocked` is next to a third of the first columns of `own`."""
    first = int(np.flatnonzero(own.any(0))[0])
    rows = np.flatnonzero(own[:, first : first + 2].any(1))
    low, high = max(int(rows[0]) - _NEIGHBOURHOOD_PX, 0), int(rows[-1]) + _NEIGHBOURHOOD_PX + 1
    near = blocked[low:high, max(first - _NEIGHBOURHOOD_PX, 0) : first + 2]
    return int(near.any(1).sum()) > (int(rows[-1] - rows[0]) + 1) / 3


def _spread_directions(count: int) -> Float[np.ndarray, "D 3"]:
    """Directions on a Fibonacci lattice, and both ways along the axes."""
    index = np.arange(count) + 0.5
    z, turn = 1 - 2 * index / count, math.pi * (1 + 5**0.5) * index
    radius = np.sqrt(1 - z**2)
    lattice = np.stack([radius * np.cos(turn), radius * np.sin(turn), z], 1)
    return np.concatenate([lattice, np.eye(3), -np.eye(3)])
