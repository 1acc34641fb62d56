"""Amounts of memory as people write them, and batches that stay below a ceiling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenewright.errors import InputError, OutOfMemoryBudgetError
from scenewright.systems.assembly.memory import batches_within, parse_bytes, readable_bytes


@pytest.mark.parametrize(
    ("text", "count"), [("6GB", 6 * 10**9), ("512MiB", 2**29), ("1.5 g", 1_500_000_000), ("1000", 1000), ("2KiB", 2048)]
)
def test_amounts_are_read_as_people_write_them(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "0", "-3GB", "six", "3 apples", "GB"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="such as 6GB"):
        parse_bytes(text)


def test_amounts_are_shown_in_their_largest_unit() -> None:
    assert [readable_bytes(n) for n in (999, 1000, 2_500_000, 7 * 10**9)] == ["999 B", "1.0 kB", "2.5 MB", "7.0 GB"]


@given(st.lists(st.integers(0, 100), max_size=20), st.integers(120, 300))
def test_batches_keep_the_order_and_stay_below_the_ceiling(costs: list[int], ceiling: int) -> None:
    batches = batches_within(costs, ceiling, in_use=0)
    assert [index for batch in batches for index in batch] == list(range(len(costs)))
    assert all(sum(costs[index] for index in batch) <= ceiling for batch in batches)
    # No two neighbours could have been one batch, but for the share that allocators may need.
    firsts = [costs[batch[0]] for batch in batches[1:]]
    assert all(
        sum(costs[index] for index in batch) + first > 0.85 * ceiling - 1
        for batch, first in zip(batches[:-1], firsts, strict=True)
    )


def test_without_a_ceiling_everything_is_one_batch() -> None:
    assert batches_within([1, 2, 3], None) == [[0, 1, 2]]
    assert batches_within([], None) == []


def test_an_item_that_fits_nowhere_is_named() -> None:
    with pytest.raises(OutOfMemoryBudgetError, match=r"Object 'sofa' needs about 3.4 GB .* 2.0 GB of --max-memory"):
        batches_within([10**6, 2 * 10**9], 2 * 10**9, in_use=10**9, names=["vase", "sofa"])
