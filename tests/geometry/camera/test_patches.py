"""Patch look-up at the edges of the frustum."""

import torch

from scenewright.geometry.camera.patches import camera_embedding, patch_of_points

INTRINSICS = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])


def test_left_and_top_edges_belong_to_the_image() -> None:
    points = torch.tensor([[-0.5, -0.5, 1.0], [0.5, 0.0, 1.0], [0.0, 0.5, 1.0], [0.49, 0.49, 1.0], [0.0, 0.0, 2.0]])
    patch, seen = patch_of_points(points, torch.eye(4), INTRINSICS, 4)
    assert seen.tolist() == [True, False, False, True, True]
    assert patch[seen].tolist() == [0, 15, 10]


def test_points_behind_or_on_the_camera_plane_are_not_seen() -> None:
    points = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 0.0, 1e-7]])
    patch, seen = patch_of_points(points, torch.eye(4), INTRINSICS, 4)
    assert not seen.any()
    assert ((patch >= 0) & (patch < 16)).all()


def test_scale_in_the_pose_changes_nothing() -> None:
    points = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    pose = torch.eye(4)
    pose[2, 3] = 3.0
    scaled = pose.clone()
    scaled[:3] *= 2.5
    for first, second in zip(
        patch_of_points(points, pose, INTRINSICS, 6), patch_of_points(points, scaled, INTRINSICS, 6), strict=True
    ):
        assert torch.equal(first, second)


def test_embedding_of_a_camera_on_an_axis() -> None:
    pose = torch.eye(4)
    pose[2, 3] = 2.0  # the centre is (0, 0, -2)
    row = camera_embedding(torch.zeros(1, 3), pose)[0]
    torch.testing.assert_close(row, torch.tensor([0.0, 0.0, -1.0, 2.0, 2.0]), atol=1e-6, rtol=0)
