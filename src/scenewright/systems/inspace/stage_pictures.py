"""Pictures of what the stages made, drawn beside their files, for people.

Plans look down: x to the right, y upwards. Elevations look along y: x to the right, z upwards.

Legend: N cells, R cells per side, C channels, A boxes.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from scenewright.rendering.preview import preview_still
from scenewright.rendering.sheet import picture_sheet
from scenewright.systems.inspace.asset_views import box_corners
from scenewright.systems.inspace.parts import LATENT_RESOLUTION
from scenewright.types import Mesh, Scene, SceneObject

if TYPE_CHECKING:
    from scenewright.systems.inspace.panorama import RoomInput

__all__ = ["box_picture", "cell_picture", "distance_picture", "latent_picture", "mesh_picture", "room_picture"]

_SIDE_PX = 384


def room_picture(room: "RoomInput") -> Image.Image:
    """The six faces, and the occupied cells where there are any."""
    faces = [Image.fromarray(face.numpy()) for face in room.faces]
    rows = [faces[:3], faces[3:]]
    if room.voxels is not None and len(room.voxels):
        rows.append([cell_picture(room.voxels, 64)])
    return picture_sheet(rows, labels=("front, left", "right, top", "back, bottom"), cell=256)


def distance_picture(distance_m: Float[Tensor, "h w"]) -> Image.Image:
    """Distances, brightest nearby; what is unknown is black."""
    known = distance_m.isfinite() & (distance_m > 0)
    if not bool(known.any()):
        return Image.new("L", (distance_m.shape[1], distance_m.shape[0]))
    nearest = distance_m[known].float().quantile(0.01)
    shade = torch.where(known, nearest / distance_m, torch.zeros(())).clamp(0, 1)
    return Image.fromarray((255 * shade).byte().numpy())


def cell_picture(cells: Int[Tensor, "N 3"], resolution: int) -> Image.Image:
    """Plan and elevation of occupied cells, darker where more of them lie behind each other."""
    views = [_counts(cells[:, axes], resolution) for axes in ([0, 1], [0, 2])]
    shades = [(255 - 225 * np.sqrt(view / max(view.max(), 1))).astype(np.uint8) for view in views]
    return Image.fromarray(np.concatenate([_enlarged(shade) for shade in shades], 1))


def box_picture(cells: Int[Tensor, "N 3"], boxes: Float[Tensor, "A 7"], resolution: int) -> Image.Image:
    """Plan of the cells with the outlines of the boxes and their numbers; a short line marks each box's own x."""
    picture = cell_picture(cells, resolution).crop((0, 0, _SIDE_PX, _SIDE_PX)).convert("RGB")
    draw = ImageDraw.Draw(picture)

    def pixel(point: Tensor) -> tuple[float, float]:
        return float(point[0] + 0.5) * _SIDE_PX, float(0.5 - point[1]) * _SIDE_PX

    for number, (box, corners) in enumerate(zip(boxes, box_corners(boxes), strict=True)):
        draw.polygon([pixel(corners[index]) for index in (0, 2, 6, 4)], outline=(220, 40, 40), width=2)
        ahead = box[:2] + box[3] / 2 * torch.stack([box[6].cos(), box[6].sin()])
        draw.line([pixel(box[:2]), pixel(ahead)], fill=(40, 90, 220), width=2)
        draw.text(pixel(box[:2]), str(number), fill=(0, 0, 0))
    return picture


def latent_picture(cells: Int[Tensor, "N 3"], latent: Float[Tensor, "N C"]) -> Image.Image:
    """Plan of a latent: its three strongest principal components as colours, the highest cell of each column on top."""
    centered = (latent - latent.mean(0)).double()
    directions = torch.linalg.eigh(centered.T @ centered)[1][:, -3:]
    values = centered @ directions
    low, high = values.quantile(0.02, 0), values.quantile(0.98, 0)
    colors = (255 * ((values - low) / (high - low).clamp(min=1e-9)).clamp(0, 1)).byte()
    order = cells[:, 2].argsort(stable=True)
    grid = np.full((LATENT_RESOLUTION, LATENT_RESOLUTION, colors.shape[1]), 255, dtype=np.uint8)
    x, y = cells[order, :2].long().T.numpy()
    for at_x, at_y, color in zip(x, y, colors[order].numpy(), strict=True):
        grid[at_x, at_y] = color
    return Image.fromarray(_enlarged(grid[..., :3].transpose(1, 0, 2)[::-1]))


def mesh_picture(mesh: Mesh) -> Image.Image:
    """A finished surface from above its front."""
    return preview_still(Scene((SceneObject("part", (mesh,), world_from_object=torch.eye(4)),)))


def _counts(places: Int[Tensor, "N 2"], resolution: int) -> Float[np.ndarray, "R R"]:
    counts = np.zeros((resolution, resolution))
    np.add.at(counts, tuple(places.long().numpy().T), 1)
    return counts.T[::-1]


def _enlarged(picture: UInt8[np.ndarray, "R R *channels"]) -> UInt8[np.ndarray, "S S *channels"]:
    size = (_SIDE_PX, _SIDE_PX)
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.NEAREST))
