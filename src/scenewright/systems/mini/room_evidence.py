"""Evidence of points and pictures of a place about every cell of a grid: the input of mini's room network.

Points say where surfaces are, which way they face, and, by the rays from the pictures that saw them, where nothing is.
Pictures say, as in GenRecon (section 7.1 of its method), which features project to a cell: mean and variance over the
views, here of colours and of a few of mini's picture features. A view counts for a cell unless the cell lies behind
all points that the view saw there.

    RoomGrid, SeenPoints, RoomViews -> room_evidence -> Evidence

Legend: N views, P points, X/Y/Z fine cells, x/y/z cells twice as large, C channels. Frame: world, z up, any unit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from PIL import Image
from scipy import ndimage
from torch import Tensor

from scenewright.systems.genrecon.seen_points import SeenPoints, in_picture, patches_of
from scenewright.systems.mini.conditioner import PictureConditioner

__all__ = [
    "COARSE_CHANNELS",
    "FINE_CHANNELS",
    "Evidence",
    "RoomGrid",
    "RoomViews",
    "encoded_views",
    "room_evidence",
]

FINE_CHANNELS = 9
NUM_FEATURES = 8
COARSE_CHANNELS = 7 + NUM_FEATURES
PICTURE_SIZE = (256, 192)
"""Width and height that pictures are read at; intrinsics are in units of the picture, so that any shape will do."""

# Lengths in fine cells.
_FAR = 6.0
_PLANE_FAR = 4.0
_SHARP, _WIDE = 1.2, 3.0
_BEHIND = 3
_SURFACE_GAP = 1.5
_REACH_MARGIN = 1.05


@dataclass(frozen=True)
class RoomGrid:
    """Cubes of side `cell` whose low corner is `low`; `shape` is even in every axis."""

    low: tuple[float, float, float]
    cell: float
    shape: tuple[int, int, int]
    floor: float

    def centres(self, step: int = 1) -> Float[Tensor, "M 3"]:
        """Centres of all cells, or of blocks of `step` cells a side, x slowest."""
        axes = [
            (torch.arange(count // step) + 0.5) * step * self.cell + low
            for count, low in zip(self.shape, self.low, strict=True)
        ]
        return torch.cartesian_prod(*axes)

    def cells_of(self, points: Float[np.ndarray, "M 3"]) -> tuple[Int[np.ndarray, " kept"], Bool[np.ndarray, " M"]]:
        """Flat cell numbers of the points that lie inside, and which those are."""
        cells = np.floor((points - np.array(self.low)) / self.cell).astype(np.int64)
        inside = ((cells >= 0) & (cells < np.array(self.shape))).all(1)
        return np.ravel_multi_index(tuple(cells[inside].T), self.shape), inside


@dataclass(frozen=True)
class RoomViews:
    """Small pictures, their features, and cameras with intrinsics in units of the picture."""

    pixels: Float[Tensor, "N 3 H W"]
    features: Float[Tensor, "N C h w"]
    cam_from_world: Float[Tensor, "N 4 4"]
    intrinsics_unit: Float[Tensor, "N 3 3"]

    @property
    def eyes(self) -> Float[np.ndarray, "N 3"]:
        rotation, translation = self.cam_from_world[:, :3, :3], self.cam_from_world[:, :3, 3:]
        return -(rotation.mT @ translation)[..., 0].double().numpy()


@dataclass(frozen=True)
class Evidence:
    """`fine` per cell, `coarse` per block of eight; all values about within [-1, 1]."""

    fine: Float[Tensor, "C X Y Z"]
    coarse: Float[Tensor, "C2 x y z"]


@torch.no_grad()
def encoded_views(
    conditioner: PictureConditioner,
    pictures: Sequence[Image.Image],
    cam_from_world: Float[Tensor, "N 4 4"],
    intrinsics_unit: Float[Tensor, "N 3 3"],
) -> RoomViews:
    """Pictures at `PICTURE_SIZE` with the strongest of mini's picture features at a sixteenth of that."""
    pixels = torch.stack([_pixels(picture) for picture in pictures])
    features = []
    for batch in pixels.split(8):
        opaque = torch.cat([batch, torch.ones_like(batch[:, :1])], 1)
        rows, columns = batch.shape[-2] // 16, batch.shape[-1] // 16
        strong = conditioner.components[:, :NUM_FEATURES]
        found = (conditioner.features(opaque.to(strong.device)) - conditioner.mean) @ strong
        features.append(found.float().cpu().mT.unflatten(2, (rows, columns)))
    return RoomViews(pixels, torch.cat(features), cam_from_world.float(), intrinsics_unit.float())


