"""Planes for what a network says of a room: walls flat, furniture before them, other rooms left alone."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from scenewright.systems.inspace.panorama import wall_heading
from scenewright.systems.inspace.room_distance import on_depth_rays, prism_distance, with_planes
from scenewright.systems.inspace.room_frame import depth_rays

H, W = 128, 256
POLYGON = np.array([[-2.0, -1.5], [2.0, -1.5], [2.0, 1.0], [0.5, 1.0], [0.5, 2.5], [-2.0, 2.5]])
FLOOR, CEILING = 1.5, 1.1


def cube(rays: torch.Tensor, low: list[float], high: list[float]) -> torch.Tensor:
    """Distance to a box along rays, inf beside it."""
    first, second = torch.tensor(low).double() / rays, torch.tensor(high).double() / rays
    enter, leave = torch.minimum(first, second).amax(-1), torch.maximum(first, second).amin(-1)
    return torch.where((enter < leave) & (enter > 0), enter, torch.inf)


@pytest.fixture(scope="module")
def room() -> tuple[torch.Tensor, torch.Tensor]:
    """Distances of an L with a cabinet in it, and where the cabinet is."""
    walls = prism_distance(POLYGON, FLOOR, CEILING, H, W)
    furniture = cube(depth_rays(H, W), [-1.8, -1.4, -1.5], [-0.8, -0.9, -0.4])
    return torch.minimum(walls, furniture), furniture < walls


def waves(size: float) -> torch.Tensor:
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(H, W)), 12, mode=("nearest", "wrap"))
    return torch.from_numpy(noise / noise.std() * size)


def errors(found: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return (found.double() / truth).log().abs()


def test_an_l_is_seen_as_far_as_its_nearest_wall() -> None:
    distance = prism_distance(POLYGON, FLOOR, CEILING, H, W)
    rays = depth_rays(H, W)
    assert float(distance[0, 0]) == pytest.approx(CEILING)
    assert float(distance[H // 2, W // 2]) == pytest.approx(2.5)  # +y
    assert float(distance[H // 2, 3 * W // 4]) == pytest.approx(2.0)  # +x
    points = rays * distance[..., None]
    assert float(points[..., 2].max()) < CEILING + 1e-6
    assert float(points[..., 2].min()) > -FLOOR - 1e-6
    # Nothing lies in the corner that is cut off.
    assert not bool(((points[..., 0] > 0.51) & (points[..., 1] > 1.01)).any())


@pytest.mark.parametrize("turn", [0, 11])
def test_wavy_walls_become_flat_and_furniture_stays_before_them(
    room: tuple[torch.Tensor, torch.Tensor], turn: int
) -> None:
    truth, is_furniture = (values.roll(turn, 1) for values in room)
    wavy = truth * waves(0.03).exp()
    found = with_planes(wavy, is_furniture)
    off, was = errors(found, truth), errors(wavy, truth)
    assert float(off[~is_furniture].mean()) < 0.5 * float(was[~is_furniture].mean())
    assert float(off[is_furniture].mean()) < 0.05
    assert bool((found[is_furniture] < 0.99 * with_planes(truth, ~is_furniture & is_furniture)[is_furniture]).any())
    heading = wall_heading(torch.where(is_furniture, torch.nan, found))
    assert abs(heading + turn / W * 2 * math.pi) < math.radians(2)


def test_exact_distances_stay(room: tuple[torch.Tensor, torch.Tensor]) -> None:
    truth, is_furniture = room
    off = errors(with_planes(truth, is_furniture), truth)
    assert float(off.median()) < 0.005
    assert float(off[is_furniture].mean()) < 0.02


def test_a_room_of_six_walls_and_one_without_a_floor_keep_their_distances(
    room: tuple[torch.Tensor, torch.Tensor],
) -> None:
    rays = depth_rays(H, W)
    azimuth, flat, up = torch.atan2(rays[..., 0], rays[..., 1]), rays[..., :2].norm(dim=-1), rays[..., 2]
    walls = 2.0 / torch.cos((azimuth + math.pi / 6) % (math.pi / 3) - math.pi / 6) / flat.clamp(min=1e-9)
    hexagon = torch.minimum(walls, torch.where(up > 0, CEILING, FLOOR) / up.abs().clamp(min=1e-9))
    everything = torch.ones(H, W, dtype=torch.bool)
    assert torch.equal(with_planes(hexagon, ~everything), hexagon)
    assert torch.equal(with_planes(room[0], everything), room[0])


def test_between_two_pixels_stands_their_mean_and_at_an_edge_the_nearer() -> None:
    logarithm = torch.tensor([[0.0, 0.02, 1.0, 0.0], [0.0, 0.02, 1.0, 0.0]])
    furniture = torch.tensor([[1.0, 3.0, -1.0, 1.0], [1.0, 3.0, -1.0, 1.0]])
    found, kind = on_depth_rays(logarithm, furniture)
    assert found.shape == (4, 8)
    # Every other ray is a pixel centre; the first column follows the last.
    assert found[1].tolist() == pytest.approx([0.0, 0.0, 0.01, 0.02, 0.02, 1.0, 0.0, 0.0])
    assert kind[1].tolist() == pytest.approx([1.0, 1.0, 2.0, 3.0, 3.0, -1.0, 1.0, 1.0])
