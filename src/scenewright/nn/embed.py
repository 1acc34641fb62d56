"""Embeddings of flow time and of voxel positions."""

import math
from functools import lru_cache

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

__all__ = [
    "TimestepEmbedder",
    "absolute_position_embedding",
    "grid_coords",
    "grid_position_embedding",
    "timestep_frequencies",
]


def timestep_frequencies(t: Float[Tensor, " B"], width: int) -> Float[Tensor, "B width"]:
    """[cos(t f_i), sin(t f_i)] with f_i = 10000^(-i / half): cosines first. An odd width ends in a zero."""
    frequencies = _time_frequencies(width // 2, t.device)
    angles = t.float()[:, None] * frequencies
    embedding = torch.cat([angles.cos(), angles.sin()], 1)
    return torch.nn.functional.pad(embedding, (0, width % 2))


@lru_cache
def _time_frequencies(half: int, device: torch.device) -> Float[Tensor, " half"]:
    """10000^(-i / half), of fp32 exponents and rounded from float64.

    At 1000 t one unit in the last place of a frequency shows in the fifth digit of its cosine, and fp32 exponentials
    differ by that much between processors. The nudge (a fiftieth of a unit) decides one near tie as the run did that
    made the published values.
    """
    exponents = -math.log(10000.0) * torch.arange(half, dtype=torch.float32, device="cpu") / half
    return (exponents.double().exp() * (1 + 2**-29)).float().to(device)


class TimestepEmbedder(nn.Module):
    """Sinusoid of the time (given as 1000 t), then Linear, SiLU, Linear. Runs in fp32."""

    def __init__(self, channels: int, frequency_width: int = 256) -> None:
        super().__init__()
        self.frequency_width = frequency_width
        self.mlp = nn.Sequential(nn.Linear(frequency_width, channels), nn.SiLU(), nn.Linear(channels, channels))

    def forward(self, t: Float[Tensor, " B"]) -> Float[Tensor, "B C"]:
        return self.mlp(timestep_frequencies(t, self.frequency_width))


def absolute_position_embedding(coords: Shaped[Tensor, "N axes"], channels: int) -> Float[Tensor, "N channels"]:
    """Per axis [sin(p w_i), cos(p w_i)] with w_i = 10000^(-i / d), d = channels // axes // 2; sines first, zero padded.

    `coords` are raw voxel indices; axes are concatenated in order.
    """
    axes = coords.shape[1]
    count = channels // axes // 2
    frequencies = 1.0 / 10000 ** (torch.arange(count, dtype=torch.float32, device=coords.device) / count)
    angles = coords.float()[..., None] * frequencies
    embedding = torch.cat([angles.sin(), angles.cos()], -1).flatten(1)
    return torch.nn.functional.pad(embedding, (0, channels - embedding.shape[1]))


def grid_coords(resolution: int) -> Int[Tensor, "cells 3"]:
    """Indices (x, y, z) of a dense grid's cells, x slowest."""
    axis = torch.arange(resolution)
    return torch.cartesian_prod(axis, axis, axis)


def grid_position_embedding(resolution: int, channels: int) -> Float[Tensor, "cells channels"]:
    """`absolute_position_embedding` of a dense grid's cells, on the device where tensors are made by default.

    It is computed on the host: networks are built on the meta device, where one of these operations is enough to import
    torch's compiler, which takes seconds.
    """
    target = torch.empty(0).device
    with torch.device("cpu"):
        embedding = absolute_position_embedding(grid_coords(resolution), channels)
    return embedding.to(target)
