"""Cells of a cube land where a camera sees them, and take what the picture holds there."""

import torch

from scenewright.geometry.camera.cameras import orbit_camera
from scenewright.geometry.camera.cube_projection import cell_centres, projected, sampled
from tests.support.projection import project_points


def test_cells_land_on_the_pixels_that_a_camera_gives_them() -> None:
    camera = orbit_camera(torch.tensor([0.1, 0.2, 0.3]), 3.0, yaw_deg=20.0, pitch_deg=15.0, width=60, height=40)
    cells = cell_centres(4)
    assert cells.shape == (64, 3)
    torch.testing.assert_close(cells[:2], torch.tensor([[-0.375, -0.375, -0.375], [-0.375, -0.375, -0.125]]))
    to_picture = torch.tensor([[2 / 60, 0, -1], [0, 2 / 40, -1], [0, 0, 1]])
    matrix = to_picture @ camera.intrinsics_px @ camera.cam_from_world[:3]
    places, depth = projected(cells[None], matrix[None])
    pixels, expected_depth = project_points(camera, cells)
    torch.testing.assert_close(depth[0], expected_depth)
    torch.testing.assert_close((places[0] + 1) / 2 * torch.tensor([60.0, 40.0]), pixels, atol=1e-3, rtol=0)


def test_pictures_are_read_at_pixel_centres_and_are_zero_outside() -> None:
    picture = torch.arange(12.0).view(1, 1, 3, 4)
    centre_of_pixel_2_1 = [(2 + 0.5) / 4 * 2 - 1, (1 + 0.5) / 3 * 2 - 1]
    places = torch.tensor([[centre_of_pixel_2_1, [5.0, 0.0]]])
    torch.testing.assert_close(sampled(picture, places), torch.tensor([[[6.0, 0.0]]]))
