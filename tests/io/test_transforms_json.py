"""Nerfstudio and Blender transforms files."""

import json
from pathlib import Path

import numpy as np
import pytest

from scenewright.errors import InputError
from scenewright.io.transforms_json import read_transforms_json

POSE = np.eye(4).tolist()


def changed(row: int, column: int, value: float) -> list[list[float]]:
    pose = np.eye(4)
    pose[row, column] = value
    return pose.tolist()


def written(folder: Path, content: object) -> Path:
    path = folder / "transforms.json"
    path.write_text(json.dumps(content))
    return path


def test_camera_axes_turn_from_gltf_to_opencv(tmp_path: Path) -> None:
    path = written(tmp_path, {"camera_angle_x": 1.0, "w": 40, "h": 20, "frames": [{"transform_matrix": POSE}]})
    (frame,) = read_transforms_json(path)
    np.testing.assert_allclose(frame.cam_from_world, np.diag([1, -1, -1, 1.0]))
    assert frame.intrinsics_unit[1, 1] == pytest.approx(2 * frame.intrinsics_unit[0, 0])


def test_a_frame_overrides_the_file(tmp_path: Path) -> None:
    frames = [{"transform_matrix": POSE, "fl_x": 30}, {"transform_matrix": POSE[:3], "file_path": "a b.png"}]
    path = written(tmp_path, {"fl_x": 20, "w": 40, "h": 20, "k1": 0.1, "frames": frames})
    first, second = read_transforms_json(path)
    assert first.intrinsics_unit[0, 0] == pytest.approx(0.75)
    assert second.intrinsics_unit[0, 0] == pytest.approx(0.5)
    assert second.distortion.k1 == 0.1
    assert second.name == "a b.png"


def test_a_camera_has_no_scale(tmp_path: Path) -> None:
    """Blender exports the scale that a camera happens to have, which changes nothing in its pictures."""
    scaled = np.array(POSE) @ np.diag([2.0, 2, 2, 1])
    frames = [{"transform_matrix": POSE}, {"transform_matrix": scaled.tolist()}]
    first, second = read_transforms_json(written(tmp_path, {"camera_angle_x": 1, "frames": frames}))
    assert np.allclose(first.cam_from_world, second.cam_from_world)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "no list of frames"),
        ({"frames": []}, "no list of frames"),
        ({"frames": [{}], "camera_angle_x": 1}, "transform_matrix"),
        ({"frames": [{"transform_matrix": [[0.0] * 4] * 4}], "camera_angle_x": 1}, "no pose"),
        ({"frames": [{"transform_matrix": changed(3, 0, 1.0)}], "camera_angle_x": 1}, "no pose"),
        ({"frames": [{"transform_matrix": changed(0, 3, 1e300)}], "camera_angle_x": 1}, "no pose"),
        ({"frames": [{"transform_matrix": np.diag([1.0, 1, -1, 1]).tolist()}], "camera_angle_x": 1}, "mirrors"),
        ({"frames": [{"transform_matrix": changed(0, 1, 0.5)}], "camera_angle_x": 1}, "shears"),
        ({"frames": [{"transform_matrix": POSE}]}, "camera_angle_x"),
        ({"frames": [{"transform_matrix": POSE}], "camera_angle_x": 0}, "no angle between 0 and pi"),
        ({"frames": [{"transform_matrix": POSE}], "fl_x": 1e9, "w": 40, "h": 20}, "frame 0 of '.*fits no lens"),
        ({"frames": [{"transform_matrix": POSE}], "fl_x": 3}, "without the size"),
        ({"frames": [{"transform_matrix": POSE}], "camera_angle_x": 1, "camera_model": "OPENCV_FISHEYE"}, "FISHEYE"),
        ({"frames": [{"transform_matrix": POSE}], "camera_angle_x": 1, "is_fisheye": True}, "FISHEYE"),
        ({"frames": [{"transform_matrix": POSE}], "camera_angle_x": 1, "k3": 0.1}, "bent by k3"),
    ],
)
def test_bad_files_are_told(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_transforms_json(written(tmp_path, content))


def test_no_json(tmp_path: Path) -> None:
    path = tmp_path / "transforms.json"
    path.write_text('{"frames": [')
    with pytest.raises(InputError, match="not JSON"):
        read_transforms_json(path)
