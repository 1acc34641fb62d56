"""`scenewright.generate`: pictures and masks as files or in memory give the same scene."""

from pathlib import Path

import pytest
import torch

import scenewright
from scenewright.errors import InputError
from scenewright.io.glb import glb_bytes
from scenewright.io.images import load_image

PHOTOGRAPHS = Path(__file__).parents[1] / "data" / "photographs"


def test_files_and_what_they_hold_give_the_same_scene() -> None:
    picture, masks = PHOTOGRAPHS / "coffee.jpg", PHOTOGRAPHS / "coffee_masks.png"
    scene = scenewright.generate(picture, masks, system="cuboid", settle=True)
    image = load_image(picture)
    same = scenewright.generate(image, scenewright.find_masks(image, masks), system="cuboid", settle=True)
    assert glb_bytes(scene) == glb_bytes(same)
    assert [item.name for item in scene.objects] == ["object_1", "object_2", "object_3"]


def test_a_system_that_reads_masks_asks_for_them() -> None:
    with pytest.raises(InputError, match="cuboid needs the masks"):
        scenewright.generate(PHOTOGRAPHS / "coffee.jpg", system="cuboid")


def test_masks_as_tensors_are_numbered() -> None:
    image = load_image(PHOTOGRAPHS / "coffee.jpg")
    mask = torch.zeros(1, image.height, image.width, dtype=torch.bool)
    mask[0, -40:, :40] = True
    assert [item.name for item in scenewright.generate(image, mask, system="cuboid").objects] == ["obj_01"]
