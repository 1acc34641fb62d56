"""Which cells of an object's cube are solid, from what the picture shows where each cell projects to.

The structure flows know the picture by 64 tokens and guess shapes that hardly keep its outline. Once an object has a
place, every cell of its cube has a pixel; this network reads the colours, the object's mask and other objects' masks
there, features of a small convolutional network, the condition tokens, and what the flow's samples hold for occupied
(the prior), and says of each cell whether it is solid. Solid rather than surface: where the network is unsure, the
surface moves, but it stays closed.

Source of the idea: PIFu (arXiv 1905.05172 section 3); the network is our own.

    picture 128^2 -> features 32^2 --+
    raw pixels and prior, at 32^3 ----+--> 16^3 -> 8^3 (attends to the tokens) -> 16^3 -> logits 32^3

Legend: B objects, P picture side, T condition tokens, R = 32 cells a side, M = R^3. Frame: z up, camera along +y.
"""

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.geometry.camera.cube_projection import cell_centres, projected, sampled
from scenewright.nn.attention import plain_attention
from scenewright.nn.conv3d import Downsample3d, pixel_shuffle_3d

__all__ = ["ObjectView", "PixelAlignedConfig", "PixelAlignedOccupancy"]

_PICTURE_CHANNELS = 5
_PLACE_CHANNELS = 6
_FAR = 2.0


@dataclass(frozen=True)
class PixelAlignedConfig:
    """Channels of the picture's features, of the grid of 16^3, and of that of 8^3 with its attention."""

    resolution: int = 32
    picture_channels: int = 48
    fine_channels: int = 48
    coarse_channels: int = 128
    token_channels: int = 192
    num_heads: int = 4
    num_blocks: int = 3


@dataclass(frozen=True)
class ObjectView:
    """Inputs of each object.

    Attributes:
        pictures: the object's own crop: colours times alpha, alpha, and the share of other objects, in [0, 1].
        tokens: of the `PictureConditioner`, of the same crop.
        crop_from_cube: takes homogeneous points of the object's cube [-0.5, 0.5]^3 to homogeneous places in the crop
            (see `cube_projection`), the third of which is the depth.
        prior: the share of the flow's samples that hold a cell for occupied.
    """

    pictures: Float[Tensor, "B 5 P P"]
    tokens: Float[Tensor, "B T Cc"]
    crop_from_cube: Float[Tensor, "B 3 4"]
    prior: Float[Tensor, "B R R R"]

    def to(self, device: torch.device) -> "ObjectView":
        """The same on a device."""
        return ObjectView(*(getattr(self, field.name).to(device) for field in fields(self)))


