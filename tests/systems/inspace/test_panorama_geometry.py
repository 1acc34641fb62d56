"""Rays, faces, partial geometry and view bias of a panorama: what turns with the room, and what stays."""

import math

import numpy as np
import pytest
import torch

from scenewright.errors import InputError
from scenewright.geometry.camera.cubemap import equirect_rays, wide_cube_faces, wide_face_rays
from scenewright.systems.inspace.inversion import inversion_start, inversion_times
from scenewright.systems.inspace.partial_geometry import PointFilters, occupancy_of_panorama
from scenewright.systems.inspace.room_frame import RoomFrame, depth_points, depth_rays
from scenewright.systems.inspace.view_bias import voxel_view_bias, voxel_view_mask

QUARTER = [3, 0, 1, 2, 4, 5]  # face that shows after a quarter turn what each face showed: front's content moves right


def room_depth(height: int = 32) -> torch.Tensor:
    """Distance panorama of a 4 x 5 x 2.6 m box, camera 1.2 m above the floor, off centre."""
    rays = depth_rays(height, 2 * height)
    low, high = torch.tensor([-1.5, -2.0, -1.2]).double(), torch.tensor([2.5, 3.0, 1.4]).double()
    reach = torch.where(rays > 0, high / rays, torch.where(rays < 0, low / rays, torch.inf))
    return reach.amin(-1)


def test_a_panorama_coloured_by_direction_shows_it_on_every_face() -> None:
    panorama = equirect_rays(256, 512)
    rays = wide_face_rays(33)
    faces = wide_cube_faces(panorama, 33)
    expected = torch.nn.functional.normalize(rays, dim=-1).float()
    assert (faces - expected).abs().max() < 2e-3


def test_a_rolled_panorama_permutes_the_faces_around_the_horizon() -> None:
    panorama = torch.rand(32, 64, 3)
    faces, turned = (wide_cube_faces(p, 16) for p in (panorama, panorama.roll(16, 1)))
    assert torch.allclose(turned[:4], faces[QUARTER[:4]], atol=1e-4)
    assert torch.allclose(turned[4], faces[4].rot90(1), atol=1e-4)
    assert torch.allclose(turned[5], faces[5].rot90(-1), atol=1e-4)


def test_depth_rays_start_at_the_zenith_and_look_along_y() -> None:
    rays = depth_rays(8, 16)
    assert torch.allclose(rays[0], rays.new_tensor([0, 0, 1.0]).expand(16, 3))
    assert torch.allclose(rays[4, 8], rays.new_tensor([0, 1.0, 0]))
    assert torch.allclose(rays[4, 12], rays.new_tensor([1.0, 0, 0]))
    assert torch.allclose(rays.norm(dim=-1), rays.new_ones(8, 16))


def test_a_room_frame_goes_both_ways_and_fills_the_cube() -> None:
    points = torch.rand(50, 3, dtype=torch.float64) * torch.tensor([3.0, 5.0, 2.0])
    frame = RoomFrame.around(points)
    inside = frame.to_cube(points)
    assert torch.allclose(frame.to_world(inside), points)
    assert inside.abs().max() < 0.5
    assert (inside.amax(0) - inside.amin(0)).amax() == pytest.approx(0.99999)
    with pytest.raises(InputError, match="points that span a room"):
        RoomFrame.around(points[:1])


def test_a_box_room_becomes_its_walls() -> None:
    depth = room_depth()
    geometry = occupancy_of_panorama(depth, resolution=16)
    points = geometry.frame.to_cube(depth_points(depth)).flatten(0, 1)
    # Walls only: every cell touches the border of the occupied box.
    low, high = geometry.voxels.amin(0), geometry.voxels.amax(0)
    assert bool(((geometry.voxels == low) | (geometry.voxels == high)).any(1).all())
    assert points.abs().max() < 0.5
    assert geometry.frame.to_world(geometry.camera).abs().max() < 1e-12


