"""Captures are recognised, turned upright and measured; what is wrong with them is told."""

import json
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.errors import InputError
from scenewright.systems.genrecon.capture_report import report_capture
from scenewright.systems.genrecon.captures import Alignment, aligned, is_capture, read_capture
from scenewright.systems.genrecon.points import point_extent
from scenewright.systems.genrecon.scene_plan import PlanOptions, plan_scene
from scenewright.systems.genrecon.tiling import tile_chunks
from tests.systems.genrecon.tiny_capture import FOCAL, HEIGHT, ROOM, TALL, WIDTH, camera_poses, write_capture


def test_own_capture_becomes_upright_and_metric(tmp_path: Path) -> None:
    capture = aligned(read_capture(write_capture(tmp_path)))
    assert [picture.name for picture in capture.pictures] == sorted(picture.name for picture in capture.pictures)
    for picture, pose in zip(capture.pictures, camera_poses(8), strict=True):
        np.testing.assert_allclose(picture.camera.cam_from_world[:3, 2], pose[:3, 2], atol=1e-5)
        assert picture.centre[2] == pytest.approx(HEIGHT, abs=0.05)
    extent = point_extent(capture.points)
    assert extent.height == pytest.approx(ROOM[2], rel=0.05)
    report = report_capture(capture, tile_chunks(extent, extent.height * 1.11))
    assert report.mean_error_px == 0.5
    assert not report.warnings


def test_known_scale_and_kept_frame(tmp_path: Path) -> None:
    capture = read_capture(write_capture(tmp_path))
    metric = aligned(capture, Alignment(metres_per_unit=2.0))
    assert np.ptp(metric.points[:, 2]) == pytest.approx(ROOM[2], abs=1e-4)
    assert aligned(capture, Alignment(keeps_frame=True)).points is capture.points


@pytest.mark.parametrize("value", [-1.0, 0.0, 1e-300, 1e300, float("nan"), float("inf")])
def test_lengths_out_of_range_are_told(tmp_path: Path, value: float) -> None:
    capture = read_capture(write_capture(tmp_path, count=3))
    with pytest.raises(InputError, match=r"--metres-per-unit from 1e-06 to 1e\+06"):
        aligned(capture, Alignment(metres_per_unit=value))
    with pytest.raises(InputError, match=r"--camera-height from 0\.01 to 1000"):
        aligned(capture, Alignment(camera_height_m=value))


def test_missing_pictures_are_counted_and_none_is_told(tmp_path: Path) -> None:
    write_capture(tmp_path)
    (tmp_path / "images" / "picture 03.png").unlink()
    capture = read_capture(tmp_path)
    assert capture.missing == ("picture 03.png",)
    assert len(capture.pictures) == 7
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    (tmp_path / "images" / "other.png").write_bytes(b"")
    with pytest.raises(InputError, match="None of the 8 pictures"):
        read_capture(tmp_path)


@pytest.mark.parametrize("ending", [".tif", ".tiff", ".bmp", ".webp", ".avif", ".JPG"])
def test_pictures_of_several_cameras_in_every_format(tmp_path: Path, ending: str) -> None:
    names = [f"cam {camera}/x{ending}" for camera in (0, 1)]
    write_capture(tmp_path, count=2, names=names)
    # Pictures of something else lie nearer to the top.
    (tmp_path / "masks").mkdir()
    Image.new("L", (WIDTH, TALL)).save(tmp_path / "masks" / "x.png")
    Image.new("RGB", (WIDTH, TALL)).save(tmp_path / "images" / "cam 0" / f"unplaced{ending}")
    capture = read_capture(tmp_path)
    assert [picture.name for picture in capture.pictures] == names
    assert all(picture.read().size == (WIDTH, TALL) for picture in capture.pictures)
    assert capture.unplaced == (f"unplaced{ending}",)


def test_sixteen_bit_pictures_keep_their_grey_levels(tmp_path: Path) -> None:
    write_capture(tmp_path, count=2)
    levels = np.linspace(0, 0x5EFF, WIDTH * TALL).astype(np.uint16).reshape(TALL, WIDTH)
    Image.fromarray(levels).save(tmp_path / "images" / "picture 00.png")
    pixels = np.asarray(read_capture(tmp_path).pictures[0].read())
    np.testing.assert_array_equal(pixels, np.repeat((levels >> 8)[..., None], 3, 2))


def test_names_with_unicode_and_resized_pictures(tmp_path: Path) -> None:
    write_capture(tmp_path, count=2, names=["küche 1.png", "küche 2.png"])
    path = tmp_path / "images" / "küche 2.png"
    with Image.open(path) as picture:
        picture.resize((48, 36)).save(path)
    capture = read_capture(tmp_path)
    first, second = (picture.camera for picture in capture.pictures)
    assert (second.width, second.height) == (48, 36)
    torch.testing.assert_close(second.intrinsics_px[:2], first.intrinsics_px[:2] / 2)
    with Image.open(path) as picture:
        picture.resize((48, 48)).save(path)
    with pytest.raises(InputError, match="calibrated for 96x72"):
        read_capture(tmp_path)


