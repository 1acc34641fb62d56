"""I-Scene's slots: object and scene share a crop, so that the object keeps its place."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scenewright.encoders.preprocess.crop import image_to_tensor
from scenewright.encoders.preprocess.lanczos4 import lanczos4_resized
from scenewright.errors import InputError
from scenewright.systems.iscene.preprocess import crop_object
from tests.support.iscene_published import prepare_slots


def picture(width: int = 80, height: int = 60) -> Image.Image:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(1, 256, (height, width, 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(pixels.numpy())


def boxes(*corners: tuple[int, int, int, int], width: int = 80, height: int = 60) -> torch.Tensor:
    masks = torch.zeros(len(corners), height, width, dtype=torch.bool)
    for mask, (left, upper, right, lower) in zip(masks, corners, strict=True):
        mask[upper:lower, left:right] = True
    return masks


def test_slots_by_number() -> None:
    masks = boxes((10, 10, 30, 30), (40, 20, 70, 50))
    assert prepare_slots(picture(), masks, size=28).shape == (2, 3, 3, 28, 28)
    assert prepare_slots(picture(), masks, size=28, with_canonical=False).shape == (2, 2, 3, 28, 28)


def test_all_objects_share_the_scene_slot() -> None:
    slots = prepare_slots(picture(), boxes((10, 10, 30, 30), (40, 20, 70, 50)), size=56)
    assert torch.equal(slots[0, 1], slots[1, 1])
    assert slots.min() == 0
    assert slots.max() <= 1


def test_objects_in_the_scene_crop_add_up_to_the_scene() -> None:
    masks = boxes((10, 10, 30, 30), (40, 20, 70, 50))
    pixels = image_to_tensor(picture())
    crops = [crop_object(pixels, masks.any(0), mask) for mask in masks]
    assert torch.equal(crops[0].instance + crops[1].instance, crops[0].scene)
    assert torch.equal(crops[0].scene, crops[1].scene)


def test_crop_side_by_hand() -> None:
    # Columns 10..69 and rows 10..49: extent 59, int(1.2 * 59) = 70, half 35 about (39.5, 29.5).
    masks = boxes((10, 10, 30, 30), (40, 20, 70, 50))
    crops = crop_object(image_to_tensor(picture()), masks.any(0), masks[0])
    assert crops.scene_box == (4.5, -5.5, 74.5, 64.5)
    assert crops.scene.shape == (3, 70, 70)
    # The object's own box is measured in the crop, which starts at column 4 and row -6 (halves round to even).
    assert crops.canonical_box == (15.5 - 11, 25.5 - 11, 15.5 + 11, 25.5 + 11)
    assert crops.canonical.shape == (3, 22, 22)


@settings(max_examples=20, deadline=None)
@given(dx=st.integers(-5, 5), dy=st.integers(-5, 5))
def test_own_crop_does_not_depend_on_the_place(dx: int, dy: int) -> None:
    step = (2 * dx, 2 * dy)
    pixels, mask = image_to_tensor(picture()), boxes((30, 20, 45, 41))[0]
    moved = [torch.roll(x, (step[1], step[0]), (-2, -1)) for x in (pixels, mask)]
    first, second = crop_object(pixels, mask, mask), crop_object(moved[0], moved[1], moved[1])
    assert torch.equal(first.canonical, second.canonical)
    assert torch.equal(first.scene, second.scene)


@pytest.mark.parametrize(("mask", "message"), [((5, 5, 5, 5), "Mask 2 has no object"), ((5, 5, 6, 6), "single pixel")])
def test_unusable_masks_are_named(mask: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepare_slots(picture(), boxes((10, 10, 30, 30), mask), size=28)


def test_lanczos4_keeps_constants_and_sizes() -> None:
    torch.testing.assert_close(lanczos4_resized(torch.full((2, 7, 9), 0.3), 31, 5), torch.full((2, 31, 5), 0.3))
    image = torch.rand(3, 12, 10)
    torch.testing.assert_close(lanczos4_resized(image, 12, 10), image)


def test_lanczos4_shrinks_without_antialiasing() -> None:
    # Halving samples midway between pixels; every fourth pixel lit lies under the same two taps again and again.
    signal = torch.zeros(1, 64)
    signal[:, ::4] = 1
    half = lanczos4_resized(signal, 1, 32)[0, 4:-4]
    torch.testing.assert_close(half[0::2], half[0].expand(12))
    assert (half[0] - half[1]).abs() > 0.01


def test_lanczos4_weights_by_hand() -> None:
    # Twofold enlargement: sample 9 sits at 4.25, so its taps are pixels 1..8 at distances 3.25, 2.25, ..., -3.75.
    impulse = torch.eye(10, dtype=torch.float64)
    row = lanczos4_resized(impulse, 10, 20)[:, 9]
    distance = 4.25 - torch.arange(10, dtype=torch.float64)
    kernel = torch.where(distance.abs() < 4, torch.sinc(distance) * torch.sinc(distance / 4), 0)
    torch.testing.assert_close(row, kernel / kernel.sum())
