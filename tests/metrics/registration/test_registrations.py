"""The three registrations on a lopsided object: recovery, equivariance, degenerate and bad clouds."""

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from scenewright.errors import InputError
from scenewright.metrics.registration import Similarity, filterreg, icp, robust_icp
from scenewright.metrics.registration.filterreg import mean_pair_variance, run_filterreg
from scenewright.metrics.registration.permutohedral import gaussian_sums
from tests.support.gaussian_sums import dense_gaussian_sums


def chair(seed: int, count: int = 1500) -> np.ndarray:
    parts = [
        trimesh.creation.box(bounds=[[-0.5, -0.5, 0.4], [0.5, 0.5, 0.5]]),
        trimesh.creation.box(bounds=[[-0.5, 0.4, 0.5], [0.5, 0.5, 1.3]]),
        trimesh.creation.box(bounds=[[0.2, -0.3, 0.5], [0.5, 0.2, 0.8]]),
    ]
    return np.asarray(trimesh.util.concatenate(parts).sample(count, seed=seed))


def angle_deg(found: Similarity, rotation: np.ndarray) -> float:
    return float(np.degrees(Rotation.from_matrix(found.rotation @ rotation.T).magnitude()))


@pytest.mark.parametrize("yaw", [0, 67, 180, 300])
def test_robust_icp_finds_any_yaw_with_scale(yaw: float) -> None:
    rotation = Rotation.from_euler("z", yaw, degrees=True).as_matrix()
    motion = Similarity(rotation, np.array([0.3, -0.2, 0.1]), 0.8)
    found = robust_icp(chair(0), motion(chair(1)), estimate_scale=True)
    assert angle_deg(found, rotation) < 2
    assert found.scale == pytest.approx(0.8, rel=0.02)


def test_robust_icp_forgets_units_and_origin() -> None:
    source, target = chair(0), chair(1) @ Rotation.from_euler("z", 30, degrees=True).as_matrix().T
    first, second = robust_icp(source, target), robust_icp(100 * source + 7, 100 * target + 7)
    np.testing.assert_allclose(first.rotation, second.rotation, atol=1e-6)
    np.testing.assert_allclose(second(100 * source + 7), 100 * first(source) + 7, atol=1e-4)


def test_plain_icp_corrects_a_small_turn() -> None:
    rotation = Rotation.from_euler("xyz", [3, -4, 8], degrees=True).as_matrix()
    assert angle_deg(icp(chair(0), chair(1) @ rotation.T), rotation) < 1.5


def test_filterreg_moves_the_middle_onto_the_middle() -> None:
    shifted = chair(0) + np.array([0.3, 0.1, -0.2])
    found = filterreg(shifted, chair(1))
    np.testing.assert_allclose(found(shifted).mean(0), chair(1).mean(0), atol=0.03)
    np.testing.assert_allclose(found.rotation @ found.rotation.T, np.eye(3), atol=1e-9)


def test_lattice_means_are_near_the_dense_ones() -> None:
    source, target = chair(0, 200), chair(1, 800)
    sigma = mean_pair_variance(source, target) ** 0.5
    lattice, dense = gaussian_sums(source, target, sigma, blur=True), dense_gaussian_sums(source, target, sigma)
    error = lattice.m1 / lattice.m0[:, None] - dense.m1 / dense.m0[:, None]
    assert np.abs(error).max() < 0.2 * sigma


def test_pair_variance_by_hand_and_dense_loop() -> None:
    assert mean_pair_variance(np.zeros((1, 3)), np.array([[3.0, 0, 0]])) == pytest.approx(3)
    assert mean_pair_variance(np.zeros((2, 3)), np.zeros((2, 3))) == 1e-4
    result = run_filterreg(chair(0, 150), chair(1, 150), sums=dense_gaussian_sums)
    assert np.isfinite(result.transform.matrix).all()


@pytest.mark.parametrize("register", [icp, robust_icp, filterreg])
@pytest.mark.parametrize("points", [np.zeros((1, 3)), np.ones((4, 3)), np.eye(3)])
def test_tiny_clouds_give_a_finite_proper_motion(register, points) -> None:
    found = register(points, points + 0.01)
    assert np.isfinite(found.matrix).all()
    assert np.linalg.det(found.rotation) == pytest.approx(1)


@pytest.mark.parametrize("register", [icp, robust_icp, filterreg])
def test_bad_clouds_are_named(register) -> None:
    with pytest.raises(InputError, match="source"):
        register(np.zeros((0, 3)), np.ones((2, 3)))
    with pytest.raises(InputError, match="target"):
        register(np.ones((2, 3)), np.full((2, 3), np.nan))
