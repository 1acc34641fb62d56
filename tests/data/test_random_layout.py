"""Properties the I-Scene sheet lists for its random layout."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenewright.data.random_layout import DiskGrid, RandomLayoutConfig, placement_order, sample_layout
from scenewright.errors import InputError
from tests.support.layout_oracles import accept_candidates, layout_slack


@given(st.integers(0, 10**6), st.lists(st.floats(0.05, 3.0), min_size=1, max_size=12))
def test_every_pair_keeps_its_distance(seed: int, radii: list[float]) -> None:
    layout = sample_layout(np.array(radii), np.random.default_rng(seed))
    kept = list(layout.indices)
    assert kept == list(range(len(radii)))
    assert layout_slack(layout.centres[kept], np.array(radii)[kept], layout.gap) >= -1e-6


def test_same_seed_same_layout() -> None:
    radii = np.array([1.0, 0.5, 0.25, 2.0])
    first, second = (sample_layout(radii, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.centres, second.centres)


def test_larger_radii_come_first_and_ties_keep_their_order() -> None:
    assert placement_order(np.array([0.5, 2.0, 0.5, 3.0])).tolist() == [3, 1, 0, 2]


def test_wider_gaps_need_a_wider_circle() -> None:
    def extent(gap: float) -> float:
        radii = np.full(10, 0.5)
        layouts = [sample_layout(radii, np.random.default_rng(seed), gap=gap) for seed in range(20)]
        return float(np.mean([np.linalg.norm(layout.centres, axis=1).max() for layout in layouts]))

    sizes = [extent(gap) for gap in (0.0, 1.0, 3.0)]
    assert sizes == sorted(sizes)


@given(st.integers(0, 10**6))
def test_the_grid_agrees_with_comparing_all_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gap = 0.1
    radii = rng.choice([0.05, 0.1, 1.0], 60)
    grid = DiskGrid(0.05, gap)
    placed: list[tuple[float, float, float]] = []
    for radius in radii.tolist():
        x, y = rng.uniform(-6, 6, 2).tolist()
        expected = all(np.hypot(x - a, y - b) >= radius + r + gap for a, b, r in placed)
        assert grid.fits(x, y, radius) == expected
        if expected:
            grid.add(x, y, radius)
            placed.append((x, y, radius))


def test_tangent_discs_are_accepted_and_a_used_up_budget_is_marked() -> None:
    candidates = np.array([[[0.0, 0.0], [9.0, 9.0]], [[2.9, 4.0], [3.0, 4.0]], [[0.1, 0.0], [0.0, 0.1]]])
    centres, _, picked = accept_candidates(np.array([2.0, 2.0, 1.0]), 1.0, candidates)
    assert picked.tolist() == [0, 1, -1]
    assert centres[1].tolist() == [3.0, 4.0]
    assert centres[2].tolist() == [-9999.0, -9999.0]


def test_no_and_one_object() -> None:
    assert sample_layout(np.zeros(0), np.random.default_rng(0)).indices == ()
    assert sample_layout(np.array([2.0]), np.random.default_rng(0)).centres == pytest.approx(np.zeros((1, 2)))
    assert layout_slack(np.zeros((1, 2)), np.ones(1), 0.5) == 9999.0


def test_a_region_that_may_not_grow_gives_up_the_smallest() -> None:
    config = RandomLayoutConfig(region_ratio=0.4, max_enlargements=0, candidates=20)
    layout = sample_layout(np.array([1.0, 1.0, 0.1]), np.random.default_rng(0), config)
    assert len(layout.indices) < 3
    assert layout.indices[0] == 0


def test_bad_radii_are_refused() -> None:
    with pytest.raises(InputError, match="positive disc radii"):
        sample_layout(np.array([1.0, np.nan]), np.random.default_rng(0))
