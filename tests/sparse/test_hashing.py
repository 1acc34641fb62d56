"""Keys are a bijection that keeps lexicographic order, and look-up is exact."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from scenewright.sparse.hashing import MAX_COORDINATE, CoordTable, coord_keys, key_offset, keys_to_coords
from scenewright.sparse.tensor import VoxelSet
from tests.sparse.strategies import voxel_sets

ROW = st.tuples(st.integers(0, 2**14), *[st.integers(0, MAX_COORDINATE)] * 3)


@given(st.lists(ROW, max_size=20))
def test_keys_round_trip_and_keep_order(rows: list[tuple[int, int, int, int]]) -> None:
    coords = torch.tensor(sorted(rows), dtype=torch.int32).reshape(-1, 4)
    keys = coord_keys(coords)
    assert torch.equal(keys_to_coords(keys), coords)
    assert bool((keys[1:] >= keys[:-1]).all())


@given(voxel_sets())
def test_every_voxel_finds_itself_and_nothing_else(voxels: VoxelSet) -> None:
    table = CoordTable(voxels.keys)
    assert torch.equal(table.rows(voxels.keys), torch.arange(len(voxels)))
    assert bool((table.rows(voxels.keys + key_offset(0, 0, 100)) == -1).all())


@given(st.lists(st.integers(0, 40), max_size=40), st.lists(st.integers(-3, 60), max_size=60), st.booleans())
def test_queries_in_any_order_are_found_like_in_a_dictionary(keys: list[int], queries: list[int], ascend: bool) -> None:
    keys, queries = list(dict.fromkeys(keys)), sorted(queries) if ascend else queries
    known = {key: row for row, key in enumerate(keys)}
    found = CoordTable(torch.tensor(keys, dtype=torch.int64)).rows(torch.tensor(queries, dtype=torch.int64))
    assert found.tolist() == [known.get(query, -1) for query in queries]


def test_a_step_over_the_border_finds_nothing() -> None:
    # Voxel (0, 0, 0, 0) minus one in z must not meet the largest voxel of the row before it.
    table = CoordTable(coord_keys(torch.tensor([[0, 0, 0, MAX_COORDINATE], [0, 0, 1, 0]], dtype=torch.int32)))
    below = coord_keys(torch.tensor([[0, 0, 1, 0]], dtype=torch.int32)) + key_offset(0, 0, -1)
    assert table.rows(below).tolist() == [-1]
