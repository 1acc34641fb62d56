"""Moving features between voxels and the 2x2x2 children they divide into (the autoencoders of TRELLIS.2).

Child s of the voxel c is the voxel 2c + (s & 1, s >> 1 & 1, s >> 2 & 1): x is the fastest bit here, unlike in the
octrees of VXZ files. Where a published layer remembers in a hidden cache which children there were, the functions here
take and give a `Subdivision`.

Legend: N fine voxels, M coarse voxels, C channels.
Source: microsoft/TRELLIS.2 trellis2/modules/sparse/spatial/spatial2channel.py.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenewright.sparse.resample import pooling
from scenewright.sparse.tensor import SparseTensor, VoxelSet

__all__ = ["NUM_CHILDREN", "Subdivision", "children_where", "copy_to_children", "grouped_by_parent", "space_to_channel"]

NUM_CHILDREN = 8


@dataclass(frozen=True)
class Subdivision:
    """The coarse voxel and the child slot of every fine voxel; fine rows may come in any order."""

    coarse: VoxelSet
    fine: VoxelSet
    parent: Int[Tensor, " N"]
    child: Int[Tensor, " N"]

    @cached_property
    def slots(self) -> Int[Tensor, " N"]:
        """Row of each fine voxel in the list of all M * 8 possible children."""
        return self.parent * NUM_CHILDREN + self.child

    @property
    def occupancy(self) -> Bool[Tensor, "M 8"]:
        """Mask of the children that exist."""
        table = torch.zeros(len(self.coarse) * NUM_CHILDREN, dtype=torch.bool, device=self.parent.device)
        return table.index_fill(0, self.slots, True).view(-1, NUM_CHILDREN)

    @cached_property
    def _by_parent(self) -> tuple[Int[Tensor, " N"] | None, Int[Tensor, " N"]]:
        """Order of fine rows by ascending parent (None where they already are), and the parents in that order."""
        if bool((self.parent[1:] >= self.parent[:-1]).all()):
            return None, self.parent
        order = self.parent.argsort(stable=True)
        return order, self.parent[order]

    def children_of(self, parents: slice) -> slice | Int[Tensor, " n"]:
        """Fine rows whose parents are among the consecutive coarse rows `parents`."""
        order, ascending = self._by_parent
        borders = torch.tensor([parents.start, parents.stop], device=ascending.device)
        begin, end = torch.searchsorted(ascending, borders).tolist()
        return slice(begin, end) if order is None else order[begin:end]

    def check(self, voxels: VoxelSet) -> None:
        """Raises ValueError unless `voxels` are the coarse voxels, row by row."""
        if voxels is not self.coarse and not torch.equal(voxels.coords, self.coarse.coords):
            raise ValueError(f"A subdivision of {len(self.coarse)} voxels does not fit these {len(voxels)} voxels.")


def grouped_by_parent(fine: VoxelSet) -> Subdivision:
    """The subdivision whose children are `fine`, in their order; parents ascend lexicographically. Built once."""

    def build() -> Subdivision:
        pool = pooling(fine, 2)
        x, y, z = (fine.coords[:, 1:].long() & 1).unbind(1)
        return Subdivision(pool.parents, fine, pool.parent_of, x + 2 * y + 4 * z)

    return fine.cached("grouped_by_parent", build)


def children_where(coarse: VoxelSet, keep: Bool[Tensor, "M 8"]) -> Subdivision:
    """The children that `keep` selects, parent by parent in the order of `coarse`, in ascending child index."""
    parent, child = keep.nonzero().unbind(1)
    offset = torch.stack([torch.zeros_like(child), child & 1, child >> 1 & 1, child >> 2 & 1], 1)
    double = coarse.coords * torch.tensor([1, 2, 2, 2], dtype=coarse.coords.dtype, device=child.device)
    fine = VoxelSet(double[parent] + offset.to(double.dtype), coarse.batch_size)
    return Subdivision(coarse, fine, parent, child)


def space_to_channel(x: SparseTensor) -> SparseTensor:
    """Coarse voxels with their children's features one after another (8 C channels), zeros where a child is missing."""
    division = grouped_by_parent(x.voxels)
    width = x.feats.shape[1]
    table = x.feats.new_zeros(len(division.coarse) * NUM_CHILDREN, width).index_copy(0, division.slots, x.feats)
    feats: Float[Tensor, "M C8"] = table.view(len(division.coarse), NUM_CHILDREN * width)
    return SparseTensor(feats, division.coarse)


def copy_to_children(x: SparseTensor, division: Subdivision) -> SparseTensor:
    """Every child takes its parent's features."""
    division.check(x.voxels)
    return SparseTensor(x.feats[division.parent], division.fine)
