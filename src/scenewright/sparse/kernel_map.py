"""Kernel maps: the pairs of input and output rows that meet under each tap of a convolution kernel.

A map is built once per coordinate set and geometry, and reused by every convolution and sampling step on it.

Legend: N input rows, M output rows, K taps (kernel^3, lexicographic in x, y, z), P pairs.
"""

from dataclasses import dataclass, field
from itertools import product

import torch
from jaxtyping import Int
from torch import Tensor

from scenewright.sparse.hashing import key_offset
from scenewright.sparse.tensor import VoxelSet

__all__ = ["KernelMap", "submanifold_map"]


TapPairs = tuple[int, Tensor, Tensor]
"""A tap, and the input rows and the output rows of a block that meet under it."""


@dataclass(frozen=True)
class KernelMap:
    """Row pairs of each tap; `targets[k]` is ascending and free of repeats, so a tap never adds twice to one row."""

    sources: tuple[Int[Tensor, " _"], ...]
    targets: tuple[Int[Tensor, " _"], ...]
    num_sources: int
    num_targets: int
    identity_tap: int | None = None
    """Tap whose pairs are exactly (i, i): it needs no gather."""
    _transposed: list["KernelMap"] = field(default_factory=list, repr=False, compare=False)
    _blocks: dict[tuple[int, ...], list[list[TapPairs]]] = field(default_factory=dict, repr=False, compare=False)

    def in_blocks(self, starts: tuple[int, ...]) -> list[list[TapPairs]]:
        """For every block of target rows, from each start to the next: its taps with their pairs, in order of taps.

        Target rows count from the start of their block. Taps without pairs in a block, and the identity tap, are left
        out. Kept, because cutting costs as much as a small product.
        """
        if starts not in self._blocks:
            blocks: list[list[TapPairs]] = [[] for _ in starts[1:]]
            for tap, (source, target) in enumerate(zip(self.sources, self.targets, strict=True)):
                if tap == self.identity_tap:
                    continue
                sizes = torch.searchsorted(target, torch.tensor(starts, device=target.device)).diff().tolist()
                pieces = zip(blocks, starts[:-1], source.split(sizes), target.split(sizes), strict=True)
                for block, start, sources, targets in pieces:
                    if len(sources):
                        block.append((tap, sources, targets - start))
            self._blocks[starts] = blocks
        return self._blocks[starts]

    def transposed(self) -> "KernelMap":
        """The map with sources and targets exchanged, as the gradient by the input needs it."""
        if not self._transposed:
            orders = [source.argsort() for source in self.sources]
            self._transposed.append(
                KernelMap(
                    tuple(target[order] for target, order in zip(self.targets, orders, strict=True)),
                    tuple(source[order] for source, order in zip(self.sources, orders, strict=True)),
                    self.num_targets,
                    self.num_sources,
                    self.identity_tap,
                )
            )
        return self._transposed[0]


def _taps(kernel_size: int) -> list[tuple[int, int, int]]:
    radius = (kernel_size - 1) // 2
    return [(x - radius, y - radius, z - radius) for x, y, z in product(range(kernel_size), repeat=3)]


def submanifold_map(voxels: VoxelSet, kernel_size: int = 3, dilation: int = 1) -> KernelMap:
    """Map of a stride-1 convolution whose output voxels are its input voxels (odd `kernel_size`).

    Tap k of target p reads the voxel at p + (k - radius) * dilation of the same batch item, where it exists.
    """
    if kernel_size % 2 == 0:
        raise ValueError(f"A submanifold convolution needs an odd kernel, got {kernel_size}.")

    def build() -> KernelMap:
        taps = _taps(kernel_size)
        rows = torch.arange(len(voxels), device=voxels.coords.device)
        pairs: list[tuple[Tensor, Tensor] | None] = [None] * len(taps)
        for index, tap in enumerate(taps):
            mirror = len(taps) - 1 - index
            if index == mirror:
                pairs[index] = (rows, rows)
            elif pairs[index] is None:
                target, source = voxels.table.find(voxels.keys + key_offset(*(step * dilation for step in tap)))
                pairs[index] = (source, target)
                # q is the neighbour of p at +d exactly where p is the neighbour of q at -d. Where rows are in the order
                # of their keys, so are their neighbours.
                order = slice(None) if voxels.table.is_sorted else source.argsort()
                pairs[mirror] = (target[order], source[order])
        sources, targets = zip(*[pair for pair in pairs if pair is not None], strict=True)
        return KernelMap(sources, targets, len(voxels), len(voxels), identity_tap=len(taps) // 2)

    return voxels.cached(("submanifold", kernel_size, dilation), build)
