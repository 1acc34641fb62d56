"""Distances of a room from a panorama alone: a small network that ships says how far each ray reaches.

    network = PanoramaDistance.shipped()
    logarithm, furniture = network(picture_at_height(rgb)[None])[0]      # distance in metres, logit

    picture [256, 512] -> 1/2 -> ... -> 1/32 (attends to all of itself) -> ... -> logarithm of distance, furniture

A room seen whole tells its size: where walls meet the floor says how far they are in camera heights, and rooms are
furnished at one scale. Rows know how far they look up or down; columns are all alike and the first follows the last, so
a panorama that is turned gives distances that are turned.

Source of the idea: U-Net (arXiv 1505.04597) with a circular seam as in HorizonNet (arXiv 1901.03861 section 3); the
network is our own. Legend: B panoramas, C channels, H, W = 2 H picture size (multiples of 32). Frame: world axes around
the camera, at pixel centres.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, UInt8
from safetensors.torch import load_file
from torch import Tensor, nn

__all__ = ["HEIGHT", "SHIPPED_WEIGHTS", "PanoramaDistance", "PanoramaDistanceConfig", "picture_at_height"]

SHIPPED_WEIGHTS = Path(__file__).parents[1] / "assets" / "distance" / "panorama_distance.safetensors"
HEIGHT = 256
"""Rows of the pictures that the shipped weights know."""
_USUAL_M = (2.2, 1.2, 1.5)
"""A usual room: metres from the camera to its walls, up to its ceiling and down to its floor."""


@dataclass(frozen=True)
class PanoramaDistanceConfig:
    """Channels at a half, a quarter, ... of the resolution, residual blocks of each, and those that attend."""

    channels: tuple[int, ...] = (24, 48, 72, 96, 128)
    num_blocks: tuple[int, ...] = (1, 1, 2, 2)
    num_attending: int = 2
    num_heads: int = 4


class PanoramaDistance(nn.Module):
    """Logarithm of the distance in metres along every ray, and the logit of its end being on furniture."""

    def __init__(self, config: PanoramaDistanceConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PanoramaDistanceConfig()
        channels = config.channels
        self.stem = _RoundConv(6, channels[0], 5, stride=2)
        self.down = nn.ModuleList(
            _blocks(width, count) for width, count in zip(channels, config.num_blocks, strict=False)
        )
        self.to_coarse = nn.ModuleList(_RoundConv(a, b, 3, stride=2) for a, b in pairwise(channels))
        self.attending = nn.ModuleList(
            _AttendingBlock(channels[-1], config.num_heads) for _ in range(config.num_attending)
        )
        self.to_fine = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(channels))
        self.up = nn.ModuleList(_blocks(width, 1) for width in channels[:-1])
        self.last = _RoundConv(channels[0] + 12, channels[0], 3)
        self.out = nn.Conv2d(channels[0], 8, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    @classmethod
    def shipped(cls) -> "PanoramaDistance":
        """With the weights in the package, in fp32."""
        network = cls()
        network.load_state_dict({name: weight.float() for name, weight in load_file(SHIPPED_WEIGHTS).items()})
        return network.eval().requires_grad_(False)

    def forward(self, pictures: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 2 H W"]:
        """Pictures have colours in [0, 1]."""
        count, _, height, width = pictures.shape
        elevation = math.pi * (0.5 - (torch.arange(height, device=pictures.device) + 0.5) / height)
        walls, ceiling, floor = _USUAL_M
        level = torch.where(elevation > 0, ceiling, floor) / elevation.sin().abs()
        usual = torch.minimum(walls / elevation.cos(), level).log()
        rows = torch.stack([elevation.sin(), elevation.cos(), usual]).to(pictures)[None, :, :, None]
        rows = rows.expand(count, -1, -1, width)
        x = self.stem(torch.cat([pictures * 2 - 1, rows], 1))
        kept = []
        for blocks, to_coarse in zip(self.down, self.to_coarse, strict=True):
            x = blocks(x)
            kept.append(x)
            x = to_coarse(F.silu(x))
        for block in self.attending:
            x = block(x)
        for to_fine, blocks, skipped in zip(self.to_fine[::-1], self.up[::-1], kept[::-1], strict=True):
            x = blocks(_doubled(to_fine(x)) + skipped)
        # The pixels themselves say where within a cell of two by two an edge lies.
        x = self.last(F.silu(torch.cat([x, F.pixel_unshuffle(pictures * 2 - 1, 2)], 1)))
        found = F.pixel_shuffle(self.out(F.silu(x)), 2)
        return torch.cat([found[:, :1] + rows[:, 2:], found[:, 1:]], 1)


class _RoundConv(nn.Conv2d):
    """A convolution whose first column follows the last."""

    def __init__(self, in_channels: int, out_channels: int, size: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, size, stride, padding=(size // 2, 0))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")  # there are no norms to keep features in size

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        rim = self.kernel_size[1] // 2
        return super().forward(torch.cat([x[..., -rim:], x, x[..., :rim]], -1))


class _Block(nn.Module):
    """x + conv(SiLU(conv(SiLU(x)))), the last starting at zero; without norms, which cost a CPU as much as the rest."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _RoundConv(channels, channels, 3), _RoundConv(channels, channels, 3)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return x + self.conv2(F.silu(self.conv1(F.silu(x))))


class _AttendingBlock(nn.Module):
    """Self-attention of all cells, then a residual block."""

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.heads = num_heads
        self.norm = nn.LayerNorm(channels)
        self.to_qkv, self.to_out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.block = _Block(channels)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        height = x.shape[2]
        rows = self.norm(rearrange(x, "b c h w -> b (h w) c"))
        q, k, v = rearrange(self.to_qkv(rows), "b n (s h d) -> s b h n d", s=3, h=self.heads)
        found = self.to_out(rearrange(F.scaled_dot_product_attention(q, k, v), "b h n d -> b n (h d)"))
        return self.block(x + rearrange(found, "b (h w) c -> b c h w", h=height))


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(channels) for _ in range(count)))


def _doubled(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H2 W2"]:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def picture_at_height(rgb: UInt8[Tensor, "H W 3"], height: int = HEIGHT) -> Float[Tensor, "3 h w"]:
    """A panorama in colours from 0 to 1, `height` x 2 `height`."""
    pixels = rgb.movedim(-1, 0)[None].float() / 255
    if rgb.shape[0] == height:
        return pixels[0]
    return F.interpolate(pixels, (height, 2 * height), mode="bilinear", antialias=True, align_corners=False)[0]