class _ResBlock(nn.Module):
    def __init__(self, channels: int, dimensions: int) -> None:
        super().__init__()
        convolution = nn.Conv2d if dimensions == 2 else nn.Conv3d
        self.norm1, self.norm2 = nn.GroupNorm(8, channels), nn.GroupNorm(8, channels)
        self.conv1 = convolution(channels, channels, 3, padding=1)
        self.conv2 = convolution(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


class _TokenBlock(nn.Module):
    """Cells attend to the condition tokens, then to their neighbours."""

    def __init__(self, config: PixelAlignedConfig) -> None:
        super().__init__()
        width = config.coarse_channels
        self.heads = config.num_heads
        self.norm = nn.LayerNorm(width)
        self.to_q, self.to_kv = nn.Linear(width, width), nn.Linear(config.token_channels, 2 * width)
        self.to_out = nn.Linear(width, width)
        self.res = _ResBlock(width, 3)

    def forward(self, x: Float[Tensor, "B C r r r"], tokens: Float[Tensor, "B T Cc"]) -> Float[Tensor, "B C r r r"]:
        rows = rearrange(x, "b c x y z -> b (x y z) c")
        found = self.to_out(plain_attention(self.to_q(self.norm(rows)), self.to_kv(tokens), self.heads))
        return self.res(x + rearrange(found, "b (x y z) c -> b c x y z", x=x.shape[2], y=x.shape[3]))


class PixelAlignedOccupancy(nn.Module):
    """Logits of every cell of the objects' cubes being solid."""

    def __init__(self, config: PixelAlignedConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PixelAlignedConfig()
        side, picture, fine, coarse = (
            config.resolution // 4,
            config.picture_channels,
            config.fine_channels,
            config.coarse_channels,
        )
        self.picture_in = nn.Conv2d(_PICTURE_CHANNELS, picture // 2, 3, stride=2, padding=1)
        self.picture_down = nn.Conv2d(picture // 2, picture, 3, stride=2, padding=1)
        self.picture_tokens = nn.Conv2d(config.token_channels, picture, 1)
        self.picture_res = nn.ModuleList([_ResBlock(picture, 2) for _ in range(2)])
        self.fine_in = nn.Conv3d(8 * (_PICTURE_CHANNELS + 1) + _PLACE_CHANNELS + picture, fine, 1)
        self.fine_res = _ResBlock(fine, 3)
        self.down = Downsample3d(fine, coarse)
        self.place = nn.Parameter(torch.empty(coarse, side, side, side).normal_(std=0.1))
        self.blocks = nn.ModuleList([_TokenBlock(config) for _ in range(config.num_blocks)])
        self.up = nn.ConvTranspose3d(coarse, fine, 2, stride=2)
        self.merge = nn.Conv3d(2 * fine, fine, 1)
        self.merge_res = _ResBlock(fine, 3)
        self.out = nn.Conv3d(fine, 8, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):  # a sixth more samples a second on a processor with AMX
                module.to(memory_format=torch.channels_last_3d)

    def forward(self, view: ObjectView) -> Float[Tensor, "B R R R"]:
        """See `ObjectView`; the cubes may stand where a picture does not reach."""
        half = self.config.resolution // 2
        cells = cell_centres(self.config.resolution).to(view.prior.device)
        places, depth = projected(cells.expand(len(view.prior), -1, -1), view.crop_from_cube)
        axis = view.crop_from_cube[:, 2]  # as long as the cube's side
        raw = sampled(view.pictures * 2 - 1, places.clamp(-_FAR, _FAR))
        raw = torch.cat([raw, view.prior.flatten(1)[:, None] * 2 - 1], 1)
        raw = rearrange(raw, "b c (x i y j z k) -> b (c i j k) x y z", x=half, i=2, y=half, j=2, z=half, k=2)
        ahead = ((depth - axis[:, 3:]) / axis[:, :3].norm(dim=1, keepdim=True))[..., None]
        where = torch.cat([places.clamp(-_FAR, _FAR), ahead, (2 * cells).expand(len(ahead), -1, -1)], -1)
        where = _halved(where, half)
        features = sampled(self._features(view), where[..., :2])
        grid = torch.cat(
            [raw, *(rearrange(part, "b c (x y z) -> b c x y z", x=half, y=half) for part in (where.mT, features))], 1
        )
        fine = self.fine_res(self.fine_in(grid))
        coarse = self.down(fine) + self.place
        for block in self.blocks:
            coarse = block(coarse, view.tokens)
        joined = self.merge(torch.cat([self.up(coarse), fine], 1))
        return pixel_shuffle_3d(self.out(F.silu(self.merge_res(joined))), 2)[:, 0]

    def _features(self, view: ObjectView) -> Float[Tensor, "B C H W"]:
        x = F.silu(self.picture_in(view.pictures * 2 - 1))
        x = F.silu(self.picture_down(x))
        side = round(view.tokens.shape[1] ** 0.5)
        tokens = self.picture_tokens(rearrange(view.tokens, "b (y x) c -> b c y x", y=side))
        x = x + F.interpolate(tokens, x.shape[-2:], mode="bilinear", align_corners=False).to(x.dtype)
        for block in self.picture_res:
            x = block(x)
        return x.float()


def _halved(values: Float[Tensor, "B M C"], half: int) -> Float[Tensor, "B M_8 C"]:
    """Means over 2 x 2 x 2 cells."""
    return rearrange(values, "b (x i y j z k) c -> b (x y z) (i j k) c", x=half, i=2, y=half, j=2, z=half, k=2).mean(2)
