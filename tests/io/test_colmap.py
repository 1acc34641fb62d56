"""COLMAP models: text and binary agree, and a file cut or damaged anywhere gives one sentence, never a crash."""

import re
import struct
from pathlib import Path

import numpy as np
import pytest

from scenewright.errors import InputError
from scenewright.io.colmap import _MODEL_NAMES, is_colmap_folder, read_colmap

IMAGES = [
    (1, (0.9, 0.1, -0.3, 0.2), (0.5, -1.0, 2.0), "first picture.jpg", [(10.5, 20.25, 7), (3.0, 4.0, -1)]),
    (2, (0.2, 0.8, 0.1, 0.5), (1.5, 0.0, -2.0), "zweites_ü.jpg", []),
]
POINTS = [(7, (0.1, 0.2, 0.3), (255, 0, 9), 0.75, [(1, 0), (2, 5)]), (9, (-1.0, 2.0, 3.5), (1, 2, 3), 1.5, [])]


def write_text(folder: Path) -> Path:
    (folder / "cameras.txt").write_text("# Number of cameras: 1\n3 OPENCV 64 48 50 51 32 24 0.1 -0.01 0.001 0.002\n")
    lines = ["# Image list", f"# Number of images: {len(IMAGES)}, mean observations per image: 1"]
    for number, q, t, name, seen in IMAGES:
        lines.append(" ".join(map(str, (number, *q, *t, 3, name))))
        lines.append(" ".join(str(value) for row in seen for value in row))
    (folder / "images.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = ["# Number of points: 2, mean track length: 1"]
    for number, xyz, rgb, error, track in POINTS:
        rows.append(" ".join(map(str, (number, *xyz, *rgb, error, *(v for pair in track for v in pair)))))
    (folder / "points3D.txt").write_text("\n".join(rows) + "\n")
    return folder


def write_binary(folder: Path) -> Path:
    params = (50, 51, 32, 24, 0.1, -0.01, 0.001, 0.002)
    (folder / "cameras.bin").write_bytes(struct.pack("<QIiQQ8d", 1, 3, 4, 64, 48, *params))
    content = struct.pack("<Q", len(IMAGES))
    for number, q, t, name, seen in IMAGES:
        content += struct.pack("<I7dI", number, *q, *t, 3) + name.encode() + b"\0" + struct.pack("<Q", len(seen))
        content += b"".join(struct.pack("<2dq", *row) for row in seen)
    (folder / "images.bin").write_bytes(content)
    content = struct.pack("<Q", len(POINTS))
    for number, xyz, rgb, error, track in POINTS:
        content += struct.pack("<Q3d3BdQ", number, *xyz, *rgb, error, len(track))
        content += b"".join(struct.pack("<II", *pair) for pair in track)
    (folder / "points3D.bin").write_bytes(content)
    return folder


@pytest.mark.parametrize("write", [write_text, write_binary])
def test_both_forms_hold_the_model(tmp_path: Path, write) -> None:
    model = read_colmap(write(tmp_path))
    assert is_colmap_folder(tmp_path)
    assert model.cameras[3].distortion.k2 == -0.01
    assert [image.name for image in model.images] == ["first picture.jpg", "zweites_ü.jpg"]
    assert model.images[0].point_ids.tolist() == [7, -1]
    assert model.images[0].observations_px.tolist() == [[10.5, 20.25], [3.0, 4.0]]
    assert model.points.track_length.tolist() == [2, 0]
    np.testing.assert_allclose(model.points.positions[1], POINTS[1][1])
    for image in model.images:
        np.testing.assert_allclose(image.cam_from_world[:3, :3] @ image.cam_from_world[:3, :3].T, np.eye(3), atol=1e-12)
    # Half a turn about x for a quaternion with x only.
    np.testing.assert_allclose(model.images[0].cam_from_world[:3, 3], IMAGES[0][2])


def test_names_as_old_programs_write_them_are_read(tmp_path: Path) -> None:
    images = write_binary(tmp_path) / "images.bin"
    images.write_bytes(images.read_bytes().replace("ü".encode(), "ü".encode("cp1252")))
    assert [image.name for image in read_colmap(tmp_path).images] == ["first picture.jpg", "zweites_ü.jpg"]


@pytest.mark.parametrize("stem", ["cameras", "images", "points3D"])
@pytest.mark.parametrize(("write", "suffix"), [(write_text, ".txt"), (write_binary, ".bin")])
def test_a_file_cut_anywhere_is_told(tmp_path: Path, write, stem: str, suffix: str) -> None:
    path = write(tmp_path) / f"{stem}{suffix}"
    whole = path.read_bytes()
    expected, told = read_colmap(tmp_path), []
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        try:
            model = read_colmap(tmp_path)
        except InputError as error:
            told.append(str(error))
            continue
        # A text file cut inside a line's last number still parses, but once its count is read never with fewer records.
        assert suffix == ".txt"
        if re.search(r"Number of \w+: \d.*\n", whole[:length].decode(errors="ignore")):
            assert len(model.images) == len(expected.images)
            assert len(model.points.ids) == len(expected.points.ids)
    assert all(str(tmp_path) in message for message in told)
    assert told


def test_huge_counts_take_no_memory(tmp_path: Path) -> None:
    write_binary(tmp_path)
    (tmp_path / "points3D.bin").write_bytes(struct.pack("<Q", 1 << 60))
    with pytest.raises(InputError, match="ends early"):
        read_colmap(tmp_path)


def test_pictures_without_observation_lines_are_all_read(tmp_path: Path) -> None:
    write_text(tmp_path)
    lines = [" ".join(map(str, (number, *q, *t, 3, name))) for number, q, t, name, _ in IMAGES]
    (tmp_path / "images.txt").write_text("\n".join(lines), encoding="utf-8")
    assert len(read_colmap(tmp_path).images) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 0 0 0 0 1 2 3 3 a.jpg\n\n", "no valid pose"),
        ("1 nan 0 0 0 1 2 3 3 a.jpg\n\n", "no valid pose"),
        ("1 1 0 0 0 1 2 3 8 a.jpg\n\n", "camera 8"),
        ("1 1 0 0 0 1 2 3 3 a.jpg\n\n2 1 0 0 0 1 2 3 3 a.jpg\n\n", "twice"),
        ("1 1 0 0 0 1 2\n\n", "Line 1"),
    ],
)
def test_bad_pictures_are_told(tmp_path: Path, line: str, message: str) -> None:
    write_text(tmp_path)
    (tmp_path / "images.txt").write_text(line)
    with pytest.raises(InputError, match=message):
        read_colmap(tmp_path)


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        ("PINHOLE 64 48 0 0 32 24", "focal lengths 0 and 0, which must be positive"),
        ("PINHOLE 64 48 -60 -60 32 24", "focal lengths -60 and -60"),
        ("PINHOLE 64 48 60 1e300 32 24", r"focal length of 1e\+300 for a picture of 64x48"),
        ("PINHOLE 64 48 nan 60 32 24", "4 finite parameters"),
        ("SIMPLE_RADIAL 64 48 60 inf 24 0", "4 finite parameters"),
        ("RADIAL_FISHEYE 64 48 0 32 24 0 0", "focal lengths 0 and 0"),
        ("SIMPLE_PINHOLE 64 48 60 1e300 24", "centre at"),
        ("OPENCV 0 48 60 60 32 24 0 0 0 0", "picture of 0x48, which none has"),
        ("FOV 64 4000000000 60 60 32 24 0.5", "picture of 64x4000000000, which none has"),
    ],
)
@pytest.mark.parametrize("suffix", [".txt", ".bin"])
def test_impossible_cameras_are_told(tmp_path: Path, camera: str, message: str, suffix: str) -> None:
    write_text(tmp_path)
    model, width, height, *params = camera.split()
    if suffix == ".txt":
        (tmp_path / "cameras.txt").write_text(f"3 {camera}\n")
    else:
        fields = (1, 3, _MODEL_NAMES.index(model), int(width), int(height), *map(float, params))
        (tmp_path / "cameras.bin").write_bytes(struct.pack(f"<QIiQQ{len(params)}d", *fields))
    with pytest.raises(InputError, match=rf"cameras\{suffix}.*{message}"):
        read_colmap(tmp_path)


