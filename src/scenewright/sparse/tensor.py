"""The sparse tensor: features on a set of voxels, with everything derived from the coordinates built once.

`VoxelSet` owns coordinates and caches what depends on them alone (keys, batch lengths, neighbour maps, windows,
pooling maps). `SparseTensor` pairs it with features; tensors on the same voxels share one `VoxelSet`, so a map made by
one layer serves every later layer and every sampling step.

Legend: N voxels, B batch items. Coordinates are (batch, x, y, z) with the rows of one item contiguous and items
ascending (docs/conventions.md#grid); rows inside an item may be in any order, which every operation keeps.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.sparse.hashing import CoordTable, coord_keys

__all__ = ["SparseTensor", "VoxelSet", "packed_voxels"]

Built = TypeVar("Built")


class VoxelSet:
    """An immutable set of voxel coordinates with a cache of what is derived from them.

    Args:
        coords: int32 rows (batch, x, y, z).
        batch_size: number of batch items; by default the largest batch index plus one, so that empty last items need
            it given.
    """

    def __init__(self, coords: Int[Tensor, "N 4"], batch_size: int | None = None) -> None:
        batch = coords[:, 0]
        if bool((batch[1:] < batch[:-1]).any()):
            raise ValueError("Voxels of one batch item must be contiguous and batch items ascending; sort the rows.")
        largest = int(batch[-1]) + 1 if len(batch) else 0
        if batch_size is not None and batch_size < largest:
            raise ValueError(f"Coordinates name {largest} batch items, more than the batch size {batch_size}.")
        self.coords = coords
        self.batch_size = largest if batch_size is None else batch_size
        self._built: dict[Hashable, object] = {}

    def __len__(self) -> int:
        return len(self.coords)

    def cached(self, name: Hashable, build: Callable[[], Built]) -> Built:
        """The value of `build()`, computed once per coordinate set under `name`."""
        if name not in self._built:
            self._built[name] = build()
        return self._built[name]  # type: ignore[return-value]

    @property
    def batch_index(self) -> Int[Tensor, " N"]:
        """Batch item of each row, int64, usable as an index."""
        return self.cached("batch_index", lambda: self.coords[:, 0].long())

    @property
    def lengths(self) -> tuple[int, ...]:
        """Number of voxels of each batch item; zero for an empty one."""
        return self.cached(
            "lengths", lambda: tuple(torch.bincount(self.batch_index, minlength=self.batch_size).tolist())
        )

    @property
    def keys(self) -> Int[Tensor, " N"]:
        return self.cached("keys", lambda: coord_keys(self.coords))

    @property
    def table(self) -> CoordTable:
        return self.cached("table", lambda: CoordTable(self.keys))

    def to(self, device: torch.device | str) -> "VoxelSet":
        """The same voxels on another device; itself (with its cache) where it already is there."""
        device = torch.device(device)
        if self.coords.device == device:
            return self
        return VoxelSet(self.coords.to(device), self.batch_size)


class SparseTensor:
    """Features `[N, C]` (or `[N, ...]`) on a `VoxelSet`, or on coordinates from which one is made."""

    def __init__(self, feats: Float[Tensor, "rows ..."], voxels: VoxelSet | Int[Tensor, "N 4"]) -> None:
        self.voxels = voxels if isinstance(voxels, VoxelSet) else VoxelSet(voxels)
        if len(feats) != len(self.voxels):
            raise ValueError(f"Got {len(feats)} rows of features for {len(self.voxels)} voxels.")
        self.feats = feats

    @property
    def coords(self) -> Int[Tensor, "N 4"]:
        return self.voxels.coords

    @property
    def batch_size(self) -> int:
        return self.voxels.batch_size

    def replace(self, feats: Float[Tensor, "N ..."]) -> "SparseTensor":
        """Other features on the same voxels, sharing everything built from the coordinates."""
        return SparseTensor(feats, self.voxels)

    def item(self, index: int) -> tuple[Int[Tensor, "n 3"], Float[Tensor, "n ..."]]:
        """Coordinates (x, y, z) and features of one batch item."""
        start = sum(self.voxels.lengths[:index])
        rows = slice(start, start + self.voxels.lengths[index])
        return self.coords[rows, 1:], self.feats[rows]


def packed_voxels(coords: Sequence[Int[Tensor, "_ 3"]], device: torch.device | str = "cpu") -> VoxelSet:
    """The voxels (x, y, z) of several objects as one batch, in their order."""
    rows = [torch.nn.functional.pad(xyz.int(), (1, 0), value=item) for item, xyz in enumerate(coords)]
    return VoxelSet(torch.cat(rows).to(device), len(coords))
