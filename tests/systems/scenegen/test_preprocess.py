"""SceneGen's frames and its own reading of colour masks."""

import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.systems.scenegen.preprocess import asset_cut_out, prepare_frame, prepare_vggt_frame
from tests.support.scenegen_published import masks_by_grey_level


@pytest.mark.parametrize("is_tall", [False, True])
def test_vggt_frame_is_padded_with_white_to_a_square(is_tall: bool) -> None:
    # 518 x 259 is 18.5 patches high, which rounds half to even: 18 * 14 = 252 rows, (518 - 252) / 2 = 133 above.
    frame = prepare_vggt_frame(Image.new("RGB", (518, 1036) if is_tall else (1036, 518)))
    frame = frame.transpose(1, 2) if is_tall else frame
    expected = torch.ones(3, 518, 518)
    expected[:, 133:385] = 0
    assert torch.equal(frame, expected)


def test_odd_padding_is_larger_below() -> None:
    frame = prepare_vggt_frame(Image.new("RGB", (56, 14)), size=57, patch_size=14)
    assert (frame == 0).all(0).any(1).nonzero().flatten().tolist() == list(range(21, 35))


def test_square_pictures_fill_the_vggt_frame() -> None:
    assert (prepare_vggt_frame(Image.new("RGB", (100, 100))) == 0).all()


def test_transparent_pixels_are_white_to_vggt() -> None:
    frame = prepare_vggt_frame(Image.new("RGBA", (64, 64), (0, 0, 0, 0)))
    assert (frame == 1).all()


def test_frames_ignore_the_aspect_ratio() -> None:
    assert prepare_frame(Image.new("RGB", (300, 100), (255, 0, 0))).shape == (3, 518, 518)


def test_colours_of_equal_grey_level_are_one_asset() -> None:
    labels = np.zeros((4, 6, 3), np.uint8)
    labels[0, :2] = (128, 0, 0)  # grey level 38
    labels[1, :2] = (64, 64, 0)  # 57
    labels[2, :3] = (128, 0, 0)
    masks = masks_by_grey_level(Image.fromarray(labels), "order")
    assert masks.flatten(1).sum(1).tolist() == [5, 2]
    labels[3, :1] = (0, 0, 255)  # 29
    labels[3, 1:3] = (75, 0, 130)  # 37
    by_size = masks_by_grey_level(Image.fromarray(labels), "smallest").flatten(1).sum(1).tolist()
    assert by_size == [1, 2, 2, 5]
    largest, smallest = (masks_by_grey_level(Image.fromarray(labels), order) for order in ("largest", "smallest"))
    assert torch.equal(largest, smallest.flip(0))


def test_no_asset_gives_no_mask() -> None:
    assert masks_by_grey_level(Image.new("RGB", (5, 4))).shape == (0, 4, 5)


def test_cut_out_is_transparent_black_outside() -> None:
    mask = torch.zeros(4, 5, dtype=torch.bool)
    mask[1, 2] = True
    pixels = np.asarray(asset_cut_out(Image.new("RGB", (5, 4), (9, 8, 7)), mask))
    assert pixels[1, 2].tolist() == [9, 8, 7, 255]
    assert pixels.sum() == 9 + 8 + 7 + 255