def _pixels(picture: Image.Image) -> Float[Tensor, "3 H W"]:
    small = picture.convert("RGB").resize(PICTURE_SIZE, Image.Resampling.BOX, reducing_gap=None)
    return torch.from_numpy(np.asarray(small, dtype=np.float32) / 255).permute(2, 0, 1).contiguous()


# ------------------------------------------------------------------------------------------------------------ evidence


def room_evidence(grid: RoomGrid, points: SeenPoints, views: RoomViews) -> Evidence:
    """Everything about the cells of a grid. Work is linear in cells times views, memory in cells."""
    return Evidence(_of_points(grid, points, views.eyes), _of_pictures(grid, points, views))


def _of_points(grid: RoomGrid, points: SeenPoints, eyes: Float[np.ndarray, "N 3"]) -> Float[Tensor, "C X Y Z"]:
    size = math.prod(grid.shape)
    cell, inside = grid.cells_of(points.positions)
    position, normal = points.positions[inside], points.normals[inside]
    count = np.bincount(cell, minlength=size).astype(np.float32)

    def summed(values: np.ndarray) -> np.ndarray:
        columns = [np.bincount(cell, values[:, axis], minlength=size) for axis in range(3)]
        return np.stack(columns, 1).astype(np.float32)

    share = np.maximum(count, 1)[:, None]
    mean_position, mean_normal = summed(position) / share, summed(normal) / share
    channels = []
    if len(cell):
        empty = (count == 0).reshape(grid.shape)
        _, nearest = ndimage.distance_transform_edt(empty, return_indices=True)
        row = np.ravel_multi_index(tuple(nearest.reshape(3, -1)), grid.shape)
        offset = (grid.centres().numpy() - mean_position[row]) / grid.cell
        distance = np.linalg.norm(offset, axis=1)
        plane = np.clip((offset * mean_normal[row]).sum(1) / _PLANE_FAR, -1, 1) * (distance < 2 * _FAR)
        channels += [1 - np.minimum(distance / _FAR, 1), plane]
    else:
        channels += [np.zeros(size), np.zeros(size)]
    density = ndimage.gaussian_filter(count.reshape(grid.shape), _SHARP).ravel()
    weighted = summed(normal)
    for axis in range(3):
        smooth = ndimage.gaussian_filter(weighted[:, axis].reshape(grid.shape), _SHARP).ravel()
        channels.append(smooth / (density + 1e-3))
    wide = ndimage.gaussian_filter(count.reshape(grid.shape), _WIDE).ravel()
    channels += [np.minimum(np.log1p(20 * density) / 3, 1), np.minimum(np.log1p(100 * wide) / 3, 1)]
    channels += [np.minimum(np.log1p(amount) / 4, 1) for amount in _rays(grid, points, eyes)]
    fine = np.stack(channels).astype(np.float32).reshape(FINE_CHANNELS, *grid.shape)
    return torch.from_numpy(fine)


