"""The picture beside a scene is drawn at the size it is shown, however large the photograph."""

import numpy as np
import torch
from PIL import Image

from scenewright.runs.comparison import comparison_picture
from scenewright.systems.baselines.cuboid import CuboidSystem
from scenewright.types import ObjectMasks, View


def view(scale: int) -> View:
    pixels = np.full((60 * scale, 80 * scale, 3), 200, np.uint8)
    pixels[20 * scale : 50 * scale, 20 * scale : 50 * scale] = (200, 30, 30)
    masks = torch.zeros(1, 60 * scale, 80 * scale, dtype=torch.bool)
    masks[0, 20 * scale : 50 * scale, 20 * scale : 50 * scale] = True
    return View(Image.fromarray(pixels), ObjectMasks(masks))


def test_a_large_photograph_looks_like_a_small_one() -> None:
    pictures = [comparison_picture([view(scale)], CuboidSystem().generate(view(scale))) for scale in (4, 12)]
    small, large = (np.asarray(picture, dtype=float) for picture in pictures)
    assert small.shape == large.shape
    assert np.abs(small - large).mean() < 3
