"""Pixel-aligned sampling: the cells of a cube, where pictures show them, and what the pictures hold there.

    cell_centres -> projected -> sampled

Source of the idea: PIFu (arXiv 1905.05172 section 3), which conditions a point in space on the features of the pixel
that it projects to. Dense form: every cell of a regular grid, whatever it holds.

Legend: B cubes (one picture each), M points, R cells a side, C channels, H/W picture size.
Frames: cubes are [-0.5, 0.5]^3 with the world's axes; pictures are seen in [-1, 1] per axis, x to the right, y down,
the outer edges of the outermost pixels at -1 and 1.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["cell_centres", "eye_of", "projected", "sampled"]


def cell_centres(resolution: int) -> Float[Tensor, "M 3"]:
    """Centres of the R^3 cells of the cube, the last axis (z) running fastest."""
    middle = (torch.arange(resolution) + 0.5) / resolution - 0.5
    return torch.stack(torch.meshgrid(middle, middle, middle, indexing="ij"), -1).reshape(-1, 3)


def projected(
    points: Float[Tensor, "B M 3"], picture_from_world: Float[Tensor, "B 3 4"]
) -> tuple[Float[Tensor, "B M 2"], Float[Tensor, "B M"]]:
    """Places of world points in their picture, and their depth (the third homogeneous coordinate), at least 1e-6."""
    homogeneous = points @ picture_from_world[:, :, :3].mT + picture_from_world[:, None, :, 3]
    depth = homogeneous[..., 2].clamp(min=1e-6)
    return homogeneous[..., :2] / depth[..., None], depth


def eye_of(picture_from_world: Float[Tensor, "B 3 4"]) -> Float[Tensor, "B 3"]:
    """Where the cameras of pictures stand, in double precision: the points without a place in them."""
    matrix = picture_from_world.double()
    return -torch.linalg.solve(matrix[:, :, :3], matrix[:, :, 3])


def sampled(pictures: Float[Tensor, "B C H W"], places: Float[Tensor, "B M 2"]) -> Float[Tensor, "B C M"]:
    """Pictures at places, bilinearly; zero outside."""
    return F.grid_sample(pictures, places[:, :, None], align_corners=False)[..., 0]
