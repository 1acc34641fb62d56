"""No command replaces a file that it reads, deletes what it did not make, or writes before it may refuse."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from scenewright.cli.app import app
from scenewright.errors import InputError, WeightsError

CUBOID = ("--system", "cuboid", "--device", "cpu")


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a picture of a block, and its mask in a COCO file of the picture's name."""
    Image.fromarray(np.full((48, 64, 3), 128, np.uint8)).save(tmp_path / "room.png")
    block = [6, 14, 28, 14, 28, 40, 6, 40]
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [block], "bbox": [6, 14, 22, 26]}
    picture = {"id": 1, "file_name": "room.png", "width": 64, "height": 48}
    coco = {"images": [picture], "annotations": [annotation], "categories": [{"id": 1, "name": "block"}]}
    (tmp_path / "room.json").write_text(json.dumps(coco))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_scene_replaces_neither_masks_nor_picture(room: Path) -> None:
    (room / "x_comparison.png").write_bytes((room / "room.png").read_bytes())
    before = files(room)
    for picture, out in (("room.png", "room.glb"), ("room.png", "../" + room.name + "/room.glb")):
        with pytest.raises(InputError, match=r"room\.json' would replace a file that is read; give the result another"):
            run("generate", picture, "-m", "room.json", "-o", out, *CUBOID)
    with pytest.raises(InputError, match=r"'x_comparison\.png' would replace a file that is read"):
        run("generate", "x_comparison.png", "-m", "room.json", "-o", "x.glb", *CUBOID)
    assert files(room) == before


def test_a_second_run_replaces_the_first(room: Path) -> None:
    for _ in range(2):
        run("generate", "room.png", "-m", "room.json", "-o", "scene.glb", *CUBOID)
    # Into its own place, too: the manifest is written anew.
    assert "identical" in run("replay", "scene.json", "-o", "scene.glb")
    with pytest.raises(InputError, match=r"room\.json' would replace"):
        run("replay", "scene.json", "-o", "room.glb")
    with pytest.raises(InputError, match=r"room\.json' would replace"):
        run("reroll", "scene.json", "block", "-o", "room.glb", "--device", "cpu")
    run("render", "scene.glb", "--size", "32")
    assert (room / "scene_render.png").is_file()


def test_boxes_are_kept_with_their_scene_alone(room: Path) -> None:
    with pytest.raises(WeightsError):
        run(
            "generate", "room.png", "--boxes", "6,14,28,40", "-o", "a.glb", "--system", "iscene", "--weights", "nothere"
        )
    with pytest.raises(InputError, match="covers nothing"):
        run("generate", "room.png", "--boxes", "70,2,90,40", "-o", "a.glb", *CUBOID)
    assert set(files(room)) == {"room.png", "room.json"}


@pytest.mark.parametrize("out", ["", ".", "/", ".."])
@pytest.mark.parametrize(
    "words",
    [
        ("generate", "room.png", "-m", "room.json"),
        ("edit", "room.glb", "--delete", "x"),
        ("replay", "room.json"),
    ],
)
def test_a_scene_without_a_name_is_one_sentence(words: tuple[str, ...], out: str, room: Path) -> None:
    with pytest.raises(InputError, match=r"Expected --out to end in \.glb"):
        run(*words, "-o", out)


def test_scenes_of_a_folder_do_not_join_its_photographs_by_a_roundabout_way(room: Path) -> None:
    (room / "in").mkdir()
    (room / "in" / "a.png").write_bytes((room / "room.png").read_bytes())
    with pytest.raises(InputError, match="another folder than those of the photographs and masks"):
        run("generate", "in", "-o", "in/../in", *CUBOID)


def test_faces_are_not_written_where_a_plan_is_refused(room: Path) -> None:
    Image.fromarray(np.full((32, 64, 3), 128, np.uint8)).save(room / "pano.png")
    np.save(room / "depth.npy", np.full((32, 64), 2.0, np.float32))
    words = ("panorama", "pano.png", "--depth", "depth.npy", "--faces", "faces", "--size", "16")
    for option, path in (("--plan", "plan.txt"), ("--points", "points.glb"), ("--distances", "pano.txt")):
        with pytest.raises(InputError, match=f"Expected {option} to end in"):
            run(*words, option, path)
    with pytest.raises(InputError, match=r"depth\.npy' would replace a file that is read"):
        run(*words, "--distances", "depth.npy")
    assert not (room / "faces").exists()
