"""Sparse convolution as a layer."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from scenewright.sparse.conv import sparse_conv
from scenewright.sparse.kernel_map import submanifold_map
from scenewright.sparse.row_blocks import blocked_maps
from scenewright.sparse.tensor import SparseTensor

__all__ = ["SparseConv3d"]


class SparseConv3d(nn.Module):
    """Submanifold convolution: output voxels are the input voxels, missing neighbours add nothing.

    `weight` is `[out, kx, ky, kz, in]`, the published layout of both backbones; on a full grid the layer equals a
    dense conv3d with `weight.permute(0, 4, 1, 2, 3)` and zero padding.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, dilation: int = 1, *, bias: bool = True
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.weight = nn.Parameter(torch.empty(out_channels, kernel_size, kernel_size, kernel_size, in_channels))
        if bias:
            self.bias = nn.Parameter(torch.empty(out_channels))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Kaiming uniform with a = sqrt(5) on fan-in = in * kernel^3, which is uniform in +-1 / sqrt(fan_in)."""
        bound = 1 / math.sqrt(self.weight[0].numel())
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def after_fill(self, attribute: str) -> None:
        """Lays each tap out in one piece, as `sparse_conv` would at every call; see `weights.load`."""
        if attribute == "weight" and self.kernel_size > 1:
            taps = self.taps.contiguous().unflatten(0, (self.kernel_size,) * 3)
            self.weight = nn.Parameter(taps.permute(4, 0, 1, 2, 3), requires_grad=self.weight.requires_grad)

    @property
    def taps(self) -> Tensor:
        """The weight as `[kernel^3, in, out]`."""
        return self.weight.flatten(1, 3).permute(1, 2, 0)

    def forward(self, x: SparseTensor) -> SparseTensor:
        kernel_map = submanifold_map(x.voxels, self.kernel_size, self.dilation)
        return x.replace(sparse_conv(x.feats, self.taps, self.bias, kernel_map))

    def by_rows(self, x: SparseTensor, rows_per_block: int) -> Iterator[tuple[slice, Tensor]]:
        """The output in blocks of rows, exactly that of `forward`: for voxel sets too large to hold it at once."""
        for rows, kernel_map in blocked_maps(x.voxels, self.kernel_size, self.dilation, rows_per_block):
            yield rows, sparse_conv(x.feats, self.taps, self.bias, kernel_map)