@pytest.mark.parametrize("model", ["SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE"])
def test_models_of_one_focal_length_use_it_twice(tmp_path: Path, model: str) -> None:
    write_text(tmp_path)
    rest = "0 0" if model == "RADIAL_FISHEYE" else "0"
    (tmp_path / "cameras.txt").write_text(f"3 {model} 64 48 50 32 24 {rest}\n")
    expected = [[50, 0, 32], [0, 50, 24], [0, 0, 1]]
    assert read_colmap(tmp_path).cameras[3].intrinsics_px.tolist() == expected


def test_places_beyond_single_precision_are_told(tmp_path: Path) -> None:
    write_text(tmp_path)
    (tmp_path / "points3D.txt").write_text("7 1e300 0 0 1 2 3 0.5\n")
    with pytest.raises(InputError, match=r"points3D\.txt.* beyond 1e\+12; remove them"):
        read_colmap(tmp_path)


def test_unsupported_lens_names_the_fix(tmp_path: Path) -> None:
    write_text(tmp_path)
    (tmp_path / "cameras.txt").write_text("3 OPENCV_FISHEYE 64 48 50 51 32 24 0 0 0 0\n")
    camera = read_colmap(tmp_path).cameras[3]
    with pytest.raises(InputError, match="image_undistorter"):
        _ = camera.distortion


@pytest.mark.parametrize("suffix", [".txt", ".bin"])
def test_models_of_later_versions_name_the_fix(tmp_path: Path, suffix: str) -> None:
    write_text(tmp_path)
    binary = struct.pack("<QIiQQ16d", 1, 3, 16, 64, 48, *range(16))
    (tmp_path / f"cameras{suffix}").write_bytes(binary if suffix == ".bin" else b"3 DIVISION 64 48 50 51 32 24 0\n")
    with pytest.raises(InputError, match=rf"cameras\{suffix}.* which is not supported; undistort the pictures first"):
        read_colmap(tmp_path)


def test_a_missing_part_is_told(tmp_path: Path) -> None:
    write_text(tmp_path)
    (tmp_path / "points3D.txt").unlink()
    with pytest.raises(InputError, match=r"points3D\.txt"):
        read_colmap(tmp_path)
