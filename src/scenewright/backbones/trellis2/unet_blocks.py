"""Blocks of the sparse autoencoders: residual convolutions at one resolution, and between two.

Where gradients are off, output rows are computed in blocks, so that what is wide (four or eight times the channels of
the result) never exists for all voxels at once. The result is the same.
Source: microsoft/TRELLIS.2 trellis2/models/sc_vaes/sparse_unet_vae.py.

Legend: N voxels, M coarse voxels, C channels.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.nn.activations import activated
from scenewright.nn.norm import LayerNorm32
from scenewright.nn.sparse_conv import SparseConv3d
from scenewright.sparse.resample import downsample
from scenewright.sparse.row_blocks import assembled
from scenewright.sparse.subdivision import (
    NUM_CHILDREN,
    Subdivision,
    copy_to_children,
    space_to_channel,
)
from scenewright.sparse.tensor import SparseTensor

__all__ = ["ConvNeXtBlock", "DownBlock", "NearestDownBlock", "NearestUpBlock", "UpBlock"]

NORM_EPS = 1e-6
# Bytes of temporaries of one block of rows.
_BLOCK_BYTES = 1 << 28


class ConvNeXtBlock(nn.Module):
    """x + W2 SiLU(W1 norm(conv(x))), with a full 3^3 convolution."""

    def __init__(self, channels: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        hidden = int(channels * mlp_ratio)
        self.row_values = 2 * hidden + 4 * channels
        self.norm = LayerNorm32(channels, eps=NORM_EPS)
        self.conv = SparseConv3d(channels, channels)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.SiLU(), nn.Linear(hidden, channels))

    def forward(self, x: SparseTensor) -> SparseTensor:
        return x.replace(_conv_then(self.conv, x, self.row_values, lambda h, rows: x.feats[rows] + self._by_row(h)))

    def _by_row(self, h: Float[Tensor, "rows C"]) -> Float[Tensor, "rows C"]:
        expand, _, contract = self.mlp
        return contract(activated(expand(self.norm(h)), F.silu))


class DownBlock(nn.Module):
    """Halves the resolution by moving children to channels, around two convolutions."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.norm1 = LayerNorm32(channels, eps=NORM_EPS)
        self.norm2 = LayerNorm32(out_channels, eps=NORM_EPS, elementwise_affine=False)
        self.conv1 = SparseConv3d(channels, out_channels // NUM_CHILDREN)
        self.conv2 = SparseConv3d(out_channels, out_channels)

    def forward(self, x: SparseTensor) -> SparseTensor:
        h = space_to_channel(self.conv1(x.replace(activated(self.norm1(x.feats), F.silu))))
        h = h.replace(activated(self.norm2(h.feats), F.silu))
        skip = self._skip(x)
        return h.replace(_conv_then(self.conv2, h, 2 * self.out_channels, lambda y, rows: y + skip[rows]))

    def _skip(self, x: SparseTensor) -> Float[Tensor, "M C"]:
        """Children as channels, each `group` neighbouring channels averaged."""
        group = NUM_CHILDREN * x.feats.shape[1] // self.out_channels
        if x.feats.shape[1] % group == 0:
            # No group spans two children: averaging first keeps the wide tensor from existing.
            return space_to_channel(x.replace(x.feats.unflatten(1, (-1, group)).mean(2))).feats
        return space_to_channel(x).feats.unflatten(1, (-1, group)).mean(2)


class _Subdividing(nn.Module):
    """A block that doubles the resolution; `to_subdiv` predicts from its input which children exist."""

    to_subdiv: nn.Linear | None

    def predict(self, x: SparseTensor) -> Float[Tensor, "M 8"]:
        """Logit of each child; it exists where its logit is positive."""
        if self.to_subdiv is None:
            raise ValueError("This decoder predicts no subdivision: it needs that of a shape decoder or encoder.")
        return self.to_subdiv(x.feats)


class UpBlock(_Subdividing):
    """Doubles the resolution by moving channels to children, between two convolutions."""

    def __init__(self, channels: int, out_channels: int, predicts: bool = True) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.norm1 = LayerNorm32(channels, eps=NORM_EPS)
        self.norm2 = LayerNorm32(out_channels, eps=NORM_EPS, elementwise_affine=False)
        self.conv1 = SparseConv3d(channels, NUM_CHILDREN * out_channels)
        self.conv2 = SparseConv3d(out_channels, out_channels)
        self.to_subdiv = nn.Linear(channels, NUM_CHILDREN) if predicts else None

    def forward(self, x: SparseTensor, division: Subdivision) -> SparseTensor:
        division.check(x.voxels)
        h = SparseTensor(assembled(len(division.fine), self._children(x, division)), division.fine)
        blocks: Float[Tensor, "M8 Cskip"] = x.feats.reshape(-1, x.feats.shape[1] // NUM_CHILDREN)
        repeats = self.out_channels // blocks.shape[1]

        def add_skip(y: Tensor, rows: slice) -> Tensor:
            return y + blocks[division.slots[rows]].repeat_interleave(repeats, 1)

        return h.replace(_conv_then(self.conv2, h, 4 * self.out_channels, add_skip))

    def _children(self, x: SparseTensor, division: Subdivision) -> Iterator[tuple[slice | Tensor, Tensor]]:
        """First half of the block: of all 8 C channels that the convolution makes, only existing children are kept."""
        h = x.replace(activated(self.norm1(x.feats), F.silu))
        for parents, wide in self.conv1.by_rows(h, _rows_per_block(x, 2 * self.conv1.weight.shape[0])):
            children = division.children_of(parents)
            kept = wide.view(-1, self.out_channels)[division.slots[children] - parents.start * NUM_CHILDREN]
            yield children, activated(self.norm2(kept), F.silu)


class NearestDownBlock(nn.Module):
    """Halves the resolution by averaging children; no published checkpoint uses it."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm32(channels, eps=NORM_EPS)
        self.norm2 = LayerNorm32(out_channels, eps=NORM_EPS, elementwise_affine=False)
        self.conv1 = SparseConv3d(channels, out_channels)
        self.conv2 = SparseConv3d(out_channels, out_channels)
        self.skip_connection = _linear_skip(channels, out_channels)

    def forward(self, x: SparseTensor) -> SparseTensor:
        h = self.conv1(downsample(x.replace(activated(self.norm1(x.feats), F.silu))))
        h = self.conv2(h.replace(activated(self.norm2(h.feats), F.silu)))
        return h.replace(h.feats + self.skip_connection(downsample(x).feats))


class NearestUpBlock(_Subdividing):
    """Doubles the resolution by copying parents to children; no published checkpoint uses it."""

    def __init__(self, channels: int, out_channels: int, predicts: bool = True) -> None:
        super().__init__()
        self.norm1 = LayerNorm32(channels, eps=NORM_EPS)
        self.norm2 = LayerNorm32(out_channels, eps=NORM_EPS, elementwise_affine=False)
        self.conv1 = SparseConv3d(channels, out_channels)
        self.conv2 = SparseConv3d(out_channels, out_channels)
        self.skip_connection = _linear_skip(channels, out_channels)
        self.to_subdiv = nn.Linear(channels, NUM_CHILDREN) if predicts else None

    def forward(self, x: SparseTensor, division: Subdivision) -> SparseTensor:
        h = self.conv1(copy_to_children(x.replace(activated(self.norm1(x.feats), F.silu)), division))
        h = self.conv2(h.replace(activated(self.norm2(h.feats), F.silu)))
        return h.replace(h.feats + self.skip_connection(copy_to_children(x, division).feats))


def _linear_skip(channels: int, out_channels: int) -> nn.Module:
    return nn.Linear(channels, out_channels) if channels != out_channels else nn.Identity()


def _rows_per_block(x: SparseTensor, channels: int) -> int:
    """Number of rows of `channels` values that fit the budget; all where gradients are needed."""
    if torch.is_grad_enabled():
        return max(len(x.feats), 1)
    return max(1, _BLOCK_BYTES // (channels * x.feats.element_size()))


def _conv_then(
    conv: SparseConv3d, x: SparseTensor, channels: int, then: Callable[[Tensor, slice], Tensor]
) -> Float[Tensor, "N C"]:
    """then(conv(x)[rows], rows) for all rows; `channels` is how many values per row are alive meanwhile."""
    blocks = conv.by_rows(x, _rows_per_block(x, channels))
    return assembled(len(x.feats), ((rows, then(h, rows)) for rows, h in blocks))
