"""Cameras of plain photographs are found by COLMAP; what cannot be placed is told."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.errors import InputError, MissingExtraError
from scenewright.systems.genrecon.captures import Alignment, aligned, is_capture, read_capture
from scenewright.systems.genrecon.registration import capture_from_photographs
from tests.systems.genrecon.box_walk import walk_through_box


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[np.ndarray]]:
    """Photographs, the capture made of them, and the poses they were taken from."""
    folder = tmp_path_factory.mktemp("my photographs")
    pictures, poses = walk_through_box(5)
    for index, picture in enumerate(pictures):
        picture.save(folder / f"küche {index}.png")
    return folder, capture_from_photographs(folder, folder.with_name("capture"), seed=3), poses


def test_poses_of_photographs_are_found(made: tuple[Path, Path, list[np.ndarray]]) -> None:
    folder, place, poses = made
    assert is_capture(place)
    capture = read_capture(place)
    assert [picture.name for picture in capture.pictures] == [f"küche {index}.jpg" for index in range(5)]
    assert not capture.unplaced
    # Distances between cameras are known up to one scale.
    found = np.array([picture.centre for picture in capture.pictures])
    given = np.array([-pose[:3, :3].T @ pose[:3, 3] for pose in poses])
    ratio = np.linalg.norm(np.diff(found, axis=0), axis=1) / np.linalg.norm(np.diff(given, axis=0), axis=1)
    assert ratio.std() / ratio.mean() < 0.05
    up = aligned(capture, Alignment(metres_per_unit=1 / ratio.mean())).pictures[0].camera.cam_from_world[:3, 2]
    torch.testing.assert_close(up, torch.from_numpy(poses[0][:3, 2]), atol=0.1, rtol=0)
    # What is there is not made again; pictures that came since have no camera until it is.
    stamp = (place / "sparse/0/images.bin").stat().st_mtime_ns
    capture_from_photographs(folder, place, seed=3)
    assert (place / "sparse/0/images.bin").stat().st_mtime_ns == stamp
    Image.new("RGB", (40, 30)).save(place / "images" / "new.jpg")
    assert read_capture(place).unplaced == ("new.jpg",)


def test_the_same_photographs_give_the_same_model(made: tuple[Path, Path, list[np.ndarray]], tmp_path: Path) -> None:
    folder, place, _ = made
    again = capture_from_photographs(folder, tmp_path / "again", seed=3)
    for name in ("cameras", "images", "points3D"):
        assert (again / f"sparse/0/{name}.bin").read_bytes() == (place / f"sparse/0/{name}.bin").read_bytes()


def test_photographs_that_do_not_fit_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    with pytest.raises(InputError, match="holds no photograph"):
        capture_from_photographs(folder, tmp_path / "capture")
    (folder / "notes.cr2").write_bytes(b"")
    with pytest.raises(InputError, match=r"end in \.cr2; save them as JPEG"):
        capture_from_photographs(folder, tmp_path / "capture")
    rng = np.random.default_rng(0)
    for index in range(3):
        Image.fromarray(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    with pytest.raises(InputError, match="could be fitted together"):
        capture_from_photographs(folder, tmp_path / "capture")
    (folder / "0.png").unlink()
    with pytest.raises(InputError, match="gives 2 pictures"):
        capture_from_photographs(folder, tmp_path / "capture")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    with pytest.raises(InputError, match="holds other files"):
        capture_from_photographs(folder, tmp_path / "mine")
    (tmp_path / "mine" / "work").mkdir()  # the name of a folder that an interrupted run leaves
    with pytest.raises(InputError, match="holds other files"):
        capture_from_photographs(folder, tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").is_file()
    with pytest.raises(InputError, match="neither a folder"):
        capture_from_photographs(folder / "1.png", tmp_path / "capture")


def test_a_missing_colmap_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'scenewright\[colmap\]'"):
        capture_from_photographs(tmp_path, tmp_path / "capture")
