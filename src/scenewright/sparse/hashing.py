"""Integer keys for voxel coordinates, and exact look-up of coordinates by sorted keys.

A key packs (batch, x, y, z) into one int64 with 16 bits per axis, so a neighbour's key is the key plus a constant, and
a step over the border of the grid lands on a key that no voxel has.

Legend: N voxels, M queries.
"""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from scenewright.compiled import njit

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
    """Exact look-up of rows by key: sort once, then binary search.

    Attributes:
        is_sorted: whether keys ascend with their rows.
    """

    def __init__(self, keys: Int[Tensor, " N"]) -> None:
        self.is_sorted = bool((keys[1:] >= keys[:-1]).all())
        self._order = None if self.is_sorted else keys.argsort()
        self._sorted_keys = keys if self._order is None else keys[self._order]

    def find(self, queries: Int[Tensor, " M"]) -> tuple[Int[Tensor, " H"], Int[Tensor, " H"]]:
        """Pairs (query index, row index) of the queries that are in the table, in ascending query order."""
        if not len(self._sorted_keys):
            empty = queries.new_empty(0)
            return empty, empty
        if queries.device.type == "cpu":
            hit, row = map(torch.from_numpy, _find(self._sorted_keys.numpy(), queries.numpy()))
        else:
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


@njit(cache=True, nogil=True)
@no_type_check
def _find(keys, queries):
    """Queries that are among the ascending `keys`, and where; a step or two each where queries ascend as well."""
    hits, rows = np.empty(len(queries), np.int64), np.empty(len(queries), np.int64)
    count = position = 0
    for index in range(len(queries)):
        query = queries[index]
        steps = 0
        while position < len(keys) and keys[position] < query and steps < 8:
            position += 1
            steps += 1
        # Far away: the position holds where every key before it is smaller, and this one is not.
        is_beyond = position < len(keys) and keys[position] < query
        if is_beyond or (position > 0 and keys[position - 1] >= query):
            position = np.searchsorted(keys, query)
        if position < len(keys) and keys[position] == query:
            hits[count], rows[count] = index, position
            count += 1
    return hits[:count].copy(), rows[:count].copy()
