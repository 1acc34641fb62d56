import numpy as np
import torch

from scenewright.rendering.random_lights import random_lights


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_random_lights_are_deterministic_bounded_and_come_from_above():
    assert random_lights(seeded(3)) == random_lights(seeded(3))
    for seed in range(20):
        lights = random_lights(seeded(seed))
        assert lights.suns[0].direction[2] > 0.4
        total = np.array(lights.suns[0].color) + np.array(lights.ambient.sky)
        assert total.min() > 0.5
        assert total.max() < 2.2
