"""The 3-D CenterPoint network that finds furniture in a room's occupancy.

A U-Net with four levels; five heads at full resolution give, per voxel, a heat map of box centres, the offset of the
centre inside its voxel, the extents, and the yaw as one of twelve bins with a residual.
Source: naver/inspace trellis2/models/bbox_centerpoint.py; CenterPoint (Yin et al. 2021).

Legend: B rooms, R grid side, C channels, K yaw bins.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

__all__ = ["BoxNetwork", "BoxNetworkConfig", "DenseBoxes", "yaw_bin_centers"]

# Centres are rare: the first heat is sigmoid(-4.6), one percent.
_RARE = -4.6


@dataclass(frozen=True)
class BoxNetworkConfig:
    """Sizes; the published ones are the defaults."""

    resolution: int = 64
    base_channels: int = 32
    num_yaw_bins: int = 12


@dataclass(frozen=True)
class DenseBoxes:
    """The network's output for every voxel; `size` in cube units (at most 1), `offset` in voxels."""

    heat_logits: Float[Tensor, "B 1 R R R"]
    offset: Float[Tensor, "B 3 R R R"]
    size_raw: Float[Tensor, "B 3 R R R"]
    yaw_bin_logits: Float[Tensor, "B K R R R"]
    yaw_residual: Float[Tensor, "B K R R R"]

    @property
    def heat(self) -> Float[Tensor, "B 1 R R R"]:
        """Probability that a box's centre lies in the voxel."""
        return self.heat_logits.sigmoid()

    @property
    def size(self) -> Float[Tensor, "B 3 R R R"]:
        """Full extents of the box."""
        return self.size_raw.clamp(max=0).exp()


class BoxNetwork(nn.Module):
    """`DenseBoxes` of binary occupancy grids."""

    def __init__(self, config: BoxNetworkConfig) -> None:
        super().__init__()
        self.config = config
        c, bins = config.base_channels, config.num_yaw_bins
        self.enc1 = nn.Sequential(_conv(1, c), _norm(c), nn.GELU(), _Residual(c))
        self.enc2, self.enc3, self.enc4 = (_Level(n, 2 * n, stride=2) for n in (c, 2 * c, 4 * c))
        self.bottleneck = _Residual(8 * c)
        self.dec3, self.dec2, self.dec1 = (_Level(3 * n, n) for n in (4 * c, 2 * c, c))
        self.heatmap_head = _Head(c, 1)
        self.offset_head = _Head(c, 3)
        self.size_head = _Head(c, 3)
        self.rotation_bin_head = _Head(c, bins)
        self.rotation_res_head = _Head(c, bins)
        nn.init.constant_(self.heatmap_head.conv2.bias, _RARE)  # type: ignore[arg-type]
        self.register_buffer("bin_centers", yaw_bin_centers(bins))

    def forward(self, occupancy: Shaped[Tensor, "B 1 R R R"]) -> DenseBoxes:
        """Head outputs at every voxel, in fp32 whatever the dtype of the weights."""
        fine = self.enc1(occupancy.to(self.heatmap_head.conv1.weight.dtype))
        skips = [fine, self.enc2(fine)]
        skips.append(self.enc3(skips[-1]))
        h = self.bottleneck(self.enc4(skips[-1]))
        for level in (self.dec3, self.dec2, self.dec1):
            h = nn.functional.interpolate(h, scale_factor=2, mode="trilinear", align_corners=False)
            h = level(torch.cat([h, skips.pop()], 1))
        heads = (self.heatmap_head, self.offset_head, self.size_head, self.rotation_bin_head, self.rotation_res_head)
        return DenseBoxes(*(head(h).float() for head in heads))


def yaw_bin_centers(count: int) -> Float[Tensor, " K"]:
    """Middle of each bin of [-pi, pi)."""
    return (torch.arange(count) + 0.5) * (2 * math.pi / count) - math.pi


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = _conv(channels, channels), _norm(channels)
        self.conv2, self.norm2 = _conv(channels, channels), _norm(channels)
        self.act = nn.GELU()

    def forward(self, x: Float[Tensor, "B C R R R"]) -> Float[Tensor, "B C R R R"]:
        h = self.act(self.norm1(self.conv1(x)))
        return self.act(x + self.norm2(self.conv2(h)))


class _Level(nn.Module):
    """Convolution to another width (and, with stride 2, half the resolution), then a residual block."""

    def __init__(self, channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv, self.norm = _conv(channels, out_channels, stride), _norm(out_channels)
        self.res = _Residual(out_channels)
        self.act = nn.GELU()

    def forward(self, x: Float[Tensor, "B C R R R"]) -> Float[Tensor, "B Cout r r r"]:
        return self.res(self.act(self.norm(self.conv(x))))


class _Head(nn.Module):
    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1, self.norm = _conv(channels, channels), _norm(channels)
        self.conv2 = nn.Conv3d(channels, out_channels, 1)
        self.act = nn.GELU()

    def forward(self, x: Float[Tensor, "B C R R R"]) -> Float[Tensor, "B Cout R R R"]:
        return self.conv2(self.act(self.norm(self.conv1(x))))


def _conv(channels: int, out_channels: int, stride: int = 1) -> nn.Conv3d:
    return nn.Conv3d(channels, out_channels, 3, stride, 1)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(8, channels), channels)
