"""Several samples of a scene made into one: voxels and boxes they agree on, and the mean of their layouts.

A flow that is small says with every sample something else about what the picture does not show; what several samples
agree on is nearer to the truth than any of them, and four steps each are enough for that.

Legend: K samples, N objects, W objects wanted, R resolution.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scenewright.geometry.rotation import compose_similarity

__all__ = ["agreed_box", "agreed_layout", "agreed_voxels"]


def agreed_voxels(logits: Float[Tensor, "K W R R R"], share: float) -> Bool[Tensor, "W R R R"]:
    """Voxels that the samples hold for occupied by at least `share` on average.

    At least the likeliest one: an object with a mask is there, however small.
    """
    mean = logits.sigmoid().mean(0)
    likeliest = mean.flatten(1).amax(1).view(-1, 1, 1, 1)
    return mean >= likeliest.clamp(max=share)


def agreed_box(logits: Float[Tensor, "K R R R"]) -> tuple[Float[Tensor, " 3"], float]:
    """Centre and longest side of an object's box in [-0.5, 0.5]^3: every side of it is where the median sample has it.

    A small object is elsewhere in every sample, so that the voxels they agree on are far fewer than it fills.
    """
    boxes = [_box(sample > 0) for sample in logits if bool((sample > 0).any())]
    if not boxes:
        boxes = [_box(agreed_voxels(logits[:, None], 1.0)[0])]
    low, high = torch.stack(boxes).median(0).values
    # A surface ends anywhere in the outermost voxels, on average in their middle.
    return (low + high) / 2, max(float((high - low).max()), 1 / logits.shape[-1])


def _box(occupied: Bool[Tensor, "R R R"]) -> Float[Tensor, "2 3"]:
    """Least and greatest middles of the occupied voxels."""
    coords = occupied.nonzero().float()
    return (torch.stack([coords.amin(0), coords.amax(0)]) + 0.5) / occupied.shape[0] - 0.5


def agreed_layout(world_from_object: Float[Tensor, "K N 4 4"]) -> Float[Tensor, "N 4 4"]:
    """The mean of layouts whose worlds differ by shift and scale; sizes are averaged as logarithms.

    Every layout is first brought to a mean place of zero and a mean size of one. Objects keep the camera's heading in
    mini, so that the result turns none.
    """
    centres = world_from_object[..., :3, 3].double()
    log_sizes = torch.linalg.det(world_from_object[..., :3, :3].double()).log() / 3
    unit = log_sizes.mean(1, keepdim=True)
    centres = (centres - centres.mean(1, keepdim=True)) / unit.exp()[..., None]
    sizes = (log_sizes - unit).mean(0).exp()
    rotations = torch.eye(3, dtype=torch.float64).expand(len(sizes), 3, 3)
    return compose_similarity(rotations, centres.mean(0), sizes).float()
