"""Scene scores on surfaces whose distances are known."""

import pytest
import torch

from scenewright.errors import InputError
from scenewright.metrics.scene_surface import sampled_surface, surface_scores
from scenewright.types import Mesh


def square(height: float, side: float = 2.0) -> Mesh:
    corners = [[0.0, 0, height], [side, 0, height], [side, side, height], [0, side, height]]
    return Mesh(torch.tensor(corners), torch.tensor([[0, 1, 2], [0, 2, 3]]))


def test_parallel_squares() -> None:
    floor, above = sampled_surface(square(0.0), num_points=4000), sampled_surface(square(0.08), num_points=4000, seed=1)
    scores = surface_scores(above, floor)
    assert scores.chamfer_m == pytest.approx(0.083, abs=0.004)
    assert scores.precision[0.05] == 0
    assert scores.f_arithmetic(0.10) > 0.9
    assert scores.f_harmonic(0.05) == 0
    assert scores.normal_consistency == pytest.approx(1.0)


def test_arithmetic_and_harmonic_differ_where_half_is_missing() -> None:
    truth = sampled_surface(square(0.0), num_points=4000)
    half = sampled_surface(square(0.0, side=1.0), num_points=4000)
    scores = surface_scores(half, truth)
    assert scores.precision[0.05] == 1
    assert scores.recall[0.05] == pytest.approx(0.25, abs=0.06)
    assert scores.f_arithmetic(0.05) > scores.f_harmonic(0.05)


def test_far_pairs_have_no_consistent_normals() -> None:
    scores = surface_scores(sampled_surface(square(0.5), num_points=500), sampled_surface(square(0.0), num_points=500))
    assert scores.normal_consistency == 0


def test_nothing_to_score() -> None:
    empty = sampled_surface(Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]])))
    with pytest.raises(InputError, match="at least one point"):
        surface_scores(empty, sampled_surface(square(0.0), num_points=10))
