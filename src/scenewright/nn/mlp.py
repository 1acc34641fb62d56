"""The feed-forward network of transformer blocks."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.nn.activations import activated, gelu_tanh

__all__ = ["FeedForward"]

_HIDDEN_BYTES = 16 << 20
"""Hidden activations made at a time on a CPU. Allocators keep blocks of this size for reuse; larger ones come from the
system page by page, which costs as much as the activation itself."""


class FeedForward(nn.Module):
    """Linear, GELU (tanh approximation), Linear, with hidden width int(channels * mlp_ratio)."""

    def __init__(self, channels: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        self.hidden_channels = hidden = int(channels * mlp_ratio)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, channels))

    def forward(self, x: Float[Tensor, "*rows C"]) -> Float[Tensor, "*rows C"]:
        rows = x.flatten(0, -2)
        block = max(1, _HIDDEN_BYTES // (self.hidden_channels * x.element_size()))
        if torch.is_grad_enabled() or x.device.type != "cpu" or len(rows) <= block:
            return self._rows(x)
        return torch.cat([self._rows(part) for part in rows.split(block)]).view_as(x)

    def _rows(self, x: Float[Tensor, "*rows C"]) -> Float[Tensor, "*rows C"]:
        expand, _, contract = self.mlp
        return contract(activated(expand(x), gelu_tanh))
