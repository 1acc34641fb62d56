import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from scenewright.geometry.ovoxel.qef import minimise_in_box


def minimise(a, b, size=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0)):
    upper = (a[0, 0], a[0, 1], a[0, 2], a[1, 1], a[1, 2], a[2, 2])
    return np.array(minimise_in_box(*map(float, (*upper, *b, *size, *origin))))


def test_free_minimum_inside_is_kept():
    target = np.array([0.3, 0.6, 0.9])
    np.testing.assert_allclose(minimise(np.eye(3), -target), target)


def test_outside_minimum_moves_to_the_nearest_face_edge_and_corner():
    for target in ([1.7, 0.4, 0.4], [1.7, -0.3, 0.4], [1.7, -0.3, 2.0]):
        np.testing.assert_allclose(minimise(np.eye(3), -np.array(target)), np.clip(target, 0, 1))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_agrees_with_a_bounded_least_squares_solver(seed):
    generator = np.random.default_rng(seed)
    planes = generator.normal(size=(generator.integers(3, 9), 3))
    offsets = planes @ generator.uniform(-1, 2, 3) + 0.1 * generator.normal(size=len(planes))
    size = generator.uniform(0.5, 2.0, 3)
    a, b = planes.T @ planes + 0.01 * np.eye(3), -planes.T @ offsets
    rows, targets = np.concatenate([planes, 0.1 * np.eye(3)]), np.concatenate([offsets, np.zeros(3)])
    expected = lsq_linear(rows, targets, (0, size), tol=1e-14).x

    def energy(x):
        return x @ a @ x + 2 * b @ x

    actual = minimise(a, b, size)
    assert (actual >= 0).all()
    assert (actual <= size).all()
    assert energy(actual) <= energy(expected) + 1e-9 * (1 + abs(energy(expected)))


def test_singular_systems_still_give_a_point_of_least_energy_in_the_box():
    normal = np.array([1.0, 2.0, -1.0]) / 6**0.5
    for rank_one in (np.outer(normal, normal), np.diag([1.0, 0, 0]), np.zeros((3, 3))):
        x = minimise(rank_one, -rank_one @ np.array([0.4, 0.5, 0.6]), origin=(3.0, 4.0, 5.0))
        assert (x >= 0).all()
        assert (x <= 1).all()