def _rays(
    grid: RoomGrid, points: SeenPoints, eyes: Float[np.ndarray, "N 3"]
) -> tuple[Float[np.ndarray, " M"], Float[np.ndarray, " M"]]:
    """Rays through every cell on their way to points that were seen, and rays that end just in front of the cell."""
    size = math.prod(grid.shape)
    free, behind = np.zeros(size), np.zeros(size)
    start, end = eyes[points.seen[:, 0]], points.positions[points.seen[:, 1]]
    length = np.linalg.norm(end - start, axis=1)
    usable = length > 2 * grid.cell
    start, end, length = start[usable], end[usable], length[usable]
    direction = (end - start) / length[:, None]
    reach = length - _SURFACE_GAP * grid.cell
    for step in range(int(reach.max(initial=0) / grid.cell)):
        at = (step + 0.5) * grid.cell
        running = reach > at
        cell, _ = grid.cells_of(start[running] + at * direction[running])
        free += np.bincount(cell, minlength=size)
    for step in range(1, _BEHIND + 1):
        cell, _ = grid.cells_of(end + step * grid.cell * direction)
        behind += np.bincount(cell, minlength=size)
    return free, behind


def _of_pictures(grid: RoomGrid, points: SeenPoints, views: RoomViews) -> Float[Tensor, "C x y z"]:
    centres = grid.centres(2)
    channels = 3 + views.features.shape[1]
    total, squares = torch.zeros(len(centres), channels), torch.zeros(len(centres), 3)
    count, feature_squares = torch.zeros(len(centres), 1), torch.zeros(len(centres), 1)
    positions = torch.from_numpy(points.positions).float()
    for view in range(len(views.pixels)):
        pose, intrinsics = views.cam_from_world[view], views.intrinsics_unit[view]
        own = positions[torch.from_numpy(points.seen[points.seen[:, 0] == view, 1])]
        reach = _reach(own, pose, intrinsics)
        u, v, depth, inside = in_picture(centres, pose, intrinsics)
        patch, _, _ = patches_of(u, v)
        rows = (inside & (depth <= reach[patch] * _REACH_MARGIN + 2 * grid.cell)).nonzero()[:, 0]
        place = 2 * torch.stack([u[rows], v[rows]], -1)[None, None] - 1
        pixels = F.grid_sample(views.pixels[view : view + 1], place, align_corners=False, padding_mode="border")
        found = F.grid_sample(views.features[view : view + 1], place, align_corners=False, padding_mode="border")
        color, feature = pixels[0, :, 0].T, found[0, :, 0].T
        total.index_add_(0, rows, torch.cat([color, feature], 1))
        squares.index_add_(0, rows, color.square())
        feature_squares.index_add_(0, rows, feature.square().mean(1, keepdim=True))
        count.index_add_(0, rows, torch.ones(len(rows), 1))
    share = count.clamp(min=1)
    mean = total / share
    deviation = (squares / share - mean[:, :3].square()).clamp(min=0).sqrt().mean(1, keepdim=True)
    spread = (feature_squares / share - mean[:, 3:].square().mean(1, keepdim=True)).clamp(min=0).sqrt()
    height = (centres[:, 2:] - grid.floor) / (64 * grid.cell)
    is_seen = (count > 0).float()
    coarse = torch.cat(
        [
            (2 * mean[:, :3] - 1) * is_seen,
            (4 * deviation).clamp(max=1),
            (count.log1p() / 3).clamp(max=1),
            (mean[:, 3:] / 3).clamp(-1, 1),
            (spread / 3).clamp(max=1),
            height,
        ],
        1,
    )
    return coarse.T.reshape(-1, *(side // 2 for side in grid.shape)).contiguous()


def _reach(
    points: Float[Tensor, "S 3"], pose: Float[Tensor, "4 4"], intrinsics: Float[Tensor, "3 3"]
) -> Float[Tensor, " patches"]:
    """Depth of the farthest point a view saw in each patch and its neighbours; no limit where it saw none."""
    u, v, depth, inside = in_picture(points, pose, intrinsics)
    patch, columns, rows = patches_of(u, v)
    farthest = torch.zeros(columns * rows).scatter_reduce(0, patch[inside], depth[inside], "amax")
    spread = F.max_pool2d(farthest.view(1, 1, rows, columns), 3, stride=1, padding=1).flatten()
    return torch.where(spread > 0, spread, torch.inf)
