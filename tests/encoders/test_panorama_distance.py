"""The small network for distances of panoramas: round about, and as it ships."""

import pytest
import torch

from scenewright.encoders.panorama_distance import (
    HEIGHT,
    SHIPPED_WEIGHTS,
    PanoramaDistance,
    PanoramaDistanceConfig,
    picture_at_height,
)

TINY = PanoramaDistanceConfig(channels=(8, 8, 8, 8, 16), num_blocks=(1, 1, 1, 1), num_attending=1, num_heads=2)


def test_a_turned_panorama_gives_turned_distances() -> None:
    torch.manual_seed(0)
    network = PanoramaDistance(TINY)
    torch.nn.init.normal_(network.out.weight)
    pictures = torch.rand(2, 3, 64, 128)
    with torch.no_grad():
        straight, turned = network(pictures), network(pictures.roll(32, 3))
    assert straight.shape == (2, 2, 64, 128)
    torch.testing.assert_close(turned, straight.roll(32, 3), atol=1e-4, rtol=1e-4)
    # The first column knows the last.
    changed = pictures.clone()
    changed[..., -1] = 0
    with torch.no_grad():
        assert not torch.allclose(network(changed)[..., 0], straight[..., 0])


def test_before_training_it_says_a_usual_room() -> None:
    with torch.no_grad():
        logarithm = PanoramaDistance(TINY)(torch.rand(1, 3, 64, 128))[0, 0]
    distance = logarithm.exp()
    assert float(distance[-1].mean()) == pytest.approx(1.5, abs=0.01)
    assert float(distance[0].mean()) == pytest.approx(1.2, abs=0.01)
    assert float(distance[32].mean()) == pytest.approx(2.2, abs=0.01)


def test_pictures_of_any_size_come_to_the_networks_own() -> None:
    rgb = torch.zeros(600, 1200, 3, dtype=torch.uint8)
    rgb[:300] = 255
    picture = picture_at_height(rgb)
    assert picture.shape == (3, HEIGHT, 2 * HEIGHT)
    assert float(picture[:, :100].min()) == pytest.approx(1.0)
    assert float(picture[:, 156:].max()) == pytest.approx(0.0)
    exact = torch.randint(0, 256, (HEIGHT, 2 * HEIGHT, 3), dtype=torch.uint8)
    assert torch.equal((picture_at_height(exact) * 255).round().byte(), exact.movedim(-1, 0))


def test_what_ships_is_small_and_loads() -> None:
    assert SHIPPED_WEIGHTS.stat().st_size < 4_000_000
    network = PanoramaDistance.shipped()
    assert next(network.parameters()).dtype == torch.float32
    assert not any(parameter.requires_grad for parameter in network.parameters())
