"""Halving and doubling the resolution of sparse voxels.

Legend: N fine voxels, M coarse voxels, C channels.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.sparse.hashing import coord_keys, keys_to_coords
from scenewright.sparse.tensor import SparseTensor, VoxelSet

__all__ = ["Pooling", "downsample", "pooling", "subdivide", "subdivided", "upsample"]


# One factor for all axes, or one per axis.
Factor = int | tuple[int, int, int]


@dataclass(frozen=True)
class Pooling:
    """Parents of a voxel set under division by `factor`: coarse voxels in lexicographic order, one parent per voxel."""

    parents: VoxelSet
    parent_of: Int[Tensor, " N"]
    num_children: Int[Tensor, " M"]


def pooling(voxels: VoxelSet, factor: Factor = 2) -> Pooling:
    """The `Pooling` of `voxels`, built once per coordinate set."""

    def build() -> Pooling:
        divisor = torch.tensor(factor, dtype=voxels.coords.dtype, device=voxels.coords.device)
        coarse = torch.cat([voxels.coords[:, :1], voxels.coords[:, 1:] // divisor], 1)
        keys, parent_of, count = coord_keys(coarse).unique(return_inverse=True, return_counts=True)
        return Pooling(VoxelSet(keys_to_coords(keys), voxels.batch_size), parent_of, count)

    return voxels.cached(("pooling", factor), build)


def downsample(
    x: SparseTensor, factor: Factor = 2, *, count_offset: int = 0, mode: Literal["mean", "max"] = "mean"
) -> SparseTensor:
    """Mean or largest value, per channel, of the existing children of each coarse voxel.

    The sum of a mean is divided by (children + `count_offset`): TRELLIS v1 was trained with a mean that counts the zero
    it starts from, `count_offset=1` there (`SparseDownsample` of microsoft/TRELLIS trellis/modules/sparse/spatial.py),
    0 elsewhere.
    """
    pool = pooling(x.voxels, factor)
    start = x.feats.new_zeros(len(pool.parents), *x.feats.shape[1:])
    trailing = [1] * (start.ndim - 1)
    if mode == "max":
        index = pool.parent_of.view(-1, *trailing).expand_as(x.feats)
        return SparseTensor(start.scatter_reduce(0, index, x.feats, "amax", include_self=False), pool.parents)
    divisor = (pool.num_children + count_offset).to(start.dtype).view(-1, *trailing)
    return SparseTensor(start.index_add(0, pool.parent_of, x.feats) / divisor, pool.parents)


def upsample(x: SparseTensor, fine: VoxelSet, factor: Factor = 2) -> SparseTensor:
    """Copies each coarse feature to its children in `fine`, the voxel set that was downsampled to `x`."""
    pool = pooling(fine, factor)
    if len(pool.parents) != len(x.voxels) or not torch.equal(pool.parents.coords, x.coords):
        raise ValueError("The voxels to upsample to were not downsampled to these coarse voxels.")
    return SparseTensor(x.feats.index_select(0, pool.parent_of), fine)


# Children of a voxel in the order of their offsets (0,0,0), (0,0,1), (0,1,0), ... (1,1,1).
_CHILD_OFFSETS = [(0, x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]


def subdivided(voxels: VoxelSet) -> VoxelSet:
    """Every voxel's 8 children at 2c + offset, contiguous, offsets in lexicographic order."""

    def build() -> VoxelSet:
        double = voxels.coords * torch.tensor([1, 2, 2, 2], device=voxels.coords.device, dtype=voxels.coords.dtype)
        offsets = torch.tensor(_CHILD_OFFSETS, device=double.device, dtype=double.dtype)
        return VoxelSet((double[:, None] + offsets).flatten(0, 1), voxels.batch_size)

    return voxels.cached("subdivided", build)


def subdivide(x: SparseTensor) -> SparseTensor:
    """Every voxel becomes its 8 children, each with the parent's features."""
    feats: Float[Tensor, "M C"] = x.feats.repeat_interleave(8, 0)
    return SparseTensor(feats, subdivided(x.voxels))
