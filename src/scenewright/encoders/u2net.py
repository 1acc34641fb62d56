"""U2-Net (small): how much of a picture belongs to what stands out in it.

Nested U-shaped blocks at six scales; the maps that they give at each are joined into one. Batch norms are folded into
the convolutions, as the published file holds them (`scripts/convert_u2net.py`): convolutions with bias only.
Source: U2-Net (Qin et al. 2020), the small variant ("u2netp").

Legend: B pictures, H W the network's size, C D channels, h w a scale's size.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.encoders.normalisation import imagenet_normalized

__all__ = ["U2NetSmall"]

_WIDTH, _MIDDLE = 64, 16
# Encoders of the block of each scale, the last one without pooling (dilated instead).
_DEPTHS = (6, 5, 4, 3)
_DILATIONS = (1, 2, 4, 8)


def _pooled(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2, ceil_mode=True)


def _like(x: Tensor, other: Tensor) -> Tensor:
    return x if x.shape[-2:] == other.shape[-2:] else F.interpolate(x, size=other.shape[-2:], mode="bilinear")


class _Conv(nn.Conv2d):
    """A convolution of 3 x 3 and a ReLU."""

    def __init__(self, inputs: int, outputs: int, dilation: int = 1) -> None:
        super().__init__(inputs, outputs, 3, padding=dilation, dilation=dilation)

    def forward(self, input: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D h w"]:
        return F.relu_(super().forward(input))


class _Block(nn.Module):
    """A U-shaped residual block: encoders, a bottom, decoders; `depth` 0 keeps the size and dilates instead."""

    def __init__(self, inputs: int, depth: int) -> None:
        super().__init__()
        self.pools = depth > 0
        dilations = (1,) * depth + (2,) if depth else _DILATIONS
        self.entry = _Conv(inputs, _WIDTH)
        widths = (_WIDTH, *(_MIDDLE,) * (len(dilations) - 1))
        self.encoders = nn.ModuleList(
            _Conv(width, _MIDDLE, dilation) for width, dilation in zip(widths, dilations, strict=True)
        )
        outputs = (*(_MIDDLE,) * (len(dilations) - 2), _WIDTH)
        self.decoders = nn.ModuleList(
            _Conv(2 * _MIDDLE, width, dilation)
            for width, dilation in zip(outputs, reversed(dilations[:-1]), strict=True)
        )

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D h w"]:
        entry = h = self.entry(x)
        kept: list[Tensor] = []
        for index, encoder in enumerate(self.encoders):
            # The first reads the entry as it is, the last (dilated) the one before it at the same size.
            h = encoder(_pooled(h) if self.pools and 0 < index < len(self.encoders) - 1 else h)
            kept.append(h)
        h = kept.pop()
        for decoder in self.decoders:
            beside = kept.pop()
            h = decoder(torch.cat([_like(h, beside), beside], dim=1))
        return h + entry


class U2NetSmall(nn.Module):
    """1.1 million parameters; made for pictures of 320 x 320."""

    size = 320

    def __init__(self) -> None:
        super().__init__()
        depths = (*_DEPTHS, 0, 0)
        self.encoders = nn.ModuleList(_Block(_WIDTH if index else 3, depth) for index, depth in enumerate(depths))
        self.decoders = nn.ModuleList(_Block(2 * _WIDTH, depth) for depth in reversed(depths[:-1]))
        self.sides = nn.ModuleList(nn.Conv2d(_WIDTH, 1, 3, padding=1) for _ in depths)
        self.join = nn.Conv2d(len(depths), 1, 1)

    def forward(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B H W"]:
        """Probabilities of pictures in [0, 1]."""
        h = imagenet_normalized(pixels)
        kept: list[Tensor] = []
        for index, encoder in enumerate(self.encoders):
            h = encoder(_pooled(h) if index else h)
            kept.append(h)
        scales = [kept.pop()]
        for decoder in self.decoders:
            beside = kept.pop()
            scales.append(decoder(torch.cat([_like(scales[-1], beside), beside], dim=1)))
        maps = [side(scale) for side, scale in zip(self.sides, reversed(scales), strict=True)]
        return self.join(torch.cat([_like(found, pixels) for found in maps], dim=1)).sigmoid()[:, 0]
