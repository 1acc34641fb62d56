import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.rendering.sheet import instance_colors, mask_overlay, picture_sheet, top_view
from scenewright.rendering.triangles import pack_meshes
from scenewright.types import PBRMaterial
from tests.rendering.shapes import box, square
from tests.support.pictures import depth_picture, normal_picture


def test_sheet_holds_every_kind_of_picture_in_rows_and_columns():
    rows = [[Image.new("RGB", (40, 20), "red"), torch.zeros(30, 40, 3)], [np.full((10, 40), 200, np.uint8), None]]
    sheet = picture_sheet(rows, ["first", "second"], row_labels=["a", "b"], gap=4)
    assert sheet.width == 4 + 2 * 44
    plain = picture_sheet([[Image.new("RGB", (40, 20), "red")]], gap=4)
    assert plain.size == (48, 28)
    assert plain.getpixel((24, 14)) == (255, 0, 0)


def test_cells_scale_and_nothing_at_all_is_still_a_picture():
    sheet = picture_sheet([[torch.ones(20, 40), torch.ones(20, 40)]], cell=10, gap=2)
    assert sheet.size == (2 + 2 * 12, 2 + 5 + 2)
    assert picture_sheet([]).size[0] > 0


def test_a_picture_much_higher_than_wide_is_fitted_into_its_cell():
    assert picture_sheet([[Image.new("RGB", (10, 30))]], cell=20, gap=2).size == (24, 64)
    assert picture_sheet([[Image.new("RGB", (10, 3000))]], cell=20, gap=2).size == (24, 64)


def test_overlay_tints_objects_only_and_accepts_both_forms():
    picture = torch.full((16, 16, 3), 0.5)
    masks = torch.zeros(16, 16, dtype=torch.int64)
    masks[4:12, 4:12] = 2
    tinted = mask_overlay(picture, masks)
    assert tinted.getpixel((0, 0)) == (128, 128, 128)
    assert tinted.getpixel((8, 8)) != (128, 128, 128)
    listed = mask_overlay(picture, [torch.zeros(16, 16, dtype=torch.bool), masks == 2])
    assert np.array_equal(np.asarray(tinted), np.asarray(listed))
    with pytest.raises(ValueError, match="Resize"):
        mask_overlay(picture, masks[:8])


def test_instance_colours_are_distinct_and_stable():
    colors = instance_colors(40)
    assert colors[0] == (0, 0, 0)
    assert len(set(colors)) == 40
    assert instance_colors(5) == colors[:5]


def test_depth_and_normals_become_pictures():
    depth = torch.tensor([[0.0, 1.0], [2.0, 4.0]])
    grey = np.asarray(depth_picture(depth))[..., 0]
    assert grey[0, 0] == 0
    assert grey[0, 1] > grey[1, 0] > grey[1, 1] > 0
    assert depth_picture(torch.zeros(2, 2)).size == (2, 2)
    assert normal_picture(torch.tensor([[[0.0, 0.0, 1.0]]])).getpixel((0, 0)) == (128, 128, 255)


def test_plan_view_has_x_right_y_up_and_can_look_below_the_ceiling():
    scene = pack_meshes(
        [box(0.3, (1.0, 1.0, 0.3), PBRMaterial((0.8, 0.1, 0.1, 1.0))), square(0.0, half=1.5), square(2.5, half=1.5)]
    )
    plan = np.asarray(top_view(scene, 96, cut_height_m=2.0)).astype(int)
    covered = np.asarray(top_view(scene, 96)).astype(int)
    corner = plan[24, 72]  # the box stands at +x, +y: right and up
    assert np.abs(corner - plan[72, 24]).max() > 3
    assert np.abs(covered[24, 72] - covered[72, 24]).max() <= 2
