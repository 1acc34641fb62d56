"""Cells of mini's rooms: which are seen, which lie behind what is seen, and distances as if cells had been seen.

Legend: N cells, R coarse resolution. Frames: cube and world around the camera (`systems.inspace.room_frame`).
"""

import math
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenewright.systems.inspace.panorama import RoomInput
from scenewright.systems.inspace.partial_geometry import COARSE_RESOLUTION
from scenewright.systems.inspace.parts import layout_cells
from scenewright.systems.inspace.room_frame import RoomFrame, depth_rays
from scenewright.systems.mini.panorama_objects import looked_up
from scenewright.systems.mini.sizes import ROOM_RESOLUTION

__all__ = ["as_if_seen", "coarsened", "distance_of_cells", "fine_cells", "hidden_cells", "seen_grid", "top_of"]

PSEUDO_HEIGHT = 128
"""Rows of distances that no picture came with."""


def coarsened(occupied: Bool[Tensor, "fine fine fine"]) -> Bool[Tensor, "R R R"]:
    """Mini's coarse grid: cells that hold an occupied one."""
    factor = len(occupied) // ROOM_RESOLUTION
    return torch.nn.functional.max_pool3d(occupied[None, None].float(), factor)[0, 0] > 0


def seen_grid(room: RoomInput) -> Bool[Tensor, "R R R"] | None:
    """Cells that distances end in; None where there are no distances."""
    if room.voxels is None:
        return None
    fine = torch.zeros((COARSE_RESOLUTION,) * 3, dtype=torch.bool)
    fine[tuple(room.voxels.long().T)] = True
    return coarsened(fine)


def fine_cells(room: RoomInput, cells: Int[Tensor, "N 3"]) -> Int[Tensor, "N2 3"]:
    """The published coarse grid: what is seen as finely as it is seen, other cells of mini's grid whole."""
    grid = torch.zeros((ROOM_RESOLUTION,) * 3, dtype=torch.bool)
    grid[tuple(cells.long().T)] = True
    seen = seen_grid(room)
    unseen = grid if seen is None else grid & ~seen
    factor = COARSE_RESOLUTION // ROOM_RESOLUTION
    fine = unseen.repeat_interleave(factor, 0).repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    if room.voxels is not None:
        fine[tuple(room.voxels.long().T)] = True
    return fine.nonzero().int()


def hidden_cells(room: RoomInput) -> Bool[Tensor, "R R R"]:
    """Cells behind what is seen."""
    axis = (torch.arange(ROOM_RESOLUTION, dtype=torch.float64) + 0.5) / ROOM_RESOLUTION - 0.5
    centers = torch.cartesian_prod(axis, axis, axis)
    world = room.frame.to_world(centers)
    assert room.panorama.distance_m is not None
    hit = looked_up(room.panorama.distance_m, world)
    cell = 1 / (ROOM_RESOLUTION * room.frame.scale)
    return (hit < world.norm(dim=1) + 0.5 * cell).view((ROOM_RESOLUTION,) * 3)


def distance_of_cells(
    cells: Int[Tensor, "N 3"], frame: RoomFrame, height: int = PSEUDO_HEIGHT
) -> Float[Tensor, "height width"]:
    """Distance along every ray of a panorama to the first occupied cell; 0 where there is none."""
    grid = torch.zeros((ROOM_RESOLUTION,) * 3, dtype=torch.bool)
    grid[tuple(cells.long().T)] = True
    rays = depth_rays(height, 2 * height)
    side = 1 / frame.scale
    step = side / ROOM_RESOLUTION / 4
    found = torch.zeros(height, 2 * height, dtype=torch.float64)
    open_rays = torch.ones_like(found, dtype=torch.bool)
    for number in range(1, math.ceil(math.sqrt(3) * side / step)):
        cube = frame.to_cube(rays * (number * step))
        inside = (cube.abs() < 0.5).all(-1)
        index = ((cube.clamp(-0.4999, 0.4999) + 0.5) * ROOM_RESOLUTION).long()
        hit = open_rays & inside & grid[index[..., 0], index[..., 1], index[..., 2]]
        found[hit] = number * step
        open_rays &= ~hit
    return found.float()


def as_if_seen(room: RoomInput, cells: Int[Tensor, "N 3"]) -> RoomInput:
    """The room with the distances of its cells, standing on their fullest layer."""
    distance = distance_of_cells(cells, room.frame)
    floor = (layout_cells(cells)[1] + 1) / ROOM_RESOLUTION - 0.5
    height = -(floor / room.frame.scale + room.frame.center[2])
    return replace(
        room,
        panorama=replace(room.panorama, distance_m=distance),
        camera_height_m=height if height > 0.2 else room.camera_height_m,
    )


def top_of(frame: RoomFrame, cells: Int[Tensor, "N 3"]) -> float:
    """Height of the highest cell over the camera."""
    return ((int(cells[:, 2].max()) + 1) / ROOM_RESOLUTION - 0.5) / frame.scale + frame.center[2]
