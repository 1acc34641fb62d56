"""Closest points of a thin board: on the side that looks where it is asked to, within reach."""

import torch

from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.types import Mesh

# Two sheets of the same square: face 0 and 1 look up at z = 0.01, 2 and 3 down at z = 0.
BOARD = Mesh(
    torch.tensor([[x, y, z] for z in (0.01, 0.0) for x, y in ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))]),
    torch.tensor([[0, 1, 2], [0, 2, 3], [4, 6, 5], [4, 7, 6]], dtype=torch.int32),
)
UP, DOWN = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 0.0, -1.0])


def test_the_far_side_of_a_thin_board_is_not_taken_for_the_near_one() -> None:
    # Every point is nearer to the sheet that looks away, and follows one that was answered by that sheet.
    points = torch.tensor([[0.4, 0.3, -0.002], [0.4, 0.3, 0.012], [0.4, 0.3, -0.002], [0.4, 0.3, 0.012]])
    found = TriangleTree(BOARD).query(points, facing=torch.stack([UP, DOWN, UP, DOWN]))
    torch.testing.assert_close(found.points[:, 2], torch.tensor([0.01, 0.0, 0.01, 0.0]))
    assert (found.faces < 2).tolist() == [True, False, True, False]


def test_where_nothing_that_faces_is_within_reach_every_face_counts() -> None:
    points = torch.tensor([[0.4, 0.3, -0.002], [0.4, 0.3, -0.2]])
    tree = TriangleTree(BOARD)
    torch.testing.assert_close(
        tree.query(points, facing=UP.expand(2, 3), reach=0.1).points[:, 2], torch.tensor([0.01, 0.0])
    )
    sideways = torch.tensor([1.0, 0.0, 0.0]).expand(2, 3)
    assert (tree.query(points, facing=sideways).points[:, 2] == 0).all()
