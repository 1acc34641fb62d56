"""Vectors of triangles' areas, for arrays and tensors alike."""

import numpy as np
import pytest
import torch

from scenewright.geometry.mesh.area_vectors import area_vectors


def test_a_triangle_points_by_the_right_hand_rule_as_far_as_twice_its_area() -> None:
    corners = np.array([[[0.0, 0, 1], [2, 0, 1], [0, 3, 1]], [[0.0, 0, 0], [1, 1, 1], [2, 2, 2]]])
    assert area_vectors(corners).tolist() == [[0, 0, 6], [0, 0, 0]]
    assert area_vectors(torch.from_numpy(corners)).tolist() == [[0, 0, 6], [0, 0, 0]]


@pytest.mark.parametrize("count", [0, 7])
def test_they_turn_with_the_triangle(count: int) -> None:
    corners = torch.randn(count, 3, 3, dtype=torch.float64)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    turn = turn * torch.linalg.det(turn)
    torch.testing.assert_close(area_vectors(corners @ turn.T), area_vectors(corners) @ turn.T)