def test_damaged_picture_is_told(tmp_path: Path) -> None:
    write_capture(tmp_path, count=2)
    (tmp_path / "images" / "picture 01.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="picture 01"):
        read_capture(tmp_path)


def test_of_several_models_the_largest_is_read_where_none_is_the_first(tmp_path: Path) -> None:
    sparse = write_capture(tmp_path, count=4) / "sparse"
    (sparse / "0").rename(sparse / "2")
    copytree(sparse / "2", sparse / "1")
    images = sparse / "1" / "images.txt"
    images.write_text("".join(images.read_text().splitlines(keepends=True)[:4]))
    assert is_capture(tmp_path)
    assert len(read_capture(tmp_path).pictures) == 4


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_transforms_file(tmp_path: Path, ending: str) -> None:
    (tmp_path / "train").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "train" / f"r_0.{ending}")
    paths = ["./train/r_0", f"./train/{'long' * 90}"]  # the second is longer than a file's name may be
    frames = [{"file_path": path, "transform_matrix": np.eye(4).tolist()} for path in paths]
    (tmp_path / "transforms.json").write_text(json.dumps({"camera_angle_x": 1.0, "frames": frames}))
    assert is_capture(tmp_path)
    (picture,) = read_capture(tmp_path).pictures
    assert (picture.camera.width, picture.camera.height) == (40, 30)
    assert picture.camera.intrinsics_px[0, 0] == picture.camera.intrinsics_px[1, 1]


def test_other_folders_are_no_captures(tmp_path: Path) -> None:
    assert not is_capture(tmp_path)
    with pytest.raises(InputError, match="neither transforms"):
        read_capture(tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        read_capture(tmp_path / "nothing")


def test_a_few_points_far_outside_do_not_make_a_room_a_hall(tmp_path: Path) -> None:
    capture = aligned(read_capture(write_capture(tmp_path, count=2)))
    plan = plan_scene(capture)
    rng = np.random.default_rng(0)
    points = capture.points[:1000].copy()
    points[:20] = rng.uniform(-25, 25, (20, 3))
    few = {name: getattr(capture, name)[:1000] for name in ("error_px", "track_length")}
    astray = plan_scene(replace(capture, points=points, **few), PlanOptions(min_points_per_chunk=60))
    assert astray.chunks.size == pytest.approx(plan.chunks.size, rel=0.05)
    assert len(astray.chunks.centres) == len(plan.chunks.centres)


def test_large_places_and_halls_are_told_or_refused(tmp_path: Path) -> None:
    capture = aligned(read_capture(write_capture(tmp_path, count=2)))
    corridor = replace(capture, points=capture.points * [100 / ROOM[0], 1, 1])
    options = PlanOptions(min_points_per_chunk=1)
    plan = plan_scene(corridor, options)
    told = " ".join(report_capture(corridor, plan.chunks).warnings)
    assert f"needs {len(plan.chunks.centres)} chunks: {len(plan.chunks.centres) / 4:.0f} times the time" in told
    with pytest.raises(InputError, match=r"at most 20 are made.*divide the capture"):
        plan_scene(corridor, replace(options, max_chunks=20))
    with pytest.raises(InputError, match=r"would need \d+ x \d+ chunks"):
        plan_scene(replace(capture, points=capture.points * [1000, 1000, 1]), options)
    hall = aligned(read_capture(tmp_path), Alignment(metres_per_unit=2.0 * 6 / ROOM[2]))
    plan = plan_scene(hall, options)
    assert plan.chunks.size == pytest.approx(6 * 1.11, rel=0.02)
    assert "Chunks are 6.7 m high" in " ".join(report_capture(hall, plan.chunks).warnings)


def test_bad_poses_and_lenses_are_told(tmp_path: Path) -> None:
    folder = write_capture(tmp_path, count=3)
    images, cameras = folder / "sparse/0/images.txt", folder / "sparse/0/cameras.txt"
    text = images.read_text()
    lines = text.splitlines()
    # The pose of the first picture for the second, too.
    second = lines[2].split(maxsplit=9)
    images.write_text(
        "\n".join([lines[0], "", " ".join([second[0], *lines[0].split()[1:8], *second[8:]]), "", *lines[4:]])
    )
    capture = aligned(read_capture(folder))
    told = report_capture(capture, plan_scene(capture).chunks).warnings
    assert any("share one camera position" in line for line in told)
    images.write_text(text.replace(lines[0].split()[5], "nan"))
    with pytest.raises(InputError, match="no valid pose"):
        read_capture(folder)
    images.write_text(text)
    cameras.write_text(f"1 OPENCV_FISHEYE {WIDTH} {TALL} {FOCAL} {FOCAL} 48 36 0.1 0 0 0\n")
    with pytest.raises(InputError, match="OPENCV_FISHEYE, which is not supported; undistort"):
        read_capture(folder)
    for bend in (-0.4, 1e4, 1e300):
        cameras.write_text(f"1 RADIAL {WIDTH} {TALL} {FOCAL} 48 36 {bend} 0\n")
        with pytest.raises(InputError, match="folds a picture"):
            read_capture(folder)


def test_report_warns(tmp_path: Path) -> None:
    capture = aligned(read_capture(write_capture(tmp_path, count=1)), Alignment(metres_per_unit=8.0))
    extent = point_extent(capture.points)
    warnings = " ".join(report_capture(capture, tile_chunks(extent, extent.height)).warnings)
    assert "only one picture" in warnings
    assert "Check the scale" in warnings
