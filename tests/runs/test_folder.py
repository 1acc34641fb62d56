"""`generate FOLDER`: real photographs with masks in several forms, failures named, runs that go on where they were."""

import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from scenewright.cli.app import app
from scenewright.errors import InputError
from scenewright.io.glb import load_glb
from scenewright.runs.folder import pair_photographs
from scenewright.runs.manifest import read_manifest
from tests.tiny_iscene import write_tiny_iscene

pytestmark = pytest.mark.usefixtures("few_views")
PHOTOGRAPHS = Path(__file__).parents[1] / "data" / "photographs"
QUICK = ("--steps", "1", "--faces", "100", "--texture-size", "64", "--device", "cpu")


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PHOTOGRAPHS, tmp_path / "photographs"))


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["generate", *(str(argument) for argument in arguments)], catch_exceptions=False)
    return result.exit_code, result.output


def test_every_photograph_becomes_a_scene_whatever_form_its_masks_have(photographs: Path, tmp_path: Path) -> None:
    (photographs / "rocket.jpg").unlink()  # its masks alone are no photograph
    weights, out = write_tiny_iscene(tmp_path / "weights"), tmp_path / "scenes"
    code, printed = run(photographs, "-o", out, "--system", "iscene", "--weights", weights, *QUICK)
    assert code == 0, printed
    assert "2 photographs: 2 made, 0 there already, 0 failed" in printed
    assert [item.name for item in load_glb(out / "coffee.glb").objects] == ["object_1", "object_2", "object_3"]
    assert [item.name for item in load_glb(out / "chelsea.glb").objects] == ["cat", "eye"]
    assert sorted(path.name for path in out.iterdir()) == [
        *("chelsea.glb", "chelsea.json", "chelsea_comparison.png"),
        *("coffee.glb", "coffee.json", "coffee_comparison.png"),
    ]
    with Image.open(out / "coffee_comparison.png") as sheet:
        assert sheet.width > 4 * 384


def test_a_bad_photograph_is_named_and_the_others_are_made(photographs: Path, tmp_path: Path) -> None:
    (photographs / "coffee.jpg").write_bytes(b"no picture")
    (photographs / "alone.png").write_bytes((photographs / "chelsea.jpg").read_bytes())
    out = tmp_path / "scenes"
    code, printed = run(photographs, "-o", out, "--system", "cuboid")
    assert code == 1
    assert "failed: alone.png: No masks were found: expected alone_masks.png, .json or a folder." in printed
    assert "failed: coffee.jpg: " in printed
    assert "4 photographs: 2 made, 0 there already, 2 failed" in printed
    assert sorted(path.name for path in out.glob("*.glb")) == ["chelsea.glb", "rocket.glb"]
    # Once repaired, only what failed is made.
    shutil.copy(PHOTOGRAPHS / "coffee.jpg", photographs)
    (photographs / "alone.png").unlink()
    before = (out / "rocket.glb").stat().st_mtime_ns
    code, printed = run(photographs, "-o", out, "--system", "cuboid")
    assert (code, "3 photographs: 1 made, 2 there already, 0 failed" in printed) == (0, True)
    assert (out / "rocket.glb").stat().st_mtime_ns == before


def test_what_is_there_is_kept_unless_it_is_to_be_overwritten(photographs: Path, tmp_path: Path) -> None:
    out, cuboid = tmp_path / "scenes", ("--system", "cuboid")
    run(photographs, "-o", out, *cuboid)
    (out / "chelsea.glb").write_bytes((out / "rocket.glb").read_bytes())  # a scene that is not the manifest's
    shutil.copy(photographs / "chelsea.jpg", photographs / "coffee.jpg")
    _, printed = run(photographs, "-o", out, *cuboid, "--settle")
    assert "1 made, 2 there already" in printed
    assert "kept rocket.glb, although it was made with another settle" in printed
    _, printed = run(photographs, "-o", out, *cuboid)
    assert "kept coffee.glb, although its photograph changed since" in printed
    code, printed = run(photographs, "-o", out, *cuboid, "--overwrite", "--settle")
    assert (code, "3 made, 0 there already" in printed) == (0, True)
    assert read_manifest(out / "coffee.json").settings.settle


def test_masks_may_lie_in_a_folder_of_their_own_or_in_one_file(photographs: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    shutil.move(photographs / "coffee_masks.png", masks / "coffee.png")
    shutil.move(photographs / "chelsea_masks", masks / "chelsea")
    shutil.move(photographs / "rocket_masks.json", masks / "rocket_masks.json")
    found = {each.name: each.masks for each in pair_photographs(photographs, str(masks))}
    assert found == {
        "chelsea": str(masks / "chelsea"),
        "coffee": str(masks / "coffee.png"),
        "rocket": str(masks / "rocket_masks.json"),
    }
    coco = str(masks / "rocket_masks.json")
    assert {each.masks for each in pair_photographs(photographs, coco)} == {coco}
    assert {each.masks for each in pair_photographs(photographs)} == {None}
    assert {each.masks for each in pair_photographs(photographs, "auto")} == {"auto"}


def test_what_is_meant_for_one_photograph_is_refused(photographs: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (("-o", "scene.glb"), "Expected --out to be a folder"),
        (("-o", photographs), "another folder than those of the photographs and masks"),
        (("-o", tmp_path / "out", "--splats", "a.ply"), "--splats belongs to one photograph"),
        (("-o", tmp_path / "out", "-m", "a", "-m", "b"), "Expected one --masks for the folder"),
        (("-o", tmp_path / "out", "-m", tmp_path / "none"), "a folder of masks, a COCO .json"),
    ):
        with pytest.raises(InputError, match=message):
            run(photographs, "--system", "cuboid", *arguments)
    (photographs / "coffee.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"'coffee.jpg' and 'coffee.png' would become the same scene"):
        run(photographs, "--system", "cuboid", "-o", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="Expected photographs"):
        run(tmp_path / "empty", "--system", "cuboid", "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="--overwrite is for a folder"):
        run(photographs / "chelsea.jpg", "--system", "cuboid", "--overwrite")
