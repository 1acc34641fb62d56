"""Visibility: sub-pixel rule, perspective, clipping, and agreement of the compiled rasteriser with its torch twin."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewright.rendering.gbuffer import rasterize
from scenewright.rendering.triangles import TriangleScene, pack_meshes
from scenewright.rendering.view import parallel_view, view_of_camera
from scenewright.types import Camera, Mesh
from tests.rendering.shapes import box, camera_above, camera_at, square
from tests.support.projection import pixel_rays, project_points
from tests.support.rotations import random_rotation

BACKENDS = ("numba", "torch")
PIXEL_CAMERA = Camera(torch.eye(3), torch.eye(4), 8, 8)  # at depth 1, camera x and y are pixels


def in_pixels(triangles: list[list[tuple[float, float]]], depth: float = 1.0) -> TriangleScene:
    corners = torch.tensor([[x * depth, y * depth, depth] for triangle in triangles for x, y in triangle])
    return pack_meshes([Mesh(corners, torch.arange(len(corners)).reshape(-1, 3))])


@pytest.mark.parametrize("backend", BACKENDS)
def test_pixel_centres_decide_and_the_top_left_rule_breaks_ties(backend):
    # Corners exactly on pixel centres: left and top edges are in, right and bottom edges are out.
    scene = in_pixels([[(1.5, 1.5), (4.5, 1.5), (4.5, 4.5)], [(1.5, 1.5), (4.5, 4.5), (1.5, 4.5)]])
    seen = rasterize(scene, view_of_camera(PIXEL_CAMERA), backend=backend).face >= 0
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[1:4, 1:4] = True
    assert torch.equal(seen, expected)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.floats(0.5, 7.5) for _ in range(2)]), st.booleans())
def test_a_fan_covers_every_pixel_exactly_once(backend, apex, is_flipped):
    # Whatever the inner corner, four triangles that share it tile the square: no gap, no pixel drawn twice.
    ring = [(0.0, 0.0), (8.0, 0.0), (8.0, 8.0), (0.0, 8.0)]
    fan = [[ring[i], ring[(i + 1) % 4], apex] for i in range(4)]
    if is_flipped:
        fan = [triangle[::-1] for triangle in fan]
    scene = in_pixels(fan)
    view = view_of_camera(PIXEL_CAMERA)
    count = torch.zeros(8, 8)
    for i in range(4):
        selected = torch.arange(4) == i
        count += rasterize(scene, view, selected=selected, backend=backend).face >= 0
    assert bool((count == 1).all())


@pytest.mark.parametrize("backend", BACKENDS)
def test_depth_is_the_plane_and_barycentrics_hit_the_surface(backend):
    camera = camera_at((0.3, -2.0, 1.2), (0.0, 0.0, 0.0))
    scene = pack_meshes([square(half=3.0)])
    seen = rasterize(scene, view_of_camera(camera), backend=backend)
    hit = seen.face >= 0
    corners = scene.vertices[scene.faces[seen.face[hit].long()].long()]
    b = seen.barycentrics[hit]
    points = ((1 - b.sum(1, keepdim=True)) * corners[:, 0]) + b[:, :1] * corners[:, 1] + b[:, 1:] * corners[:, 2]
    rays = pixel_rays(camera) @ camera.cam_from_world[:3, :3]
    expected = -1.2 / rays[..., 2]
    torch.testing.assert_close(seen.depth[hit], expected[hit], rtol=2e-4, atol=0)
    pixels, depth = project_points(camera, points)
    v, u = torch.nonzero(hit, as_tuple=True)
    torch.testing.assert_close(pixels, torch.stack([u + 0.5, v + 0.5], 1), atol=0.02, rtol=0)
    torch.testing.assert_close(depth, seen.depth[hit], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_floor_that_runs_under_and_behind_the_camera_is_clipped(backend):
    camera = camera_at((0.0, 0.0, 1.0), (0.0, 1.0, 0.9))
    scene = pack_meshes([square(half=50.0)])
    seen = rasterize(scene, view_of_camera(camera), backend=backend)
    rays = pixel_rays(camera) @ camera.cam_from_world[:3, :3]
    expected = torch.where(rays[..., 2] < 0, -1.0 / rays[..., 2], torch.inf)
    forward = expected * rays[..., 1]
    below, beyond = forward < 48, ~(forward <= 52)  # the far edge itself may fall either way
    assert bool((seen.face >= 0)[below].all())
    assert bool((seen.face == -1)[beyond].all())
    # Grazing views of far ground are the hardest case for snapping to 1/256 pixel.
    torch.testing.assert_close(seen.depth[below], expected[below], rtol=2e-3, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nearer_wins_and_peeling_finds_the_one_behind(backend):
    scene = pack_meshes([square(0.0), square(1.0, half=0.5), square(-1.0, half=2.0)])
    view = view_of_camera(camera_above())
    first = rasterize(scene, view, backend=backend)
    second = rasterize(scene, view, behind=first.depth, backend=backend)
    limited = rasterize(scene, view, in_front_of=first.depth, backend=backend)
    centre = (32, 32)
    assert float(first.depth[centre]) == pytest.approx(2.0)
    assert float(second.depth[centre]) == pytest.approx(3.0)
    assert int(limited.face[centre]) == -1


@pytest.mark.parametrize("backend", BACKENDS)
def test_parallel_projection_shows_true_lengths(backend):
    scene = pack_meshes([square(0.0, half=1.0)])
    view = parallel_view(torch.tensor([0.0, 0.0, 1.0]), torch.tensor([[-1.0, -1.0, 0.0], [1.0, 1.0, 0.0]]), 64)
    seen = rasterize(scene, view, backend=backend)
    side = 64 / 2**0.5  # the box's circumscribed circle fills the picture
    assert (seen.face >= 0).sum().item() == pytest.approx(side**2, rel=0.05)
    torch.testing.assert_close(seen.depth[32, 32], torch.tensor(1.5 * 2**0.5), rtol=1e-5, atol=0)


def random_soup(seed: int, count: int = 60) -> TriangleScene:
    generator = torch.Generator().manual_seed(seed)
    centers = 4 * torch.rand(count, 1, 3, generator=generator) - 2
    corners = centers + torch.randn(count, 3, 3, generator=generator) * torch.rand(count, 1, 1, generator=generator)
    return pack_meshes([Mesh(corners.reshape(-1, 3), torch.arange(3 * count).reshape(-1, 3))])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_both_backends_agree_on_random_soups_seen_from_inside(seed):
    # The camera stands inside the soup, so triangles cross the near plane and leave the picture on all sides.
    scene = random_soup(seed)
    pose = torch.eye(4)
    pose[:3, :3] = random_rotation(1, generator=torch.Generator().manual_seed(seed))[0]
    camera = Camera(torch.tensor([[40.0, 0.0, 24.0], [0.0, 40.0, 20.0], [0.0, 0.0, 1.0]]), pose, 48, 40)
    fast, slow = (rasterize(scene, view_of_camera(camera, near=0.05), backend=b) for b in BACKENDS)
    same = fast.face == slow.face
    assert same.float().mean() > 0.999
    torch.testing.assert_close(fast.depth[same], slow.depth[same], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(fast.barycentrics[same], slow.barycentrics[same], rtol=0, atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_degenerate_or_not_a_number_is_drawn(backend):
    nan = float("nan")
    corners = torch.tensor(
        [[nan, 0.0, 1.0], [4.0, 0.0, 1.0], [0.0, 4.0, 1.0], [1.0, 1.0, 1.0], [3.0, 3.0, 1.0], [5.0, 5.0, 1.0]]
    )
    scene = pack_meshes([Mesh(corners, torch.tensor([[0, 1, 2], [3, 4, 5], [3, 3, 4]]))])
    assert int(rasterize(scene, view_of_camera(PIXEL_CAMERA), backend=backend).face.max()) == -1
    assert int(rasterize(pack_meshes([]), view_of_camera(PIXEL_CAMERA), backend=backend).face.max()) == -1


def test_threads_do_not_change_the_picture():
    scene = pack_meshes([box(), square(-0.5, half=2.0)])
    view = view_of_camera(camera_at((2.0, -2.0, 1.5), (0.0, 0.0, 0.0)))
    one, many = (rasterize(scene, view, threads=threads, backend="numba") for threads in (1, 3))
    assert torch.equal(one.face, many.face)
    assert torch.equal(one.depth, many.depth)
