"""Structure-from-motion points with the pictures that saw them, and the way their surface faces.

Legend: N views, P points. Frame: world, z up, any unit; cameras OpenCV, intrinsics in units of the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenewright.errors import InputError
from scenewright.systems.genrecon.captures import Capture
from scenewright.systems.genrecon.points import without_outliers

__all__ = ["SeenPoints", "capture_points", "in_picture", "oriented_normals", "patches_of", "visible_points"]

_NORMAL_NEIGHBOURS = 12
_OUTLIER_DEVIATIONS = 4.0
# Patches across and down a picture.
_PATCHES = (16, 12)
# A point this much further away than the nearest of its patch counts as hidden.
_HIDDEN = 1.25


@dataclass(frozen=True)
class SeenPoints:
    """Points, their unit normals towards the cameras, and the pairs (view, point) in which a view saw a point."""

    positions: Float[np.ndarray, "P 3"]
    normals: Float[np.ndarray, "P 3"]
    seen: Int[np.ndarray, "pairs 2"]


def capture_points(
    capture: Capture,
    chosen: Sequence[int],
    poses: Float[Tensor, "N 4 4"],
    unit: Float[Tensor, "N 3 3"],
) -> SeenPoints:
    """The capture's points without outliers, with normals, and which of the chosen pictures saw each.

    Raises:
        InputError: there are none.
    """
    if len(capture.points) == 0:
        raise InputError(
            "The capture has no points to make a surface from; triangulate them (COLMAP), or use GenRecon's published "
            "weights."
        )
    kept = without_outliers(capture.points, _OUTLIER_DEVIATIONS)
    positions = capture.points[kept]
    row = np.cumsum(kept) - 1
    own = [capture.pictures[index].seen_points for index in chosen]
    if any(rows is not None and len(rows) for rows in own):
        pairs = [
            np.stack([np.full(len(rows), view), row[rows]], 1)[kept[rows]]
            for view, rows in enumerate(own)
            if rows is not None
        ]
        seen = np.concatenate(pairs)
    else:
        seen = visible_points(positions, poses.float(), unit.float())
    eyes = -(poses[:, :3, :3].mT @ poses[:, :3, 3:])[..., 0].numpy()
    return SeenPoints(positions, oriented_normals(positions, seen, eyes), seen)


def oriented_normals(
    positions: Float[np.ndarray, "P 3"], seen: Int[np.ndarray, "pairs 2"], eyes: Float[np.ndarray, "N 3"]
) -> Float[np.ndarray, "P 3"]:
    """Normal of the plane through each point's neighbours, towards the cameras that saw the point."""
    if len(positions) < 3:
        return np.zeros_like(positions)
    count = min(_NORMAL_NEIGHBOURS, len(positions))
    _, rows = scipy.spatial.cKDTree(positions).query(positions, k=count)
    around = positions[rows]
    around = around - around.mean(1, keepdims=True)
    _, axes = np.linalg.eigh(np.einsum("pki,pkj->pij", around, around))
    normals = axes[:, :, 0]
    towards = np.zeros_like(positions)
    rays = eyes[seen[:, 0]] - positions[seen[:, 1]]
    np.add.at(towards, seen[:, 1], rays / np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-9))
    flip = np.einsum("pi,pi->p", normals, towards) < 0
    return np.where(flip[:, None], -normals, normals)


def visible_points(
    positions: Float[np.ndarray, "P 3"],
    cam_from_world: Float[Tensor, "N 4 4"],
    intrinsics_unit: Float[Tensor, "N 3 3"],
) -> Int[np.ndarray, "pairs 2"]:
    """Pairs (view, point) where nothing tells which points a view saw: points not behind nearer ones of their patch."""
    points = torch.from_numpy(positions).float()
    pairs = []
    for view in range(len(cam_from_world)):
        u, v, depth, inside = in_picture(points, cam_from_world[view], intrinsics_unit[view])
        patch, columns, rows = patches_of(u, v)
        nearest = torch.full((columns * rows,), torch.inf).scatter_reduce(0, patch[inside], depth[inside], "amin")
        shown = inside & (depth <= _HIDDEN * nearest[patch])
        rows_shown = shown.nonzero()[:, 0].numpy()
        pairs.append(np.stack([np.full(len(rows_shown), view), rows_shown], 1))
    return np.concatenate(pairs) if pairs else np.zeros((0, 2), np.int64)


def patches_of(u: Float[Tensor, " M"], v: Float[Tensor, " M"]) -> tuple[Int[Tensor, " M"], int, int]:
    columns, rows = _PATCHES
    column, row = (u * columns).long().clamp(0, columns - 1), (v * rows).long().clamp(0, rows - 1)
    return row * columns + column, columns, rows


def in_picture(
    points: Float[Tensor, "M 3"], pose: Float[Tensor, "4 4"], intrinsics: Float[Tensor, "3 3"]
) -> tuple[Float[Tensor, " M"], Float[Tensor, " M"], Float[Tensor, " M"], Bool[Tensor, " M"]]:
    """Place in units of the picture, depth, and whether the point is in front of the camera and inside the picture."""
    camera = points @ pose[:3, :3].T + pose[:3, 3]
    depth = camera[:, 2]
    image = (camera / depth.clamp(min=1e-6)[:, None]) @ intrinsics.T
    u, v = image[:, 0].nan_to_num().clamp(-9, 9), image[:, 1].nan_to_num().clamp(-9, 9)
    return u, v, depth, (depth > 1e-6) & (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
