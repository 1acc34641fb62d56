import math

import pytest
import torch

from scenewright.geometry.camera.cameras import intrinsics_from_fov, look_at, orbit_camera
from scenewright.geometry.camera.projection import camera_center, scale_camera
from scenewright.types import Camera
from tests.support.projection import depth_to_distance, depth_to_points, distance_to_depth, pixel_rays, project_points


def level_camera() -> Camera:
    """At height 1, looking along +y."""
    pose = look_at(torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 5.0, 1.0]))
    return Camera(intrinsics_from_fov(90.0, 100, 50), pose, 100, 50)


def test_right_is_right_and_up_is_up():
    points = torch.tensor([[0.0, 2.0, 1.0], [1.0, 2.0, 1.0], [0.0, 2.0, 1.5]])
    pixels, depth = project_points(level_camera(), points)
    torch.testing.assert_close(pixels, torch.tensor([[50.0, 25.0], [75.0, 25.0], [50.0, 12.5]]))
    torch.testing.assert_close(depth, torch.full((3,), 2.0))


def test_depth_lifts_back_to_the_points_it_came_from():
    camera = level_camera()
    depth = 1 + torch.rand(50, 100, generator=torch.Generator().manual_seed(0))
    pixels, again = project_points(camera, depth_to_points(camera, depth))
    torch.testing.assert_close(again, depth)
    torch.testing.assert_close(pixels[10, 20], torch.tensor([20.5, 10.5]))


def test_distance_and_depth_are_inverse_and_differ_off_axis():
    camera = level_camera()
    depth = torch.ones(50, 100)
    distance = depth_to_distance(camera, depth)
    torch.testing.assert_close(distance_to_depth(camera, distance), depth)
    assert float(distance[0, 0]) == pytest.approx(float(pixel_rays(camera)[0, 0].norm()))


def test_center_of_an_orbiting_camera():
    camera = orbit_camera(torch.zeros(3), 2.0, yaw_deg=0.0, pitch_deg=0.0)
    torch.testing.assert_close(camera_center(camera), torch.tensor([0.0, -2.0, 0.0]), atol=1e-6, rtol=0)
    camera = orbit_camera(torch.zeros(3), 2.0, yaw_deg=90.0, pitch_deg=30.0)
    expected = torch.tensor([2 * math.cos(math.radians(30)), 0.0, 1.0])
    torch.testing.assert_close(camera_center(camera), expected, atol=1e-6, rtol=0)


def test_scaled_camera_sees_the_same():
    camera = level_camera()
    points = torch.tensor([[0.3, 2.0, 1.2]])
    torch.testing.assert_close(
        project_points(scale_camera(camera, 2.0), points)[0], 2 * project_points(camera, points)[0]
    )


def test_straight_down_is_a_valid_direction():
    pose = look_at(torch.tensor([0.0, 0.0, 3.0]), torch.zeros(3))
    assert float(torch.linalg.det(pose[:3, :3])) == pytest.approx(1)
    torch.testing.assert_close(pose[:3, :3] @ torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.0, -1.0, 0.0]))


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="same point twice"):
        look_at(torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match="between 0 and 180"):
        intrinsics_from_fov(190.0, 10, 10)
