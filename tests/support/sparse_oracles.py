"""Sparse operations of the published libraries, in their plainest form."""

from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.sparse.hashing import coord_keys, keys_to_coords
from scenewright.sparse.kernel_map import KernelMap
from scenewright.sparse.subdivision import NUM_CHILDREN, Subdivision
from scenewright.sparse.tensor import SparseTensor, VoxelSet


def strided_map(voxels: VoxelSet, kernel_size: int, stride: int, padding: int = 0) -> tuple[VoxelSet, KernelMap]:
    """Output voxels and map of a strided convolution: an output exists where any tap meets an input voxel.

    Output o reads input o * stride - padding + k for k in [0, kernel_size)^3; outputs are in lexicographic order.
    The exchanged map (`KernelMap.transposed`) is that of the transposed convolution back to `voxels`.
    """

    def build() -> tuple[VoxelSet, KernelMap]:
        sources, keys = [], []
        for tap in product(range(kernel_size), repeat=3):
            shifted = voxels.coords[:, 1:].long() + padding - torch.tensor(tap, device=voxels.coords.device)
            source = ((shifted % stride == 0) & (shifted >= 0)).all(1).nonzero().squeeze(1)
            target_coords = torch.cat([voxels.batch_index[source, None], shifted[source] // stride], 1)
            sources.append(source)
            keys.append(coord_keys(target_coords))
        unique, inverse = torch.cat(keys).unique(return_inverse=True)
        coarse = VoxelSet(keys_to_coords(unique), voxels.batch_size)
        targets = inverse.split([len(source) for source in sources])
        orders = [target.argsort() for target in targets]
        kernel_map = KernelMap(
            tuple(source[order] for source, order in zip(sources, orders, strict=True)),
            tuple(target[order] for target, order in zip(targets, orders, strict=True)),
            len(voxels),
            len(coarse),
        )
        return coarse, kernel_map

    return voxels.cached(("strided", kernel_size, stride, padding), build)


def channel_to_space(x: SparseTensor, division: Subdivision) -> SparseTensor:
    """Every child takes its block of its parent's channels; the inverse of `space_to_channel` where a child exists."""
    division.check(x.voxels)
    blocks: Float[Tensor, "M8 C"] = x.feats.reshape(-1, x.feats.shape[1] // NUM_CHILDREN)
    return SparseTensor(blocks[division.slots], division.fine)


def sparse_conv_plain(
    feats: Float[Tensor, "N C"],
    weight: Float[Tensor, "K C D"],
    bias: Float[Tensor, " D"] | None,
    kernel_map: KernelMap,
) -> Float[Tensor, "M D"]:
    """The specification of `sparse_conv`."""
    out = feats.new_zeros(kernel_map.num_targets, weight.shape[2])
    for tap, (source, target) in enumerate(zip(kernel_map.sources, kernel_map.targets, strict=True)):
        out = out.index_add(0, target, feats[source] @ weight[tap])
    return out if bias is None else out + bias
