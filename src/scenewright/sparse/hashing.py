"""Integer keys for voxel coordinates, and exact look-up of coordinates by sorted keys.

A key packs (batch, x, y, z) into one int64 with 16 bits per axis, so a neighbour's key is the key plus a constant, and
a step over the border of the grid lands on a key that no voxel has.

Legend: N voxels, M queries.
"""

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["MAX_COORDINATE", "CoordTable", "coord_keys", "key_offset", "keys_to_coords"]

AXIS_BITS = 16
# Leaves room for the largest step (kernel radius times dilation) without reaching the next row of keys.
MAX_COORDINATE = (1 << AXIS_BITS) - 256


def coord_keys(coords: Int[Tensor, "N 4"]) -> Int[Tensor, " N"]:
    """One int64 key per row of (batch, x, y, z); ascending keys are lexicographic rows.

    Raises:
        ValueError: a coordinate is negative or above `MAX_COORDINATE`.
    """
    if coords.numel() and (int(coords.min()) < 0 or int(coords[:, 1:].max()) > MAX_COORDINATE):
        low, high = int(coords.min()), int(coords[:, 1:].max())
        raise ValueError(f"Voxel coordinates must lie in [0, {MAX_COORDINATE}], got [{low}, {high}].")
    batch, x, y, z = coords.long().unbind(1)
    return (((batch << AXIS_BITS | x) << AXIS_BITS | y) << AXIS_BITS) | z


def keys_to_coords(keys: Int[Tensor, " N"]) -> Int[Tensor, "N 4"]:
    """Inverse of `coord_keys`, as int32."""
    mask = (1 << AXIS_BITS) - 1
    columns = [keys >> 3 * AXIS_BITS, keys >> 2 * AXIS_BITS & mask, keys >> AXIS_BITS & mask, keys & mask]
    return torch.stack(columns, 1).int()


def key_offset(dx: int, dy: int, dz: int) -> int:
    """The difference between the keys of two voxels of a batch item that lie (dx, dy, dz) apart."""
    return ((dx << AXIS_BITS) + dy << AXIS_BITS) + dz


class CoordTable:
    """Exact look-up of rows by key: sort once, then binary search."""

    def __init__(self, keys: Int[Tensor, " N"]) -> None:
        is_sorted = bool((keys[1:] >= keys[:-1]).all())
        self._order = None if is_sorted else keys.argsort()
        self._sorted_keys = keys if self._order is None else keys[self._order]

    def find(self, queries: Int[Tensor, " M"]) -> tuple[Int[Tensor, " H"], Int[Tensor, " H"]]:
        """Pairs (query index, row index) of the queries that are in the table, in ascending query order."""
        if not len(self._sorted_keys):
            empty = queries.new_empty(0)
            return empty, empty
        position = torch.searchsorted(self._sorted_keys, queries).clamp_(max=len(self._sorted_keys) - 1)
        hit = (self._sorted_keys[position] == queries).nonzero().squeeze(1)
        row = position[hit]
        return hit, row if self._order is None else self._order[row]

    def rows(self, queries: Int[Tensor, " M"]) -> Int[Tensor, " M"]:
        """Row index of each query, or -1 where the table lacks it."""
        found = torch.full_like(queries, -1)
        hit, row = self.find(queries)
        found[hit] = row
        return found
