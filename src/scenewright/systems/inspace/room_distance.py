"""Distances of a room that the small network saw: its floor, walls and ceiling as planes, its furniture before them.

    picture -> PanoramaDistance -> on_depth_rays (distances, furniture) -> with_planes -> distances

A network's walls are wavy, and what is a few centimetres before a wall counts as furniture; so what it holds for floor,
walls and ceiling is put onto planes that are fitted to all of it, and furniture stays before them. Rooms whose walls
are not square to each other keep the network's own distances.

Legend: H, W = 2 H size of the network's picture, h, w of the distance map. Frame: world axes (`room_frame`).
"""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from scenewright.data.room_shell import polygon_contains
from scenewright.encoders.panorama_distance import PanoramaDistance, picture_at_height
from scenewright.systems.inspace.floor_plan import seen_polygon, snapped_to_walls, wall_points
from scenewright.systems.inspace.panorama import camera_height, ceiling_height, wall_heading, wall_squareness
from scenewright.systems.inspace.room_frame import depth_rays

__all__ = ["on_depth_rays", "prism_distance", "room_distance", "with_planes"]

_SAME_SURFACE = 0.05
"""Neighbours whose logarithms of distance differ by less are of one surface."""
_REACH_M = 0.3
_MARGIN_M = 0.2
_STRIDE = 4
_LEAST_SQUARE = 0.5
_MOST_OFF = 0.1
"""Planes that half of the floor, walls and ceiling is farther from, as a share of the distance, are not the room."""


@torch.no_grad()
def room_distance(network: PanoramaDistance, rgb: UInt8[Tensor, "H W 3"]) -> Float[Tensor, "h w"]:
    """Distances in metres along `depth_rays`, at twice the network's resolution."""
    device = next(network.parameters()).device
    logarithm, furniture = network(picture_at_height(rgb)[None].to(device))[0].cpu()
    logarithm, furniture = on_depth_rays(logarithm, furniture)
    return with_planes(logarithm.exp(), furniture > 0)


def on_depth_rays(
    logarithm: Float[Tensor, "H W"], furniture: Float[Tensor, "H W"]
) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    """Values at pixel centres, at twice the resolution along `depth_rays`, whose every other ray is a pixel centre.

    Between two pixels of one surface stands their mean, at an edge the nearer of both: a mean would lie on neither.
    """
    logarithm, furniture = _between(logarithm, furniture, 0)
    return _between(logarithm, furniture, 1)


def _between(
    logarithm: Float[Tensor, "H W"], furniture: Float[Tensor, "H W"], axis: int
) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    before, kind_before = logarithm.roll(1, axis), furniture.roll(1, axis)
    if axis == 0:  # the first row lies at the zenith
        before[0], kind_before[0] = logarithm[0], furniture[0]
    same, nearer = (before - logarithm).abs() < _SAME_SURFACE, before < logarithm
    mean = torch.where(same, (before + logarithm) / 2, torch.where(nearer, before, logarithm))
    kind = torch.where(same, (kind_before + furniture) / 2, torch.where(nearer, kind_before, furniture))
    shape = [2 * size if index == axis else size for index, size in enumerate(logarithm.shape)]
    return (
        torch.stack([mean, logarithm], axis + 1).reshape(shape),
        torch.stack([kind, furniture], axis + 1).reshape(shape),
    )


def with_planes(distance_m: Float[Tensor, "h w"], is_furniture: Bool[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """The distances with all but furniture on level floor and ceiling and upright walls, square to each other."""
    room = torch.where(is_furniture, torch.nan, distance_m)
    rough = room[::_STRIDE, ::_STRIDE]  # directions of surfaces drown in noise from ray to ray
    floor, ceiling = camera_height(rough), ceiling_height(rough)
    if floor is None or ceiling is None or wall_squareness(rough) < _LEAST_SQUARE:
        return distance_m
    turn = round(wall_heading(rough) / (2 * math.pi) * room.shape[1])
    room = room.roll(turn, 1)
    points = wall_points(room, _MARGIN_M - floor, ceiling - _MARGIN_M)
    if len(points) < 20:
        return distance_m
    polygon = snapped_to_walls(seen_polygon(points, np.zeros((0, 2)), 1.0), points, _REACH_M)
    if not len(polygon) or not polygon_contains(polygon, np.zeros((1, 2))).all():
        return distance_m
    planes = prism_distance(polygon, floor, ceiling, *room.shape)
    ratio = (planes / room).log()
    if float(ratio[ratio.isfinite()].abs().median()) > _MOST_OFF:
        return distance_m
    found = torch.where(room.isfinite(), planes, torch.minimum(distance_m.roll(turn, 1), planes))
    return found.roll(-turn, 1).float()


def prism_distance(
    polygon: Float[np.ndarray, "C 2"], floor_m: float, ceiling_m: float, height: int, width: int
) -> Float[Tensor, "height width"]:
    """Distances along `depth_rays` to the inside of a room with level floor and ceiling; the camera stands inside.

    Args:
        polygon: floor corners around the camera, metres, sides parallel to the axes.
        floor_m, ceiling_m: heights below and above the camera.
    """
    rays = depth_rays(height, width)
    level = rays[height // 2, :, :2].numpy()
    reach = np.full(width, np.inf)
    for start, end in zip(polygon, np.roll(polygon, -1, 0), strict=True):
        across = 0 if abs(start[0] - end[0]) < abs(start[1] - end[1]) else 1
        with np.errstate(divide="ignore", invalid="ignore"):
            along = start[across] / level[:, across]
            place = along * level[:, 1 - across]
        low, high = sorted((start[1 - across], end[1 - across]))
        hits = (along > 0) & (place >= low) & (place <= high)
        reach[hits] = np.minimum(reach[hits], along[hits])
    flat, up = rays[..., :2].norm(dim=-1), rays[..., 2]
    walls = torch.from_numpy(reach)[None] / flat.clamp(min=1e-9)
    return torch.minimum(walls, torch.where(up > 0, ceiling_m, floor_m) / up.abs().clamp(min=1e-9))
