"""Similarity transforms: group rules and exact recovery."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from scenewright.metrics.registration.similarity import Similarity, fit_similarity, nearest_rotation


def random_similarity(seed: int) -> Similarity:
    rng = np.random.default_rng(seed)
    return Similarity(Rotation.random(random_state=seed).as_matrix(), rng.normal(size=3), float(rng.uniform(0.3, 3)))


@given(st.integers(0, 1000))
def test_composition_and_inverse(seed: int) -> None:
    a, b = random_similarity(seed), random_similarity(seed + 1)
    points = np.random.default_rng(seed).normal(size=(5, 3))
    np.testing.assert_allclose((a @ b)(points), a(b(points)), atol=1e-12)
    np.testing.assert_allclose(a.inverse()(a(points)), points, atol=1e-12)
    np.testing.assert_allclose((a @ b).matrix, a.matrix @ b.matrix, atol=1e-12)


@given(st.integers(0, 1000))
def test_fit_recovers_the_motion(seed: int) -> None:
    motion = random_similarity(seed)
    points = np.random.default_rng(seed).normal(size=(8, 3))
    found = fit_similarity(points, motion(points), estimate_scale=True)
    np.testing.assert_allclose(found.matrix, motion.matrix, atol=1e-9)


def test_a_mirror_image_is_never_answered_with_a_reflection() -> None:
    points = np.random.default_rng(0).normal(size=(20, 3))
    found = fit_similarity(points, points * [-1, 1, 1])
    assert np.isclose(np.linalg.det(found.rotation), 1)
    assert np.isclose(np.linalg.det(nearest_rotation(np.diag([-1.0, 1, 1]))), 1)


def test_one_point_is_a_translation() -> None:
    found = fit_similarity(np.zeros((1, 3)), np.ones((1, 3)), estimate_scale=True)
    np.testing.assert_allclose(found(np.zeros((1, 3))), np.ones((1, 3)))
    assert found.scale == 1
