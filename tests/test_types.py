"""What goes into a system is checked once, when it is built."""

import pytest
import torch
from PIL import Image

from scenewright.errors import InputError
from scenewright.types import Camera, ObjectMasks, PanoramaCamera, Scene, View

PICTURE = Image.new("RGBA", (4, 3))


def mask(*pixels):
    filled = torch.zeros(3, 4, dtype=torch.bool)
    for row, column in pixels:
        filled[row, column] = True
    return filled


def test_a_view_keeps_its_picture_as_rgb_and_chooses_objects():
    view = View(PICTURE, ObjectMasks(torch.stack([mask((0, 0)), mask((1, 1)), mask((2, 2))])), name="left.png")
    assert view.image.mode == "RGB"
    assert view.objects.names == ("obj_01", "obj_02", "obj_03")
    chosen = view.at([2, 0])
    assert (chosen.objects.names, chosen.name) == (("obj_03", "obj_01"), "left.png")
    assert torch.equal(chosen.objects.masks[0], mask((2, 2)))


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (torch.zeros(0, 3, 4, dtype=torch.bool), "at least one object mask"),
        (torch.ones(1, 4, 4, dtype=torch.bool), "picture's 4x3 pixels, got 4x4"),
        (torch.stack([mask((0, 0)), mask()]), "Mask 'obj_02' is empty"),
    ],
)
def test_masks_that_do_not_fit_the_picture_are_refused(masks, message):
    with pytest.raises(InputError, match=message):
        View(PICTURE, ObjectMasks(masks))


@pytest.mark.parametrize("names", [("a",), ("a", "a"), ("a", "b", "c")])
def test_every_mask_has_a_name_of_its_own(names):
    with pytest.raises(InputError, match="2 distinct names"):
        ObjectMasks(torch.stack([mask((0, 0)), mask((1, 1))]), names)


def test_where_masks_overlap_the_last_keeps_the_pixel():
    masks = ObjectMasks(torch.stack([mask((0, 0), (0, 1)), mask((0, 1), (0, 2))]))
    assert masks.exclusive.int().sum((1, 2)).tolist() == [1, 2]
    assert int(masks.union.sum()) == 3


def test_a_panorama_is_twice_as_wide_as_high():
    with pytest.raises(InputError, match="2:1 equirectangular"):
        PanoramaCamera(torch.eye(4), 1000, 480)


def test_the_camera_of_a_scene_is_its_first_perspective_one():
    lens = Camera(torch.eye(3), torch.eye(4), 4, 3)
    assert Scene((), cameras={"round": PanoramaCamera(torch.eye(4), 4, 2), "front": lens}).camera is lens
    assert Scene(()).camera is None
