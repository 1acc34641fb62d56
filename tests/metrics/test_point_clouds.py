"""Chamfer, F-score and the cube normalisations: cases by hand, invariances, empty and damaged clouds."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scenewright.errors import InputError
from scenewright.metrics import nearest
from scenewright.metrics.point_clouds import cloud_distances, normalize_isotropic, normalize_per_axis
from tests.support.scenegen_published import normalize_min_max, normalize_scenegen


def cloud(seed: int, count: int = 40) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_by_hand() -> None:
    # One predicted point at 0; two true points at distance 1 and 3 along x.
    distances = cloud_distances(torch.zeros(1, 3), torch.tensor([[1.0, 0, 0], [3.0, 0, 0]]))
    assert distances.chamfer_to_truth == 1
    assert distances.chamfer_to_prediction == (1 + 9) / 2
    assert distances.chamfer == 6
    assert (distances.accuracy, distances.completeness) == (1, 2)
    assert (distances.precision(2.0), distances.recall(2.0)) == (1, 0.5)
    assert distances.fscore(2.0) == pytest.approx(2 * 0.5 / 1.5)


def test_threshold_is_strict() -> None:
    distances = cloud_distances(torch.zeros(1, 3), torch.tensor([[0.5, 0, 0]]))
    assert distances.fscore(0.5) == 0
    assert distances.fscore(0.50001) == pytest.approx(1)


@given(st.integers(0, 1000), st.floats(-3, 3), st.floats(-3.1, 3.1))
def test_moving_and_turning_both_changes_nothing(seed: int, shift: float, angle: float) -> None:
    a, b = cloud(seed), cloud(seed + 1, 25)
    c, s = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)
    before, after = cloud_distances(a, b), cloud_distances(a @ turn.T + shift, b @ turn.T + shift)
    assert after.chamfer == pytest.approx(before.chamfer)
    assert after.accuracy == pytest.approx(before.accuracy)


@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_chamfer_is_symmetric_and_grows_with_the_square_of_the_scale(seed: int, scale: float) -> None:
    a, b = cloud(seed), cloud(seed + 1, 25)
    assert cloud_distances(a, b).chamfer == pytest.approx(cloud_distances(b, a).chamfer)
    assert cloud_distances(scale * a, scale * b).chamfer == pytest.approx(scale**2 * cloud_distances(a, b).chamfer)


def test_equal_clouds_score_perfectly() -> None:
    distances = cloud_distances(cloud(3), cloud(3))
    assert distances.chamfer == 0
    assert distances.fscore(1e-9) == pytest.approx(1)


def test_blocks_agree_with_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "BLOCK_BYTES", 1000)
    a, b = cloud(5, 200), cloud(6, 90)
    by_tree, by_blocks = nearest.nearest_neighbours(a, b), nearest._nearest_by_blocks(a, b)
    torch.testing.assert_close(by_blocks[0], by_tree[0])
    assert torch.equal(by_blocks[1], by_tree[1])


@pytest.mark.parametrize("bad", [torch.zeros(0, 3), torch.tensor([[float("nan"), 0, 0]])])
def test_empty_and_broken_clouds_are_refused(bad: torch.Tensor) -> None:
    with pytest.raises(InputError, match="cloud"):
        cloud_distances(bad, torch.zeros(2, 3))


def test_normalisations_by_hand() -> None:
    points = torch.tensor([[1.0, 0, 5], [3.0, 1, 5]])
    per_axis = normalize_per_axis(points)
    torch.testing.assert_close(per_axis, torch.tensor([[-0.95, -0.95, -0.95], [0.95, 0.95, -0.95]]))
    torch.testing.assert_close(normalize_isotropic(points), torch.tensor([[-1.0, -0.5, 0], [1, 0.5, 0]]))
    torch.testing.assert_close(normalize_min_max(points), 2 * points)
    # k = 1.96 / 2, and the centre of the unscaled box is subtracted.
    torch.testing.assert_close(normalize_scenegen(points), 0.98 * points - torch.tensor([2.0, 0.5, 5]))


@given(st.integers(0, 1000), st.floats(0.1, 5), st.floats(-4, 4))
def test_isotropic_cube_forgets_place_and_size(seed: int, scale: float, shift: float) -> None:
    a = cloud(seed)
    torch.testing.assert_close(normalize_isotropic(scale * a + shift), normalize_isotropic(a))
    assert np.isclose(float(normalize_isotropic(a).abs().max()), 1)


@given(st.integers(0, 1000), st.floats(-3, 3), st.floats(-3.1, 3.1), st.floats(0.1, 10))
def test_fscore_accuracy_and_completeness_forget_a_common_motion(
    seed: int, shift: float, angle: float, scale: float
) -> None:
    a, b = cloud(seed), cloud(seed + 1, 25)
    c, s = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[1, 0, 0], [0, c, -s], [0, s, c]], dtype=torch.float64)
    before, after = cloud_distances(a, b), cloud_distances(scale * a @ turn.T + shift, scale * b @ turn.T + shift)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
    assert after.fscore(0.7 * scale) == pytest.approx(before.fscore(0.7))
    assert cloud_distances(a[order], b.flip(0)).fscore(0.7) == pytest.approx(before.fscore(0.7))
    assert after.accuracy == pytest.approx(scale * before.accuracy)
    assert after.completeness == pytest.approx(scale * before.completeness)
    # Exchanging the clouds exchanges the two.
    back = cloud_distances(b, a)
    assert (back.accuracy, back.completeness) == pytest.approx((before.completeness, before.accuracy))
