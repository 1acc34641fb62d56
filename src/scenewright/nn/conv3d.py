"""Dense 3D convolution blocks of the structure autoencoder, which both backbones share.

Legend: B batch, C channels, X Y Z grid.
"""

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.nn.norm import ChannelLayerNorm32

__all__ = ["Downsample3d", "ResBlock3d", "Upsample3d", "pixel_shuffle_3d"]


class ResBlock3d(nn.Module):
    """x + conv(SiLU(norm(conv(SiLU(norm(x)))))); the last convolution starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = ChannelLayerNorm32(channels)
        self.norm2 = ChannelLayerNorm32(channels)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        if self.conv2.bias is not None:
            nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Float[Tensor, "B C X Y Z"]) -> Float[Tensor, "B C X Y Z"]:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return x + h


class Downsample3d(nn.Module):
    """Halves the grid by a 2x2x2 convolution of stride 2."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, 2, stride=2)

    def forward(self, x: Float[Tensor, "B C X Y Z"]) -> Float[Tensor, "B C2 X2 Y2 Z2"]:
        return self.conv(x)


class Upsample3d(nn.Module):
    """Doubles the grid by a convolution to 8 times the channels and a 3D pixel shuffle."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, 8 * out_channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "B C X Y Z"]) -> Float[Tensor, "B C2 X2 Y2 Z2"]:
        return pixel_shuffle_3d(self.conv(x), 2)


def pixel_shuffle_3d(x: Float[Tensor, "B C X Y Z"], factor: int) -> Float[Tensor, "B C2 X2 Y2 Z2"]:
    """Moves channel ((c * f + i) * f + j) * f + k to offset (i, j, k) of an f times finer grid."""
    return rearrange(x, "b (c i j k) x y z -> b c (x i) (y j) (z k)", i=factor, j=factor, k=factor)
