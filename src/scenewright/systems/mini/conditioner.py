"""Condition tokens of a small cut-out picture: frozen EfficientNet-Lite0 features, the outline, and the place.

One token per 16 x 16 pixels: the features of strides 16 and 32 reduced by a fixed linear map (principal components of
the training pictures), the alpha channel at stride 4, and sines of the token's place in the picture, which
convolutional features do not tell.

Legend: B pictures, P picture side, H/W picture size, T tokens = (P / 16)^2, C channels.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.encoders.efficientnet_lite import EfficientNetLite0

__all__ = ["ConditionerConfig", "PictureConditioner"]

_STRIDE = 16
_OUTLINE = 4


@dataclass(frozen=True)
class ConditionerConfig:
    """`num_components` of the features are kept; `num_frequencies` sines and cosines per axis mark the place."""

    num_components: int = 144
    num_frequencies: int = 8

    @property
    def channels(self) -> int:
        return self.num_components + _OUTLINE**2 + 4 * self.num_frequencies


class PictureConditioner(nn.Module):
    """Tokens of pictures; nothing in here is trained."""

    components: Tensor
    mean: Tensor
    deviation: Tensor
    usual_range: Tensor

    def __init__(self, config: ConditionerConfig | None = None) -> None:
        super().__init__()
        self.config = config or ConditionerConfig()
        self.encoder = EfficientNetLite0()
        width = sum(EfficientNetLite0.channels)
        self.register_buffer("components", torch.zeros(width, self.config.num_components))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(self.config.num_components))
        self.register_buffer("usual_range", torch.ones(2))
        self.requires_grad_(False)

    def features(self, pictures: Float[Tensor, "B 4 H W"]) -> Float[Tensor, "B T width"]:
        """Encoder features of both strides side by side; the coarse ones repeat over the tokens they cover."""
        # Depthwise convolutions are faster by half with channels last.
        fine, coarse = self.encoder(pictures[:, :3].contiguous(memory_format=torch.channels_last))
        coarse = F.interpolate(coarse, fine.shape[-2:], mode="nearest")
        return rearrange(torch.cat([fine, coarse], 1), "b c y x -> b (y x) c")

    @torch.no_grad()
    def forward(self, pictures: Float[Tensor, "B 4 P P"]) -> Float[Tensor, "B T C"]:
        """Tokens row by row, of pictures as `cut_out_pictures` gives them."""
        features = self._reduced(pictures)
        outline = F.avg_pool2d(pictures[:, 3:], _STRIDE // _OUTLINE) * 2 - 1
        outline = rearrange(outline, "b 1 (y i) (x j) -> b (y x) (i j)", i=_OUTLINE, j=_OUTLINE)
        place = self.places(pictures.shape[-1] // _STRIDE).to(features)
        return torch.cat([features, outline, place.expand(len(features), -1, -1)], -1)

    @torch.no_grad()
    def strangeness(self, pictures: Float[Tensor, "B 4 P P"]) -> Float[Tensor, " B"]:
        """Unusualness of each object's features; up to 1 for all but one in a hundred training pictures.

        The strength of the features (mean squared components in units of their deviation, over the tokens that the
        object covers by half) against the range from the 0.5th to the 99.5th percentile of the training pictures: noise
        and flat colour are weaker, unknown things stronger.
        """
        strength = self._strength(pictures, self._reduced(pictures))
        return torch.maximum(strength / self.usual_range[1], self.usual_range[0] / strength)

    def _reduced(self, pictures: Float[Tensor, "B 4 P P"]) -> Float[Tensor, "B T K"]:
        return (self.features(pictures) - self.mean) @ self.components

    def _strength(self, pictures: Float[Tensor, "B 4 P P"], reduced: Float[Tensor, "B T K"]) -> Float[Tensor, " B"]:
        covered = F.avg_pool2d(pictures[:, 3], _STRIDE).flatten(1)
        # An object thinner than half a token still counts by the token it covers most.
        is_inside = covered >= covered.amax(1, keepdim=True).clamp(max=0.5)
        squared = (reduced / self.deviation).square().mean(-1)
        return (squared * is_inside).sum(1) / is_inside.sum(1)

    def places(self, side: int) -> Float[Tensor, "T Cplace"]:
        """Sines and cosines of the tokens' middles, x then y."""
        middle = (torch.arange(side) + 0.5) / side
        # Powers of sqrt(2): from half a turn over the picture to about six, all below the tokens' own spacing.
        turns = 0.5 * 2 ** (torch.arange(self.config.num_frequencies) / 2)
        phase = 2 * math.pi * middle[:, None] * turns
        axis = torch.cat([phase.sin(), phase.cos()], 1)
        x = axis.expand(side, -1, -1).flatten(0, 1)
        y = axis[:, None].expand(-1, side, -1).flatten(0, 1)
        return torch.cat([x, y], 1)

    @torch.no_grad()
    def fit(self, batches: Iterable[Float[Tensor, "B 4 P P"]]) -> None:
        """Sets the linear map to the principal components of the features of these pictures.

        Components are scaled by the root of their standard deviation's inverse: half way to whitening, so that the
        strong ones lead and the weak ones are heard.
        """
        pictures = list(batches)
        features = [self.features(batch) for batch in pictures]
        rows = torch.cat([batch.flatten(0, 1) for batch in features]).double()
        mean = rows.mean(0)
        _, scale, axes = torch.linalg.svd(torch.cov((rows - mean).T))
        kept = self.config.num_components
        deviation = scale[:kept].sqrt()
        gain = deviation.rsqrt() / deviation.sqrt().mean()
        self.mean.copy_(mean)
        self.components.copy_(axes[:kept].T * gain)
        self.deviation.copy_(deviation * gain)
        reduced = [(batch - self.mean) @ self.components for batch in features]
        strengths = torch.cat([self._strength(*pair) for pair in zip(pictures, reduced, strict=True)])
        self.usual_range.copy_(strengths.quantile(torch.tensor([0.005, 0.995])))
