import math

import pytest
import torch

from scenewright.geometry.camera.cubemap import (
    CUBE_PAD,
    cube_face_rotations,
    cubemap_to_equirect,
    direction_to_equirect_pixel,
    equirect_rays,
    locate_on_cube,
    sample_equirect,
)


def directions_picture(rays: torch.Tensor) -> torch.Tensor:
    """A smooth picture on the sphere: something every pixel can be checked against."""
    return torch.stack([rays[..., 0], rays[..., 1] * rays[..., 2], rays[..., 2] ** 2], -1)


def test_rays_follow_the_convention():
    rays = equirect_rays(180, 360)
    assert rays.norm(dim=-1).sub(1).abs().max() < 1e-6
    ahead = direction_to_equirect_pixel(torch.tensor([0.0, 0.0, 1.0]), 180, 360)
    torch.testing.assert_close(ahead, torch.tensor([180.0, 90.0]))
    right = direction_to_equirect_pixel(torch.tensor([1.0, 0.0, 0.0]), 180, 360)
    torch.testing.assert_close(right, torch.tensor([270.0, 90.0]))
    above = direction_to_equirect_pixel(torch.tensor([0.0, -1.0, 0.0]), 180, 360)
    assert float(above[1]) == pytest.approx(0.0, abs=1e-4)


def test_pixel_and_ray_are_inverse():
    rays = equirect_rays(16, 32)
    pixels = direction_to_equirect_pixel(rays, 16, 32)
    v, u = torch.meshgrid(torch.arange(16) + 0.5, torch.arange(32) + 0.5, indexing="ij")
    torch.testing.assert_close(pixels, torch.stack([u, v], -1), atol=1e-4, rtol=0)


def test_faces_are_rotations_and_cover_every_direction_once():
    rotations = cube_face_rotations()
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(6))
    rays = torch.nn.functional.normalize(torch.randn(500, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    face, pixel, depth = locate_on_cube(rays, 64)
    assert bool(((pixel >= CUBE_PAD) & (pixel <= 64 + CUBE_PAD)).all())
    assert float(depth.min()) >= 1 / math.sqrt(3) - 1e-6
    assert set(face.tolist()) == set(range(6))


def test_panorama_survives_the_cube_and_shows_no_seam():
    rays = equirect_rays(64, 128)
    panorama = directions_picture(rays)
    axis = (torch.arange(96 + 2 * CUBE_PAD) + 0.5 - CUBE_PAD) * 2 / 96 - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    seen = torch.einsum("fji,hwj->fhwi", cube_face_rotations(), torch.stack([x, y, torch.ones_like(x)], -1))
    again = cubemap_to_equirect(sample_equirect(panorama, seen), 64)
    torch.testing.assert_close(again, panorama, atol=3e-3, rtol=0)


def test_lookup_wraps_in_longitude_and_over_the_poles():
    panorama = directions_picture(equirect_rays(64, 128))
    around = torch.tensor([[-1e-4, 0.1, -1.0], [1e-4, 0.1, -1.0], [0.01, -1.0, 0.0], [-0.01, -1.0, 0.0]])
    unit = torch.nn.functional.normalize(around, dim=1)
    torch.testing.assert_close(sample_equirect(panorama, around), directions_picture(unit), atol=5e-3, rtol=0)
