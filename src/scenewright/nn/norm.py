"""Normalisation layers; statistics are always taken in fp32 and the result returns in the input's dtype.

Legend: T packed rows, H heads, D width of a head, C channels.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.sparse.attention import Sequences

__all__ = ["ChannelLayerNorm32", "LayerNorm32", "MultiHeadRMSNorm", "SparseGroupNorm32"]


class LayerNorm32(nn.LayerNorm):
    """Layer norm over the last axis. `elementwise_affine` as in torch; the affine parameters stay fp32."""

    def forward(self, x: Float[Tensor, "*rows C"]) -> Float[Tensor, "*rows C"]:
        # A CPU's kernel takes fp32 statistics of bfloat16 itself, in one pass.
        is_taken = x.dtype == torch.bfloat16 and x.device.type == "cpu" and not torch.is_grad_enabled()
        rows = x if is_taken else x.float()
        return F.layer_norm(rows, self.normalized_shape, self.weight, self.bias, self.eps).to(x.dtype)


class ChannelLayerNorm32(nn.LayerNorm):
    """Layer norm over the channels of every voxel of a dense `[B, C, X, Y, Z]` tensor."""

    def forward(self, x: Float[Tensor, "B C X Y Z"]) -> Float[Tensor, "B C X Y Z"]:
        channels_last = x.movedim(1, -1).float()
        normed = F.layer_norm(channels_last, self.normalized_shape, self.weight, self.bias, self.eps)
        return normed.movedim(-1, 1).to(x.dtype)


class MultiHeadRMSNorm(nn.Module):
    """x / max(|x|_2, 1e-12) * gamma * sqrt(D) per head, as TRELLIS normalises queries and keys."""

    def __init__(self, num_heads: int, head_channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(num_heads, head_channels))

    def forward(self, x: Float[Tensor, "*rows H D"]) -> Float[Tensor, "*rows H D"]:
        rows = x.float()
        inverse = torch.linalg.vector_norm(rows, dim=-1, keepdim=True).clamp(min=1e-12).reciprocal()
        return (rows * inverse * (self.gamma * x.shape[-1] ** 0.5)).to(x.dtype)


class SparseGroupNorm32(nn.GroupNorm):
    """Group norm of packed rows: statistics per sequence and group, over the group's channels and all its rows."""

    def forward(self, x: Float[Tensor, "T C"], tokens: Sequences) -> Float[Tensor, "T C"]:  # type: ignore[override]
        count, groups = len(tokens.lengths), self.num_groups
        index = tokens.row_index(x.device)
        grouped = x.float().unflatten(1, (groups, -1))
        size = torch.tensor(tokens.lengths, device=x.device).clamp(min=1)[:, None] * grouped.shape[2]

        def mean_per_sequence(values: Tensor) -> Tensor:
            return values.new_zeros(count, groups).index_add(0, index, values) / size

        centred = grouped - mean_per_sequence(grouped.sum(2))[index, :, None]
        variance = mean_per_sequence(centred.square().sum(2))
        normed = (centred * (variance + self.eps).rsqrt()[index, :, None]).flatten(1)
        return (normed * self.weight + self.bias).to(x.dtype)
