import math

import pytest
import torch

from scenewright.geometry import splat
from scenewright.geometry.camera.cameras import intrinsics_from_fov
from scenewright.geometry.splat import SH_DEGREE_0, splat_gaussians
from scenewright.types import Camera, Gaussians

CAMERA = Camera(intrinsics_from_fov(90.0, 64, 64), torch.eye(4), 64, 64)


def gaussians(means, scale, opacity, colors) -> Gaussians:
    count = len(means)
    return Gaussians(
        torch.tensor(means, dtype=torch.float32),
        torch.full((count, 3), scale),
        torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(count, 1),
        torch.full((count,), opacity),
        ((torch.tensor(colors, dtype=torch.float32) - 0.5) / SH_DEGREE_0)[:, None],
    )


def test_one_gaussian_by_hand():
    # 32 px focal length, depth 2: 0.125 units are 2 px, so the variance is 4 px^2, filtered 4.1.
    drawn = splat_gaussians(gaussians([[0.0, 0.0, 2.0]], 0.125, 0.8, [[1.0, 0.5, 0.0]]), CAMERA)
    variance = 0.125**2 * 16**2
    opacity = 0.8 * variance / (variance + 0.1)
    expected = opacity * math.exp(-0.5 * (0.5**2 + 0.5**2) / (variance + 0.1))
    assert float(drawn.alpha[32, 32]) == pytest.approx(expected, rel=1e-4)
    torch.testing.assert_close(drawn.rgb[32, 32], expected * torch.tensor([1.0, 0.5, 0.0]), rtol=1e-4, atol=1e-6)
    assert float(drawn.depth_z_m[32, 32]) == pytest.approx(2.0, rel=1e-5)
    assert float(drawn.alpha[0, 0]) == 0


def test_the_screen_filter_keeps_the_energy_of_tiny_splats():
    tiny = gaussians([[0.0, 0.0, 2.0]], 0.002, 0.9, [[1.0, 1.0, 1.0]])
    covered = float(splat_gaussians(tiny, CAMERA, kernel_size=0.3).alpha.sum())
    sharp = 0.9 * 2 * math.pi * (0.002 * 16) ** 2
    assert covered < 10 * sharp  # without compensation it would be the filter's own area, hundreds of times more


def test_near_covers_far_and_order_of_rows_does_not_matter():
    both = gaussians([[0.0, 0.0, 3.0], [0.0, 0.0, 2.0]], 0.3, 0.99, [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    flipped = Gaussians(**{name: value.flip(0) for name, value in vars(both).items()})
    first, second = splat_gaussians(both, CAMERA), splat_gaussians(flipped, CAMERA)
    torch.testing.assert_close(first.rgb, second.rgb)
    assert float(first.rgb[32, 32, 0]) > 0.9 > 0.1 > float(first.rgb[32, 32, 1])


def test_behind_the_camera_or_nothing_at_all_is_black():
    behind = splat_gaussians(gaussians([[0.0, 0.0, -2.0]], 0.3, 0.9, [[1.0, 1.0, 1.0]]), CAMERA)
    nothing = splat_gaussians(Gaussians(*(torch.zeros(0, *s) for s in ((3,), (3,), (4,), (), (1, 3)))), CAMERA)
    assert float(behind.alpha.max()) == float(nothing.alpha.max()) == 0


def test_chunks_of_rows_change_nothing(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    means = torch.rand(200, 3, generator=generator) + torch.tensor([-0.5, -0.5, 1.0])
    many = gaussians(means.tolist(), 0.05, 0.6, torch.rand(200, 3, generator=generator).tolist())
    whole = splat_gaussians(many, CAMERA)
    monkeypatch.setattr(splat, "MAX_PAIRS", 500)
    torch.testing.assert_close(splat_gaussians(many, CAMERA).rgb, whole.rgb, atol=1e-5, rtol=0)


def test_gradients_move_a_gaussian_towards_its_target():
    start = gaussians([[0.1, 0.0, 2.0]], 0.2, 0.9, [[1.0, 1.0, 1.0]])
    target = splat_gaussians(gaussians([[0.0, 0.0, 2.0]], 0.2, 0.9, [[1.0, 1.0, 1.0]]), CAMERA).rgb
    means = start.means.clone().requires_grad_()
    values = {**vars(start), "means": means}
    (splat_gaussians(Gaussians(**values), CAMERA).rgb - target).square().mean().backward()
    assert means.grad is not None
    assert float(means.grad[0, 0]) > 0
