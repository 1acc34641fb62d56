import pytest
import torch

from scenewright.geometry.camera.projection import camera_center
from scenewright.rendering.framing import NAMED_VIEWS, frame_points, turntable
from tests.support.projection import project_points

POINTS = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([2.0, 0.5, 1.0]) + 5


@pytest.mark.parametrize("view", sorted(NAMED_VIEWS))
@pytest.mark.parametrize("size", [(64, 64), (120, 60), (60, 120)])
def test_every_point_is_inside_and_the_picture_is_filled(view, size):
    yaw, pitch = NAMED_VIEWS[view]
    width, height = size
    camera = frame_points(POINTS, yaw_deg=yaw, pitch_deg=pitch, width=width, height=height, margin=0.1)
    pixels, depth = project_points(camera, POINTS)
    share = pixels / torch.tensor([width, height])
    assert bool((depth > 0).all())
    assert float(share.min()) > 0.099
    assert float(share.max()) < 0.901
    low, high = share.amin(0), share.amax(0)
    assert float((high - low).max()) == pytest.approx(0.8, abs=1e-3)  # one axis touches both margins


def test_front_view_stands_on_the_minus_y_side():
    assert float(camera_center(frame_points(POINTS, yaw_deg=0.0, pitch_deg=0.0, width=8, height=8))[1]) < float(
        POINTS[:, 1].min()
    )


def test_turntable_keeps_its_distance_and_everything_in_view():
    cameras = turntable(POINTS, 7, width=64, height=48)
    middle = (POINTS.amin(0) + POINTS.amax(0)) / 2
    distances = torch.stack([(camera_center(camera) - middle).norm() for camera in cameras])
    torch.testing.assert_close(distances, distances[:1].expand(7), rtol=1e-4, atol=0)
    for camera in cameras:
        pixels, _ = project_points(camera, POINTS)
        assert bool(((pixels >= 0) & (pixels <= torch.tensor([64.0, 48.0]))).all())


def test_a_single_point_can_be_framed():
    camera = frame_points(torch.ones(1, 3), yaw_deg=10.0, pitch_deg=5.0, width=32, height=32)
    pixels, depth = project_points(camera, torch.ones(1, 3))
    torch.testing.assert_close(pixels, torch.tensor([[16.0, 16.0]]), atol=1e-2, rtol=0)
    assert float(depth[0]) > 0