def test_filters_cut_the_ceiling_turn_and_crop() -> None:
    depth = room_depth()
    cut = occupancy_of_panorama(depth, PointFilters(ceiling_cut_m=0.2))
    top = cut.frame.to_world(torch.tensor([0, 0, 0.5], dtype=torch.float64))
    assert cut.counts[1] < cut.counts[0]
    assert float(top[2]) > 1.2  # centre is that of the largest side; the ceiling itself is gone
    turned = occupancy_of_panorama(depth, PointFilters(yaw=math.pi / 2), resolution=16)
    plain = occupancy_of_panorama(depth, resolution=16)
    quarter = torch.stack([15 - plain.voxels[:, 1], plain.voxels[:, 0], plain.voxels[:, 2]], 1).unique(dim=0)
    same = set(map(tuple, quarter.tolist())) ^ set(map(tuple, turned.voxels.tolist()))
    assert len(same) <= 0.05 * len(quarter)
    crop = PointFilters(crop=((-1.0, -1.0, -1.3), (1.0, 1.0, -1.1)))
    floor = occupancy_of_panorama(depth, crop)
    assert floor.counts[-1] < plain.counts[-1]
    with pytest.raises(InputError, match="check the depth map"):
        occupancy_of_panorama(torch.zeros(8, 16))


def test_invalid_depth_is_left_out() -> None:
    depth = room_depth()
    spoiled = depth.clone()
    spoiled[5, :20], spoiled[6, 3], spoiled[7, 3] = torch.nan, torch.inf, -1.0
    assert occupancy_of_panorama(spoiled).counts[0] == depth.numel() - 22


@pytest.mark.parametrize("is_soft", [True, False])
def test_published_camera_units_are_half_an_offset(is_soft: bool) -> None:
    camera = torch.tensor([[0.12, -0.2, 0.05]])
    half = voxel_view_bias(camera, 8, camera_scale=1.0, is_soft=is_soft)
    right = voxel_view_bias(camera / 2, 8, camera_scale=2.0, is_soft=is_soft)
    assert torch.allclose(half, right, atol=1e-3)


def test_bias_and_mask_turn_with_the_room() -> None:
    camera = torch.tensor([0.1, -0.05, 0.02])
    turned = torch.tensor([0.05, 0.1, 0.02])  # a quarter turn, counter-clockwise from above
    bias = voxel_view_bias(camera[None], 8, camera_scale=2.0).view(8, 8, 8, 6)
    other = voxel_view_bias(turned[None], 8, camera_scale=2.0).view(8, 8, 8, 6)
    # Cell (x, y) of the room moves to (7 - y, x); what front (+y) showed is then at left (-x).
    moved = other.flip(0).transpose(0, 1)[..., [3, 0, 1, 2, 4, 5]]
    assert torch.allclose(bias, moved, atol=1e-2)
    coords = torch.cartesian_prod(*[torch.arange(8)] * 3)
    seen = voxel_view_mask(coords, camera, 8)[0]
    seen_turned = voxel_view_mask(torch.stack([7 - coords[:, 1], coords[:, 0], coords[:, 2]], 1), turned, 8)[0]
    assert torch.equal(seen, seen_turned[:, [3, 0, 1, 2, 4, 5]])


def test_a_camera_on_a_cell_sees_everything_from_it() -> None:
    visible, nothing = voxel_view_mask(torch.tensor([[16, 16, 16], [0, 0, 0]]), torch.full((3,), 0.5 / 32), 32)
    assert nothing.tolist() == [True, False]
    assert bool(visible[0].all())


def test_forms_of_inversion_agree_at_full_noise_and_exact_starts_at_its_level() -> None:
    plain = inversion_times("published_batch", 0.3, 12, 5.0)
    for form in ("published_demo", "exact"):
        assert np.allclose(inversion_times(form, 1.0, 12, 5.0), plain)
        assert inversion_times(form, 0.0, 12, 5.0).max() == 0
    assert inversion_times("exact", 0.3, 12, 5.0)[0] == pytest.approx(0.3)
    assert inversion_times("published_demo", 0.5, 12, 5.0)[0] == pytest.approx(2.5 / 3)
    latent, noise = torch.randn(2, 8, 4, 4, 4).unbind()
    assert torch.allclose(inversion_start(latent, noise, 0.0), latent, atol=1e-4)
    assert torch.allclose(inversion_start(latent, noise, 1.0), noise)
    with pytest.raises(InputError, match="share of noise"):
        inversion_start(latent, noise, 1.5)
