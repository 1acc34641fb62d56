"""The camera of a photograph, from every form that people have it in, in the pixels of the picture at hand."""

import json
import math
from pathlib import Path

import pytest
import torch
from PIL import Image

from scenewright.errors import InputError
from scenewright.io.camera_file import load_camera
from scenewright.io.images import load_photograph

PICTURE = Image.new("RGB", (640, 480))
FRAME = {
    "file_path": "images\\room.png",
    "transform_matrix": torch.eye(4).tolist(),
    "fl_x": 1200.0,
    "w": 1280,
    "h": 960,
}


@pytest.mark.parametrize(
    "content",
    [
        {"intrinsics_px": [[600, 0, 320], [0, 600, 240], [0, 0, 1]]},
        {"fx": 600, "fy": 600.0, "cx": 320, "cy": 240},
        {"fx": 600},
        {"fx": 1200, "width": 1280, "height": 960},
        {"frames": [FRAME]},
        {"frames": [FRAME | {"file_path": "a.jpg", "fl_x": 900}, FRAME]},
        {"frames": [{"transform_matrix": FRAME["transform_matrix"]}], "camera_angle_x": 2 * math.atan(320 / 600)},
    ],
)
def test_the_lens_in_every_form(tmp_path: Path, content: dict) -> None:
    (tmp_path / "camera.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(content).encode())
    camera = load_camera(tmp_path / "camera.json", PICTURE, image_name="room.png")
    torch.testing.assert_close(camera.intrinsics_px, torch.tensor([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]]))
    assert torch.equal(camera.cam_from_world, torch.eye(4))
    assert (camera.width, camera.height) == PICTURE.size


def test_the_focal_length_of_a_photograph_turned_and_reduced(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0xA405] = 26
    Image.new("RGB", (4800, 3600)).save(tmp_path / "a.jpg", exif=exif)
    photograph = load_photograph(tmp_path / "a.jpg")
    camera = load_camera(tmp_path / "a.jpg", photograph)
    assert photograph.size == (1800, 2400)
    # 26 mm for the 43.27 mm across 36 x 24 mm of film.
    assert float(camera.intrinsics_px[0, 0]) == pytest.approx(26 / 43.2666 * 3000, rel=1e-4)
    Image.new("RGB", (64, 48)).save(tmp_path / "b.jpg")
    with pytest.raises(InputError, match="no focal length"):
        load_camera(tmp_path / "b.jpg", photograph)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "neither intrinsics_px nor fx"),
        ("[1]", "camera file"),
        ('{"fx": NaN}', "camera file"),
        ('{"fx": -3}', "must be positive"),
        ('{"fx": 0.9}', "fits no lens"),
        ('{"fx": 900, "width": 100, "height": 900}', "belongs to a picture of 100x900"),
        ('{"fx": 900, "cam_from_world": [[1, 0, 0]]}', "cam_from_world"),
        ('{"frames": [{"fl_x": 1}]}', "frame 0"),
        (json.dumps({"frames": [FRAME | {"w": 1000, "h": 300}]}), "belongs to a picture of 1000x300"),
    ],
)
def test_what_is_no_camera_is_one_sentence(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "camera.json").write_text(content)
    with pytest.raises(InputError, match=message):
        load_camera(tmp_path / "camera.json", PICTURE)


def test_sizes_with_a_decimal_point(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"fx": 500, "width": 640.0, "height": 480.0}')
    camera = load_camera(tmp_path / "c.json", PICTURE)
    assert (camera.width, camera.height) == (640, 480)
    (tmp_path / "c.json").write_text('{"fx": 500, "width": 640.5, "height": 480.0}')
    with pytest.raises(InputError, match=r"width: Input should be a multiple of 1"):
        load_camera(tmp_path / "c.json", PICTURE)
