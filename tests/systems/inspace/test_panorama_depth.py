"""Views of unknown factor and shift become one radial map."""

import pytest
import torch
import torch.nn.functional as F

from scenewright.systems.inspace.panorama import Panorama, PanoramaSettings, room_input
from scenewright.systems.inspace.panorama_depth import aligned_distance, perspective_views, view_rays
from scenewright.systems.inspace.room_frame import depth_rays
from scenewright.systems.options import RoomOverride

SIDE, HEIGHT = 96, 96


def furnished(rays: torch.Tensor) -> torch.Tensor:
    """How many lengths of each ray reach the walls of a 4 x 5 x 2.6 m room, or one of its two blocks."""
    low, high = torch.tensor([-1.5, -2.0, -1.2]).double(), torch.tensor([2.5, 3.0, 1.4]).double()
    reach = torch.where(rays > 0, high / rays, torch.where(rays < 0, low / rays, torch.inf)).amin(-1)
    for corners in (([1.2, 0.5, -1.2], [2.4, 2.0, -0.4]), ([-1.4, -1.5, -1.2], [-0.8, -0.2, 0.6])):
        first, second = (torch.tensor(corner).double() / rays for corner in corners)
        enter, leave = torch.minimum(first, second).amax(-1), torch.maximum(first, second).amin(-1)
        reach = torch.where((enter < leave) & (enter > 0) & (enter < reach), enter, reach)
    return reach


@pytest.fixture(scope="module")
def inverse() -> torch.Tensor:
    return 1 / furnished(view_rays(SIDE))


@pytest.fixture(scope="module")
def truth() -> torch.Tensor:
    return furnished(depth_rays(HEIGHT, 2 * HEIGHT))


def errors(found: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return (found / truth - 1).abs().flatten()


def spoiled(inverse: torch.Tensor, noise: float) -> torch.Tensor:
    """Inverse depth with a smooth error of so much of its value, different in every view."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(len(inverse), 1, 6, 6, generator=generator)
    return inverse * (1 + noise * F.interpolate(coarse, (SIDE, SIDE), mode="bicubic")[:, 0])


@pytest.mark.parametrize(("noise", "half", "most"), [(0.0, 1e-4, 2e-3), (0.02, 0.015, 0.05)])
def test_unknown_factors_and_shifts_are_found(
    inverse: torch.Tensor, truth: torch.Tensor, noise: float, half: float, most: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    factor = 0.5 + 1.5 * torch.rand(len(inverse), 1, 1, generator=generator)
    shift = 0.2 * torch.rand(len(inverse), 1, 1, generator=generator) - 0.1
    found = aligned_distance(((spoiled(inverse, noise) - shift) / factor).float(), False, HEIGHT)
    assert float(found.median()) == pytest.approx(2, rel=1e-3)
    error = errors(found * float((truth / found).median()), truth)
    assert float(error.median()) < half
    assert float(error.quantile(0.95)) < most


def test_a_metric_network_keeps_its_scale(inverse: torch.Tensor, truth: torch.Tensor) -> None:
    assert float(errors(aligned_distance(inverse.float(), True, HEIGHT), truth).quantile(0.95)) < 2e-3
    factors = torch.linspace(0.85, 1.15, len(inverse))[:, None, None]
    error = errors(aligned_distance((factors * inverse).float(), True, HEIGHT), truth)
    assert float(error.median()) < 0.05  # the median of what the views said
    assert float(error.std()) < 0.02  # one factor for all


def test_distances_without_scale_take_it_from_the_camera_s_height(truth: torch.Tensor) -> None:
    picture = torch.full((HEIGHT, 2 * HEIGHT, 3), 90, dtype=torch.uint8)
    unscaled = Panorama(picture, 0.7 * truth, has_scale=False)
    room = room_input(unscaled, PanoramaSettings(face_size=16))
    assert room.camera_height_m == 1.5
    assert room.origins["camera_height"] == "assumed"
    assert "scale of the distances is unknown" in " ".join(room.notes)
    assert room.ceiling_m == pytest.approx(2.6 * 1.5 / 1.2, rel=0.03)
    assert not room.is_metric
    assert room_input(unscaled, PanoramaSettings(RoomOverride(camera_height_m=1.2), face_size=16)).is_metric


def test_views_show_the_panorama_without_gaps() -> None:
    height = 64
    rays = depth_rays(height, 2 * height)
    colors = (127.5 + 127.5 * rays).round().byte()
    views = perspective_views(colors, 32).double()
    expected = 127.5 + 127.5 * F.normalize(view_rays(32), dim=-1)
    assert float((views - expected).abs().median()) < 4  # half a pixel lies between depth and picture rows
