"""Losses by hand, and a batch of scenes as the mean of its scenes."""

import pytest
import torch

from scenewright.systems.scenegen.losses import (
    LossBalance,
    LossConfig,
    collision_ratio,
    denoised,
    pose_losses,
    scene_extent,
    scene_losses,
)
from scenewright.systems.scenegen.position_head import IDENTITY_POSE


def latents(count: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(count, 8, 4, 4, 4, generator=generator) for _ in range(3)]


def poses(count: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(count, 8, generator=generator) for _ in range(2)]


def test_lambda_follows_the_ratio_slowly_and_stays_in_its_range() -> None:
    balance, config = LossBalance(), LossConfig()
    assert balance.update(0.5, config) == 0.5
    assert balance.update(1.5, config) == pytest.approx(0.99 * 0.5 + 0.01 * 1.5)
    assert LossBalance().update(1e-3, config) == 0.2
    assert LossBalance().update(50.0, config) == 1.0


def test_extent_is_that_of_cubes_about_the_positions() -> None:
    told = torch.tensor([IDENTITY_POSE, (2.0, 0.0, 0.0, 1, 0, 0, 0, 0.5)])
    torch.testing.assert_close(scene_extent(told), torch.tensor([[2.75, 1.0, 1.0]]))
    flat = torch.tensor([(0.0, 0, 0, 1, 0, 0, 0, 0)])
    torch.testing.assert_close(scene_extent(flat), torch.full((1, 3), 0.01))


def test_pose_loss_by_hand() -> None:
    true = torch.tensor([IDENTITY_POSE, (2.0, 0.0, 0.0, 1, 0, 0, 0, 0.5)])
    told = true.clone()
    told[0] += 5  # the query's pose is not judged
    told[1, 0] += 0.275  # a tenth of the extent: |e| - d / 2 with d = 0.02, one of three axes
    told[1, 7] += 0.01  # inside the quadratic part: e^2 / 2d
    loss, log = pose_losses(told, true, LossConfig())
    assert loss.item() == pytest.approx(7 * (0.1 - 0.01) / 3 + 3 * 0.01**2 / 0.04, rel=1e-3)
    assert log["translation_error"].item() == pytest.approx(0.275 / 3, rel=1e-4)
    assert log["scale_error"].item() == pytest.approx(0.01, rel=1e-3)


def test_a_lone_asset_has_no_pose_loss_and_leaves_lambda() -> None:
    balance = LossBalance()
    x_0, noise, velocity = latents(1)
    told, true = poses(1)
    losses = scene_losses(velocity, told, x_0, noise, true, balance)
    assert torch.equal(losses.loss, losses.mse)
    assert losses.pose is None
    assert balance.average is None


def test_several_scenes_give_the_mean_of_their_losses() -> None:
    sizes = [3, 1, 2]
    x_0, noise, velocity = latents(6)
    told, true = poses(6)
    fixed = LossConfig(min_balance=0.5, max_balance=0.5)
    together = scene_losses(velocity, told, x_0, noise, true, LossBalance(), fixed, scene_sizes=sizes)
    alone = [
        scene_losses(*parts, LossBalance(), fixed).loss
        for parts in zip(*(t.split(sizes) for t in (velocity, told, x_0, noise, true)), strict=True)
    ]
    torch.testing.assert_close(together.loss, torch.stack(alone).mean())


def test_the_perfect_velocity_is_denoised_to_the_data() -> None:
    x_0, noise, _ = latents(2)
    t = torch.tensor([0.3, 0.9])
    x_t = (1 - t.view(-1, 1, 1, 1, 1)) * x_0 + t.view(-1, 1, 1, 1, 1) * noise
    torch.testing.assert_close(denoised(x_t, noise - x_0, t), x_0, rtol=1e-3, atol=1e-3)


def cube(asset: int) -> torch.Tensor:
    grid = torch.cartesian_prod(*[torch.arange(0, 64, 8)] * 3)
    return torch.cat([torch.full((len(grid), 1), asset), grid], 1).int()


def test_collision_counts_cells_that_two_assets_claim_but_not_the_querys() -> None:
    same_place = torch.tensor([IDENTITY_POSE] * 3)
    coords = torch.cat([cube(0), cube(1), cube(2)])
    assert collision_ratio(coords, same_place).item() == pytest.approx(1.0)
    assert collision_ratio(torch.cat([cube(0), cube(1)]), same_place[:2]).item() == 0.0
    apart = same_place.clone()
    apart[2, 0] = 3.0
    assert collision_ratio(coords, apart).item() == 0.0
    assert collision_ratio(coords[:0], same_place).item() == 0.0
