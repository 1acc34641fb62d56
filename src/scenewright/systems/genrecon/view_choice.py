"""Which pictures a scene is made from, and which one each chunk looks at as a whole.

A camera sees a chunk when the box round the chunk's corners and centre, as far as they lie in front of it, covers
enough of its picture; occlusion does not count.
Source: GenRecon, `inference/get_images.py`, `genrecon/datasets/components.py`.

Legend: N cameras, K chunks. Frame: `cam_from_chunk` maps a chunk's cube [-0.5, 0.5]^3 to an OpenCV camera.
"""

import random

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["MIN_AREA", "choose_chunk_views", "choose_scene_views", "chunk_areas", "sees_chunk"]

MIN_AREA = 0.4
"""Share of the picture that the box round a chunk has to cover."""
_CORNERS = torch.tensor([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)] + [[0.0, 0, 0]])


def chunk_areas(
    cam_from_chunk: Float[Tensor, "*N 4 4"], intrinsics_unit: Float[Tensor, "*#N 3 3"]
) -> Float[Tensor, "*N"]:
    """Share of the picture that the box round the chunk covers; -1 where none of its points is in front."""
    corners = _CORNERS.to(cam_from_chunk)
    camera = corners @ cam_from_chunk[..., :3, :3].transpose(-1, -2) + cam_from_chunk[..., None, :3, 3]
    depth = camera[..., 2:]
    in_front = depth[..., 0] > 0
    image = (camera / torch.where(depth > 0, depth, 1.0)) @ intrinsics_unit.transpose(-1, -2)
    uv = image[..., :2].clamp(0, 1)
    low = torch.where(in_front[..., None], uv, 2.0).amin(-2)
    high = torch.where(in_front[..., None], uv, -2.0).amax(-2)
    return torch.where(in_front.any(-1), (high - low).prod(-1), -1.0)


def sees_chunk(
    cam_from_chunk: Float[Tensor, "*N 4 4"], intrinsics_unit: Float[Tensor, "*#N 3 3"], *, min_area: float = MIN_AREA
) -> Bool[Tensor, "*N"]:
    """Whether each camera sees the chunk well enough."""
    return chunk_areas(cam_from_chunk, intrinsics_unit) >= min_area


def choose_scene_views(sees: Bool[Tensor, "N K"], max_views: int) -> list[int]:
    """Cameras that see a chunk (all, where none does), thinned evenly in the given order to at most `max_views`."""
    useful = sees.any(1).nonzero()[:, 0].tolist() or list(range(len(sees)))
    if len(useful) <= max_views:
        return useful
    return [useful[int(index)] for index in np.rint(np.linspace(0, len(useful) - 1, max_views))]


def choose_chunk_views(
    sees: Bool[Tensor, "N K"], camera_centres: Float[Tensor, "N 3"], chunk_centres: Float[Tensor, "K 3"], seed: int
) -> list[int]:
    """For every chunk the first view, in an order shuffled anew, that sees it; else the one whose camera is nearest."""
    generator = random.Random(seed)
    chosen = []
    for chunk in range(sees.shape[1]):
        order = list(range(len(sees)))
        generator.shuffle(order)
        first = next((view for view in order if bool(sees[view, chunk])), None)
        nearest = int((camera_centres - chunk_centres[chunk]).norm(dim=1).argmin())
        chosen.append(nearest if first is None else first)
    return chosen
