"""Marking objects: clicks and boxes become masks, are corrected, named, deleted and taken back."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenewright.errors import InputError
from scenewright.studio.mask_board import MaskBoard
from scenewright.types import Mask, ObjectMasks
from tests.studio.conftest import BLUE, RED, EvenColor


@pytest.fixture
def board(picture: Path) -> MaskBoard:
    return MaskBoard(Image.open(picture), EvenColor())


def area(box: tuple[int, int, int, int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def test_a_click_begins_an_object_and_the_next_ones_belong_to_it(board: MaskBoard) -> None:
    board.click(30, 60)
    board.click(40, 70)
    assert [item.name for item in board.objects] == ["object_1"]
    assert board.masks.regions[0].area == area(RED)
    board.choose(None)
    board.click(110, 70)
    assert board.masks.names == ("object_1", "object_2")
    assert board.masks.regions[1].area == area(BLUE)


def test_what_a_click_beside_the_object_finds_leaves_its_box(board: MaskBoard) -> None:
    board.draw_box((25, 45, 65, 95))
    board.click(110, 70)  # a second piece that belongs to it
    assert board.masks.regions[0].area == area(RED) + area(BLUE)
    board.click(30, 60, is_on=False)
    assert board.masks.regions[0].area == area(BLUE)


def test_every_change_is_taken_back_in_turn(board: MaskBoard) -> None:
    board.click(30, 60)
    board.rename("object_1", "red box/1")
    board.delete("red_box_1")
    assert not board.objects
    board.undo()
    assert [item.name for item in board.objects] == ["red_box_1"]
    board.undo()
    assert [item.name for item in board.objects] == ["object_1"]
    board.undo()
    assert not board.objects
    with pytest.raises(InputError, match="nothing to undo"):
        board.undo()


def test_masks_from_elsewhere_join_and_are_written_under_their_names(board: MaskBoard, tmp_path: Path) -> None:
    pixels = np.zeros((120, 160), dtype=bool)
    pixels[:30, :30] = True
    board.take(ObjectMasks([Mask.of(pixels)], ["lamp"]))
    board.click(30, 60)
    folder = board.save(tmp_path / "masks")
    assert sorted(path.name for path in folder.iterdir()) == ["lamp.png", "object_1.png"]
    assert np.array_equal(np.asarray(Image.open(folder / "lamp.png")).astype(bool), pixels)


def test_what_cannot_be_done_is_said(board: MaskBoard, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Choose an object first"):
        board.click(30, 60, is_on=False)
    with pytest.raises(InputError, match="Draw the box"):
        board.draw_box((-50, -50, -10, -10))
    with pytest.raises(InputError, match="Mark at least one object"):
        board.save(tmp_path / "masks")
    board.click(30, 60)
    board.choose(None)
    board.click(110, 70)
    with pytest.raises(InputError, match="no other object has"):
        board.rename("object_1", "object_2")
