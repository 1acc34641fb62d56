"""The picture beside a scene is drawn at the size it is shown, however large the photograph."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.runs.comparison import comparison_picture
from scenewright.systems.baselines.cuboid import CuboidSystem
from scenewright.types import Camera, Mesh, ObjectMasks, Room, Scene, SceneObject, View


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


@pytest.mark.parametrize("size", [(8, 6000), (6000, 8), (1, 20_000)])
def test_a_strip_makes_a_sheet_of_usual_size(size: tuple[int, int]) -> None:
    strip = View(Image.new("RGB", size, "red"), ObjectMasks(torch.ones(1, size[1], size[0], dtype=torch.bool)))
    camera = Camera(torch.tensor([[500.0, 0, size[0] / 2], [0, 500, size[1] / 2], [0, 0, 1]]), torch.eye(4), *size)
    scene = replace(CuboidSystem().generate(view(4)), cameras={"camera": camera})
    width, height = comparison_picture([strip], scene).size
    assert width < 1600
    assert height < 1300


def test_a_room_is_seen_from_above_without_its_ceiling() -> None:
    def slab(height: float, color: tuple[float, float, float]) -> SceneObject:
        corners = torch.tensor([[-1.0, -1, height], [1, -1, height], [1, 1, height], [-1, 1, height]])
        faces = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)
        return SceneObject("slab", (Mesh(corners, faces, vertex_colors=torch.tensor([[*color, 1.0]] * 4)),))

    floor = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    scene = Scene((slab(0, (0.8, 0.1, 0.1)), slab(2.5, (0.1, 0.1, 0.8))), room=Room(floor, 2.5))
    above = np.asarray(comparison_picture([View(view(4).image)], scene), dtype=float)
    red, _, blue = above[above.shape[0] // 2, 3 * above.shape[1] // 4]
    assert red > 2 * blue
