"""Undistortion inverts the lens and keeps only pixels that the picture has."""

import numpy as np
import pytest

from scenewright.geometry.camera.distortion import (
    Distortion,
    distorted,
    remapped,
    undistorted_camera,
    undistorted_points,
)

INTRINSICS = np.array([[80.0, 0, 46.7], [0, 81.0, 32.4], [0, 0, 1]])
LENSES = [Distortion(), Distortion(-0.12, 0.03, 0.001, -0.002), Distortion(0.1, -0.02, 0.003, 0.001)]


@pytest.mark.parametrize("lens", LENSES)
def test_inverse(lens: Distortion) -> None:
    points = np.random.default_rng(0).uniform(-0.4, 0.4, (50, 2))
    np.testing.assert_allclose(undistorted_points(distorted(points, lens), lens), points, atol=1e-4)


@pytest.mark.parametrize("lens", LENSES)
def test_every_pixel_of_the_pinhole_is_in_the_picture(lens: Distortion) -> None:
    camera = undistorted_camera(INTRINSICS, lens, 96, 64)
    white = np.full((64, 96, 3), 255, np.uint8)
    assert camera.width > 80
    assert camera.height > 50
    assert remapped(white, INTRINSICS, lens, camera).min() >= 250


def test_undistorted_lines_are_straight() -> None:
    """The picture of a straight edge behind the lens is straight again."""
    lens = LENSES[1]
    camera = undistorted_camera(INTRINSICS, lens, 96, 64)
    rows, columns = np.mgrid[0:64, 0:96]
    seen = np.stack([(columns - 46.7) / 80.0, (rows - 32.4) / 81.0], -1)
    ideal = undistorted_points(seen, lens)
    picture = np.repeat((255 / (1 + np.exp(-200 * (ideal[..., :1] - 0.1)))).astype(np.uint8), 3, 2)
    flat = remapped(picture, INTRINSICS, lens, camera)[..., 0].astype(float)
    crossing = [np.interp(127.5, row, np.arange(camera.width)) for row in flat]
    assert np.ptp(crossing[2:-2]) < 0.3
