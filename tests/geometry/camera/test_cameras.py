"""Cameras on a sphere: they look at the origin, stand upright, and spread evenly."""

import math

import pytest
import torch

from scenewright.geometry.camera.cameras import (
    hammersley,
    intrinsics_from_fov,
    look_at,
    orbit_camera,
    orbit_position,
    sphere_cameras,
    sphere_yaw_pitch,
)
from scenewright.geometry.camera.projection import camera_center


def test_hammersley_by_hand():
    expected = [[0, 0, 0], [0.25, 0.5, 1 / 3], [0.5, 0.25, 2 / 3], [0.75, 0.75, 1 / 9]]
    torch.testing.assert_close(hammersley(4, 3), torch.tensor(expected))


def test_every_camera_sees_the_origin_at_its_image_centre():
    for camera in sphere_cameras(50, radius=2.0, size=100):
        origin = camera.intrinsics_px @ camera.cam_from_world[:3, 3]
        torch.testing.assert_close(origin / origin[2], torch.tensor([50.0, 50.0, 1.0]), atol=1e-4, rtol=0)
        assert float(camera.cam_from_world[2, 3]) == pytest.approx(2.0, abs=1e-5)


def test_poses_are_rotations_with_world_up_pointing_up():
    eyes = orbit_position(sphere_yaw_pitch(64), 1.5)
    rotation = look_at(eyes, torch.zeros_like(eyes))[:, :3, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(64, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(64))
    assert (rotation[:, 1, 2] <= 1e-5).all(), "world +z must not point down in the image (y is down)"


@pytest.mark.parametrize("height", [1.0, -1.0])
def test_looking_along_the_pole_is_well_defined(height):
    pose = look_at(torch.tensor([0.0, 0.0, height]), torch.zeros(3))
    assert torch.isfinite(pose).all()
    torch.testing.assert_close(pose[0, :3], torch.tensor([1.0, 0.0, 0.0]))
    assert float(torch.linalg.det(pose[:3, :3])) == pytest.approx(1.0)


def test_directions_cover_the_sphere_evenly():
    points = orbit_position(sphere_yaw_pitch(256), 1.0)
    assert points.mean(0).norm() < 0.02
    torch.testing.assert_close(points.T @ points / 256, torch.eye(3) / 3, atol=0.02, rtol=0)


def test_yaw_of_an_orbit_is_counter_clockwise_from_the_front_and_that_of_the_sequence_clockwise_from_the_back():
    for yaw_deg, side in ((0.0, [0.0, -2.0, 0.0]), (90.0, [2.0, 0.0, 0.0])):
        camera = orbit_camera(torch.zeros(3), 2.0, yaw_deg=yaw_deg, pitch_deg=0.0)
        torch.testing.assert_close(camera_center(camera), torch.tensor(side), atol=1e-6, rtol=0)
    for yaw, side in ((0.0, [0.0, 2.0, 0.0]), (math.pi / 2, [2.0, 0.0, 0.0])):
        torch.testing.assert_close(orbit_position(torch.tensor([yaw, 0.0]), 2.0), torch.tensor(side), atol=1e-6, rtol=0)


def test_field_of_view_spans_the_image():
    focal = float(intrinsics_from_fov(90.0, 1, 1)[0, 0])
    assert math.isclose(focal, 0.5, rel_tol=1e-6)
