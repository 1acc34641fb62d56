import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from scenewright.geometry.rotation import (
    compose_similarity,
    decompose_similarity,
    invert_similarity,
    matrix_to_quaternion_wxyz,
    quaternion_multiply,
    quaternion_wxyz_to_matrix,
    yaw_to_matrix,
)
from tests.support.rotations import (
    axis_angle_to_matrix,
    euler_xyz_deg_to_matrix,
    matrix_to_euler_xyz_deg,
    matrix_to_yaw,
    random_rotation,
    rotation_angle,
    transform_points,
)

ROTATIONS = random_rotation(64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_rotations_are_proper():
    eye = torch.eye(3, dtype=torch.float64).expand(64, 3, 3)
    torch.testing.assert_close(ROTATIONS @ ROTATIONS.mT, eye)
    torch.testing.assert_close(torch.linalg.det(ROTATIONS), torch.ones(64, dtype=torch.float64))


def test_quaternion_agrees_with_scipy_in_value_and_sign():
    expected = Rotation.from_matrix(ROTATIONS.numpy()).as_quat(scalar_first=True)
    np.testing.assert_allclose(matrix_to_quaternion_wxyz(ROTATIONS), expected, atol=1e-12)
    torch.testing.assert_close(quaternion_wxyz_to_matrix(torch.from_numpy(expected)), ROTATIONS)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_turns_survive_the_quaternion_round_trip(axis):
    half_turn = axis_angle_to_matrix(
        torch.eye(3, dtype=torch.float64)[axis], torch.tensor(math.pi, dtype=torch.float64)
    )
    quaternion = matrix_to_quaternion_wxyz(half_turn)
    assert quaternion[1 + axis] == pytest.approx(1)
    torch.testing.assert_close(quaternion_wxyz_to_matrix(quaternion), half_turn)


def test_product_of_quaternions_is_product_of_matrices():
    first, second = ROTATIONS[:32], ROTATIONS[32:]
    product = quaternion_multiply(matrix_to_quaternion_wxyz(first), matrix_to_quaternion_wxyz(second))
    torch.testing.assert_close(quaternion_wxyz_to_matrix(product), first @ second)


def test_quarter_yaw_takes_x_to_y():
    turned = yaw_to_matrix(torch.tensor(math.pi / 2)) @ torch.tensor([1.0, 0.0, 0.0])
    torch.testing.assert_close(turned, torch.tensor([0.0, 1.0, 0.0]), atol=1e-6, rtol=0)


@given(st.floats(-3.1, 3.1))
def test_yaw_round_trip(yaw):
    assert float(matrix_to_yaw(yaw_to_matrix(torch.tensor(yaw, dtype=torch.float64)))) == pytest.approx(yaw, abs=1e-9)


def test_euler_agrees_with_scipy():
    angles = torch.tensor([[10.0, -40.0, 170.0], [-100.0, 80.0, 3.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    matrix = euler_xyz_deg_to_matrix(angles)
    np.testing.assert_allclose(matrix, Rotation.from_euler("xyz", angles.numpy(), degrees=True).as_matrix(), atol=1e-12)
    torch.testing.assert_close(matrix_to_euler_xyz_deg(matrix), angles)


@pytest.mark.parametrize("pitch", [90.0, -90.0])
def test_gimbal_lock_still_gives_the_same_rotation(pitch):
    matrix = euler_xyz_deg_to_matrix(torch.tensor([30.0, pitch, 50.0], dtype=torch.float64))
    again = euler_xyz_deg_to_matrix(matrix_to_euler_xyz_deg(matrix))
    torch.testing.assert_close(again, matrix, atol=1e-9, rtol=0)


@given(st.floats(0, math.pi))
def test_rotation_angle_of_a_turn_is_the_turn(angle):
    turn = axis_angle_to_matrix(
        torch.tensor([1.0, 2.0, -0.5], dtype=torch.float64), torch.tensor(angle, dtype=torch.float64)
    )
    assert float(rotation_angle(turn, torch.eye(3, dtype=torch.float64))) == pytest.approx(angle, abs=1e-7)


def test_similarity_round_trip_and_inverse():
    translation = torch.randn(64, 3, dtype=torch.float64)
    scale = torch.rand(64, dtype=torch.float64) + 0.1
    matrix = compose_similarity(ROTATIONS, translation, scale)
    for actual, expected in zip(decompose_similarity(matrix), (ROTATIONS, translation, scale), strict=True):
        torch.testing.assert_close(actual, expected)
    eye = torch.eye(4, dtype=torch.float64).expand(64, 4, 4)
    torch.testing.assert_close(invert_similarity(matrix) @ matrix, eye)


def test_transform_points_by_hand():
    matrix = compose_similarity(yaw_to_matrix(torch.tensor(math.pi / 2)), torch.tensor([1.0, 0.0, 0.0]), 2.0)
    points = transform_points(matrix, torch.tensor([[1.0, 0.0, 3.0]]))
    torch.testing.assert_close(points, torch.tensor([[1.0, 2.0, 6.0]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("diagonal", "word"), [((-1, 1, 1, 1), "mirrors"), ((2, 1, 1, 1), "uneven"), ((0, 1, 1, 1), "flattens")]
)
def test_what_is_no_similarity_is_refused(diagonal, word):
    with pytest.raises(ValueError, match=word):
        decompose_similarity(torch.diag(torch.tensor(diagonal, dtype=torch.float32)))
