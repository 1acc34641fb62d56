import numpy as np
import pytest
import torch

from scenewright.rendering.augment import (
    PhotoAugmentation,
    add_sensor_noise,
    augment_picture,
    blur,
    change_exposure,
    change_white_balance,
    compress_jpeg,
    random_backdrop,
    random_lights,
)

PICTURE = torch.rand(24, 32, 3, generator=torch.Generator().manual_seed(0))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_seed_gives_the_same_picture_again_and_another_seed_another():
    first, again, other = (augment_picture(PICTURE, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert 0 <= float(first.min()) <= float(first.max()) <= 1


def test_switched_off_effects_change_nothing():
    off = PhotoAugmentation(*[(0.0, 0.0)] * 6, 0.0, (90, 90), 0.0)
    torch.testing.assert_close(augment_picture(PICTURE, seeded(0), off), PICTURE, atol=1e-4, rtol=0)


def test_one_stop_doubles_the_light():
    torch.testing.assert_close(change_exposure(PICTURE, 1.0), 2 * PICTURE)


def test_white_balance_keeps_the_luminance_of_grey():
    grey = torch.full((1, 3), 0.4)
    warm = change_white_balance(grey, 0.3, 0.05)
    assert float(warm[0] @ torch.tensor([0.2126, 0.7152, 0.0722])) == pytest.approx(0.4)
    assert float(warm[0, 0]) > 0.4 > float(warm[0, 2])


def test_blur_keeps_the_mean_and_spreads_a_point_by_its_sigma():
    point = torch.zeros(41, 41, 3)
    point[20, 20] = 1
    spread = blur(point, 2.0)[..., 0]
    steps = torch.arange(41.0) - 20
    assert float(spread.sum()) == pytest.approx(1, rel=1e-4)
    assert float((spread.sum(0) * steps**2).sum()) == pytest.approx(4.0, rel=0.05)
    assert torch.equal(blur(PICTURE, 0.0), PICTURE)


def test_noise_has_the_variance_asked_for():
    noisy = add_sensor_noise(torch.full((200, 200, 3), 0.5), seeded(0), 0.01, 0.002)
    assert float(noisy.var()) == pytest.approx(0.01**2 + 0.002 * 0.5, rel=0.05)


def test_jpeg_loses_more_at_lower_quality():
    errors = [float((compress_jpeg(PICTURE, quality) - PICTURE).abs().mean()) for quality in (95, 60, 10)]
    assert errors == sorted(errors)


def test_random_lights_are_deterministic_bounded_and_come_from_above():
    assert random_lights(seeded(3)) == random_lights(seeded(3))
    for seed in range(20):
        lights = random_lights(seeded(seed), lamp_positions=((0.0, 0.0, 2.5),))
        assert lights.suns[0].direction[2] > 0.4
        total = np.array(lights.suns[0].color) + np.array(lights.ambient.sky)
        assert total.min() > 0.5
        assert total.max() < 2.2
        assert len(lights.points) == 1


def test_backdrops_are_pictures():
    backdrop = random_backdrop(20, 30, seeded(0))
    assert backdrop.shape == (20, 30, 3)
    assert 0 <= float(backdrop.min()) <= float(backdrop.max()) <= 1
