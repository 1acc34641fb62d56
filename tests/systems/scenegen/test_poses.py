"""Poses and placements: by hand, round trips, and the published export's quirks."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewright.geometry.rotation import compose_similarity, yaw_to_matrix
from scenewright.systems.scenegen.poses import (
    MIN_SCALE,
    centred_in_unit_cube,
    poses_of_placements,
    scene_points,
    world_from_objects,
)
from scenewright.systems.scenegen.position_head import IDENTITY_POSE
from tests.support.rotations import random_rotation, transform_points
from tests.support.scenegen_published import published_assembly, relative_poses


def random_poses(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    poses = torch.cat([torch.randn(count, 7, generator=generator), 0.2 + torch.rand(count, 1, generator=generator)], 1)
    poses[0] = torch.tensor(IDENTITY_POSE)
    return poses


def test_an_asset_above_the_query_in_y_up_is_above_it_in_z_up() -> None:
    pose = torch.tensor([IDENTITY_POSE, (0.0, 2.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.5)])
    placed = world_from_objects(pose)[1]
    torch.testing.assert_close(placed[:3, 3], torch.tensor([0.0, -1.0, 2.0]))
    torch.testing.assert_close(placed[:3, :3], 0.5 * torch.eye(3))


def test_a_turn_about_y_up_is_a_turn_about_z() -> None:
    angle = torch.tensor(0.3)
    pose = torch.tensor([IDENTITY_POSE, (0, 0, 0, torch.cos(angle / 2), 0, torch.sin(angle / 2), 0, 1)])
    torch.testing.assert_close(world_from_objects(pose)[1, :3, :3], yaw_to_matrix(angle))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_placements_give_back_the_poses_that_made_them_in_any_world(seed: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rotation = random_rotation(count, generator=generator)
    placements = compose_similarity(
        rotation, torch.randn(count, 3, generator=generator), 0.3 + torch.rand(count, generator=generator)
    )
    poses = poses_of_placements(placements)
    torch.testing.assert_close(poses[0], torch.tensor(IDENTITY_POSE), rtol=0, atol=1e-4)
    torch.testing.assert_close(placements[0] @ world_from_objects(poses), placements, rtol=1e-3, atol=1e-3)


def test_relative_poses_of_annotations_place_the_meshes_where_they_were() -> None:
    translations, angles, sides = torch.randn(4, 3), 180 * torch.rand(4, 3) - 90, 0.5 + torch.rand(4)
    for query in range(4):
        order = torch.tensor([query, *[index for index in range(4) if index != query]])
        poses = relative_poses(translations, angles, sides, order)
        again = relative_poses(poses[:, :3], torch.zeros(4, 3), poses[:, 7], torch.arange(4))
        torch.testing.assert_close(again[:, :3], poses[:, :3])
        assert poses[0, 7] == 1
        torch.testing.assert_close(poses[:, 3:7].norm(dim=1), torch.ones(4))


def test_a_scale_of_zero_still_gives_a_placement_that_can_be_undone() -> None:
    poses = random_poses(2)
    poses[1, 7] = 0
    determinant = torch.linalg.det(world_from_objects(poses)[1, :3, :3].double())
    assert determinant > 0.5 * MIN_SCALE**3


def test_voxels_of_the_scene_stand_where_placed_objects_do() -> None:
    poses = random_poses(3)
    coords = torch.tensor([[0, 3, 4, 5], [1, 60, 2, 9], [2, 0, 0, 0]], dtype=torch.int32)
    local = coords[:, 1:].float() / 64 - 0.5
    world = torch.stack(
        [transform_points(m, p[None])[0] for m, p in zip(world_from_objects(poses), local, strict=True)]
    )
    y_up = torch.stack([world[:, 0], world[:, 2], -world[:, 1]], 1) + 0.5
    torch.testing.assert_close(scene_points(coords, poses), y_up, rtol=1e-4, atol=1e-4)


def test_points_are_centred_with_longest_edge_one() -> None:
    points = centred_in_unit_cube(torch.randn(50, 3) * torch.tensor([4.0, 1.0, 2.0]) + 7)
    torch.testing.assert_close((points.amin(0) + points.amax(0)) / 2, torch.full((3,), 0.5))
    torch.testing.assert_close((points.amax(0) - points.amin(0)).max(), torch.tensor(1.0))


def test_the_published_export_is_our_placement_up_to_one_similarity() -> None:
    poses, vertices = random_poses(3), [torch.rand(20, 3) - 0.5 for _ in range(3)]
    published = published_assembly(poses, vertices, order=[2, 0, 1])
    longest = (published.bounds[1] - published.bounds[0]).max()
    torch.testing.assert_close(longest, torch.tensor(1.96), rtol=1e-4, atol=1e-4)
    placed = world_from_objects(poses)
    ours = [
        transform_points(placed[index], torch.stack([v[:, 0], -v[:, 2], v[:, 1]], 1))
        for index, v in ((i, vertices[i]) for i in (2, 0, 1))
    ]
    theirs, mine = torch.cat(published.vertices), torch.cat(ours)
    # Ratios of distances are the same in both.
    torch.testing.assert_close(
        torch.cdist(theirs, theirs) / torch.cdist(theirs, theirs).max(),
        torch.cdist(mine, mine) / torch.cdist(mine, mine).max(),
        rtol=1e-3,
        atol=1e-3,
    )
