"""Mini's room network: how far every cell of a chunk is from the surface of the room, from points and pictures.

Distances are signed (positive in free space, negative in walls and furniture), cut off at `FAR_CELLS`, and less
`THIN_CELLS`, so that a sheet that both sides of are free still has a solid middle. The network corrects the distance
to the plane of the nearest point.

    fine evidence, 8 cells together --+
    coarse evidence ------------------+--> 1/2 -> 1/4 -> 1/8 -> 1/4 -> 1/2 -> 8 distances per block

Legend: B chunks, X/Y/Z fine cells (multiples of 8), x/y/z half as many, C channels.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.nn.conv3d import Downsample3d, ResBlock3d, pixel_shuffle_3d
from scenewright.systems.mini.room_evidence import COARSE_CHANNELS, FINE_CHANNELS

__all__ = ["BELOW_FLOOR", "CHUNK_CELLS", "FAR_CELLS", "PLANE_CHANNEL", "THIN_CELLS", "RoomNetwork", "RoomNetworkConfig"]

CHUNK_CELLS = 64
"""Cells along a chunk side."""
BELOW_FLOOR = 3
"""Cells of a chunk below the floor, so that the floor is not its border."""
FAR_CELLS = 4.0
"""Distances are cut off here, in cells."""
THIN_CELLS = 0.75
"""Surfaces are this much thicker to either side, in cells."""
PLANE_CHANNEL = 1
"""Channel of the fine evidence that holds the distance to the nearest point's plane."""


@dataclass(frozen=True)
class RoomNetworkConfig:
    """Channels at a half, a quarter and an eighth of the resolution, and residual blocks of each on the way down."""

    channels: tuple[int, int, int] = (24, 48, 96)
    num_blocks: tuple[int, int, int] = (1, 2, 3)


class RoomNetwork(nn.Module):
    """Signed distances in units of `FAR_CELLS`."""

    def __init__(self, config: RoomNetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or RoomNetworkConfig()
        fine, middle, coarse = config.channels
        self.stem = nn.Conv3d(8 * FINE_CHANNELS + COARSE_CHANNELS, fine, 1)
        counts = zip(config.channels, config.num_blocks, strict=True)
        self.down = nn.ModuleList([_blocks(width, count) for width, count in counts])
        self.to_coarse = nn.ModuleList([Downsample3d(fine, middle), Downsample3d(middle, coarse)])
        self.to_fine = nn.ModuleList([_Up(coarse, middle), _Up(middle, fine)])
        self.up = nn.ModuleList([_blocks(middle, 1), _blocks(fine, 1)])
        self.out = nn.Conv3d(fine, 8, 3, padding=1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, fine: Float[Tensor, "B C X Y Z"], coarse: Float[Tensor, "B C2 x y z"]
    ) -> Float[Tensor, "B X Y Z"]:
        together = rearrange(fine, "b c (x i) (y j) (z k) -> b (c i j k) x y z", i=2, j=2, k=2)
        h = self.down[0](self.stem(torch.cat([together, coarse], 1)))
        kept = [h]
        for halve, blocks in zip(self.to_coarse, self.down[1:], strict=True):
            h = blocks(halve(h))
            kept.append(h)
        for double, blocks, skipped in zip(self.to_fine, self.up, reversed(kept[:-1]), strict=True):
            h = blocks(double(h) + skipped)
        return fine[:, PLANE_CHANNEL] + pixel_shuffle_3d(self.out(h), 2)[:, 0]


class _Up(nn.Module):
    """Doubles the grid by a 1x1x1 convolution and a pixel shuffle."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, 8 * out_channels, 1)

    def forward(self, x: Float[Tensor, "B C X Y Z"]) -> Float[Tensor, "B C2 X2 Y2 Z2"]:
        return pixel_shuffle_3d(self.conv(x), 2)


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResBlock3d(channels) for _ in range(count)))
