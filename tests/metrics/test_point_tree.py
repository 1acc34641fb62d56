"""The nearest-point tree: against all pairs, with guesses, with a limit, on clouds that split badly."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scenewright.metrics.nearest import mutual_distances, nearest_distances
from scenewright.metrics.point_tree import PointTree

CLOUDS = {
    "random": lambda rng: rng.normal(size=(300, 3)),
    "one point": lambda rng: rng.normal(size=(1, 3)),
    "one place": lambda rng: np.ones((50, 3)),
    "a line": lambda rng: rng.normal(size=(100, 1)) * np.array([[1.0, 2, 3]]),
    "a grid with ties": lambda rng: rng.integers(0, 4, (200, 3)).astype(float),
    "many scales": lambda rng: rng.normal(size=(400, 3)) * np.exp2(-rng.uniform(0, 900, (400, 1))),
    "many scales beside a heap": lambda rng: (
        np.concatenate([np.exp2(-np.arange(900.0))[:, None], np.ones((900, 1))]) * np.array([[1.0, 0, 0]])
    ),
}


def all_pairs(queries: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(queries[:, None] - points[None], axis=2).min(1)


@pytest.mark.parametrize("kind", CLOUDS)
def test_agrees_with_all_pairs(kind: str) -> None:
    rng = np.random.default_rng(0)
    points, queries = CLOUDS[kind](rng), np.concatenate([rng.normal(size=(60, 3)), CLOUDS[kind](rng)])
    tree = PointTree(points)
    distances, indices = tree.nearest(queries)
    np.testing.assert_allclose(distances, all_pairs(queries, points), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(np.linalg.norm(queries - points[indices], axis=1), distances, rtol=1e-12, atol=1e-15)
    assert sorted(tree.order) == list(range(len(points)))


@given(st.integers(0, 1000))
def test_guesses_and_order_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, queries = rng.normal(size=(150, 3)), rng.normal(size=(80, 3))
    tree = PointTree(points)
    plain = tree.nearest(queries)
    guessed = tree.nearest(queries, guess=rng.integers(-1, 150, 80), sequence=rng.permutation(80))
    np.testing.assert_array_equal(plain[0], guessed[0])
    np.testing.assert_array_equal(plain[1], guessed[1])


def test_limit_is_strict_and_nothing_is_said_beyond_it() -> None:
    tree = PointTree(np.zeros((1, 3)))
    queries = np.array([[0.5, 0, 0], [1.0, 0, 0], [2.0, 0, 0]])
    distances, indices = tree.nearest(queries, within=1.0)
    assert distances.tolist() == [0.5, np.inf, np.inf]
    assert indices.tolist() == [0, -1, -1]
    # A guess beyond the limit does not count either.
    assert tree.nearest(queries, within=1.0, guess=np.zeros(3, np.int64))[1].tolist() == [0, -1, -1]


def test_both_ways_are_the_two_single_ways() -> None:
    generator = torch.Generator().manual_seed(0)
    # Large enough for two threads.
    first, second = (torch.randn(count, 3, generator=generator) for count in (33_000, 40_000))
    there, back = mutual_distances(first, second)
    assert torch.equal(there, nearest_distances(first, second))
    assert torch.equal(back, nearest_distances(second, first))
