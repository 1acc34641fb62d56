"""Outlines from LabelMe and CVAT: shapes become masks, what is no area is dropped by name, bombs are refused."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenewright.encoders.masks import load_masks
from scenewright.errors import InputError

SQUARE = [[10, 10], [30, 10], [30, 30], [10, 30]]


def labelme(path: Path, shapes: list[dict], **more: object) -> Path:
    content = {"version": "5.5.0", "imagePath": "..\\room.jpg", "imageHeight": 60, "imageWidth": 80, "shapes": shapes}
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(content | more).encode())
    return path


def test_labelme_shapes(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.tri(11, 11, dtype=bool)).save(buffer, format="PNG")
    patch = base64.b64encode(buffer.getvalue()).decode()
    shapes = [
        {"label": "sofa", "points": SQUARE, "shape_type": "polygon", "group_id": None},
        {"label": "lamp", "points": [[60, 30], [65, 30]], "shape_type": "circle"},
        {
            "label": "plant",
            "points": [[40, 5], [50, 15]],
            "shape_type": "mask",
            "mask": patch,
        },
        {"label": "chair", "points": [[1, 1], [5, 5]], "shape_type": "rectangle"},
        {"label": "stroke", "points": SQUARE[:2], "shape_type": "polygon"},
    ]
    masks = load_masks(labelme(tmp_path / "a.json", shapes), (60, 80))
    assert masks.names == ("sofa", "lamp", "plant")
    assert masks.regions[0].box == (10, 10, 30, 30)
    assert masks.regions[1].area == pytest.approx(78, abs=4)
    assert masks.regions[2].area == 66
    assert [warning.split("(")[1].split(",")[0] for warning in masks.warnings[:2]] == ["chair", "stroke"]


def test_shapes_of_one_group_are_one_object_at_the_pictures_size(tmp_path: Path) -> None:
    parts = [
        {"label": "table", "points": SQUARE, "group_id": 1},
        {"label": "table", "points": [[x + 30, y] for x, y in SQUARE], "group_id": 1},
    ]
    masks = load_masks(labelme(tmp_path / "a.json", parts), (120, 160))
    assert masks.names == ("table",)
    assert masks.regions[0].area == 2 * 40 * 40


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
  <image id="0" name="other/hall.jpg" width="80" height="60"><polygon label="door" points="1,1;9,1;9,9"/></image>
  <image id="1" name="rooms\\room.jpg" width="80" height="60">
    <polygon label="sofa" points="10.0,10.0;30.0,10.0;30.0,30.0;10.0,30.0" z_order="0"></polygon>
    <mask label="plant" rle="0, 3, 2, 4" left="40" top="5" width="3" height="3"/>
    <ellipse label="lamp" cx="60" cy="30" rx="10" ry="5"/>
    <box label="chair" xtl="1" ytl="1" xbr="5" ybr="5"/>
  </image>
</annotations>"""


def test_cvat_images(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(CVAT)
    masks = load_masks(tmp_path / "a.xml", (60, 80), image_name="room.jpg")
    assert masks.names == ("sofa", "plant", "lamp")
    assert masks.regions[0].box == (10, 10, 30, 30)
    assert masks.regions[1].within((40, 5, 43, 8)).tolist() == [[1, 1, 1], [0, 0, 1], [1, 1, 1]]
    assert masks.regions[2].area == pytest.approx(157, abs=5)
    assert "chair, box" in masks.warnings[0]
    with pytest.raises(InputError, match=r"0 pictures called 'kitchen\.jpg'"):
        load_masks(tmp_path / "a.xml", (60, 80), image_name="kitchen.jpg")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;">]><annotations>&c;</annotations>', "CVAT"),
        ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotations>&b;</annotations>', "CVAT"),
        ("<annotations><image", "CVAT"),
        ("<annotations><track/><image/></annotations>", "of a video|a video"),
        ('<annotations><image width="9" height="9"><polygon points="1,1;2,2;3,3;4"/></image></annotations>', "CVAT"),
        ('<annotations><image width="-1" height="9"/></annotations>', "CVAT"),
    ],
)
def test_damaged_and_hostile_xml_is_one_sentence(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.xml").write_text(content)
    with pytest.raises(InputError, match=message):
        load_masks(tmp_path / "a.xml", (60, 80))


def test_a_damaged_mask_is_dropped_and_the_others_kept(tmp_path: Path) -> None:
    shapes = [
        {"label": "sofa", "points": [[1, 1], [5, 5]], "shape_type": "mask", "mask": "AAAA"},
        {"label": "lamp", "points": [[1, 1], [5, 1], [5, 5]], "shape_type": "polygon"},
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"shapes": shapes, "imageHeight": 8, "imageWidth": 8}))
    masks = load_masks(path, (8, 8))
    assert masks.names == ("lamp",)
    assert "mask of shape 1 (sofa) of 'a.json' is damaged" in masks.warnings[0]
