"""The box of a mask: by hand, and from its own outline."""

import math

import pytest
import torch
from PIL import Image

from scenewright.errors import InputError
from scenewright.geometry.camera.cameras import look_at
from scenewright.systems.baselines.cuboid import CuboidSystem, box_from_mask
from scenewright.types import Camera, Mask, ObjectMasks, OrientedBox, View
from tests.support.meshes import world_from_unit_box


def camera() -> Camera:
    """A metre and a half above the floor, looking along +y and 15 degrees down; 160 x 120 pixels."""
    fall = 5 * math.tan(math.radians(15))
    pose = look_at(torch.tensor([0.0, 0.0, 1.5]), torch.tensor([0.0, 5.0, 1.5 - fall]))
    return Camera(torch.tensor([[140.0, 0, 80], [0, 140, 60], [0, 0, 1]]), pose.float(), 160, 120)


def outline(box: OrientedBox, seen: Camera) -> torch.Tensor:
    """The rectangle around the box's picture, as a mask."""
    signs = torch.tensor([[x, y, z, 1.0] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    corners = (seen.cam_from_world @ world_from_unit_box(box) @ signs.T)[:3]
    pixels = (seen.intrinsics_px @ corners / corners[2]).T
    mask = torch.zeros(seen.height, seen.width, dtype=torch.bool)
    left, top = pixels[:, :2].amin(0).round().int().tolist()
    right, bottom = pixels[:, :2].amax(0).round().int().tolist()
    mask[top:bottom, left:right] = True
    return mask


def test_a_box_is_found_again_from_its_outline() -> None:
    true = OrientedBox((0.0, 4.0, 0.4), (0.9, 0.9, 0.8), 0.0)
    found = box_from_mask(Mask.of(outline(true, camera())), camera())
    assert found.centre == pytest.approx(true.centre, abs=0.15)
    assert found.size == pytest.approx(true.size, abs=0.12)
    assert found.yaw == pytest.approx(0, abs=1e-6)
    assert found.centre[2] - found.size[2] / 2 == pytest.approx(0)  # it stands on the floor


def test_every_mask_becomes_a_box_in_its_colour() -> None:
    mask = outline(OrientedBox((0.5, 3.0, 0.3), (0.6, 0.6, 0.6), 0.0), camera())
    image = Image.new("RGB", (160, 120), (255, 0, 0))
    scene = CuboidSystem().generate(View(image, ObjectMasks(torch.stack([mask, mask])), camera()))
    assert scene.is_metric
    assert [item.name for item in scene.objects] == ["obj_01", "obj_02"]
    material = scene.objects[0].parts[0].material
    assert material is not None
    assert material.base_color_factor[:3] == pytest.approx((1, 0, 0))
    assert float(scene.objects[0].world_bounds()[0, 2]) == pytest.approx(0, abs=1e-5)


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="empty one"):
        box_from_mask(Mask.of(torch.zeros(120, 160, dtype=torch.bool)), camera())
    with pytest.raises(InputError, match="160x120"):
        box_from_mask(Mask.of(torch.ones(10, 10, dtype=torch.bool)), camera())
