"""The Python functions are the door that the commands use: a photograph to a scene, and everything one does with it."""

from pathlib import Path

import pytest
from PIL import Image

import scenewright
from scenewright.io.glb import glb_bytes
from scenewright.runs.generate import run
from scenewright.runs.manifest import GenerateSettings
from tests.evaluation.small_scenes import room, save_room

PHOTOGRAPHS = Path(__file__).parent / "data" / "photographs"
PICTURE, MASKS = PHOTOGRAPHS / "coffee.jpg", PHOTOGRAPHS / "coffee_masks.png"


def test_a_photograph_becomes_a_scene_that_can_be_kept_drawn_and_converted(tmp_path: Path) -> None:
    picture = Image.open(PICTURE)
    view = scenewright.View(picture.convert("RGB"), scenewright.find_masks(picture, MASKS))
    scene = scenewright.load("cuboid").generate(view, seed=1)
    path = scene.save(tmp_path / "scene.glb")
    again = scenewright.load_scene(path)
    assert [item.name for item in again.objects] == [item.name for item in scene.objects]
    assert scenewright.render(path, "top", size=32).size == (32, 32)
    mesh = scenewright.load_scene(scenewright.convert(path, tmp_path / "scene.obj"))
    assert sum(len(part.faces) for item in mesh.objects for part in item.parts) == len(scene.to_mesh().faces)


def test_memory_files_and_the_command_give_the_same_bytes() -> None:
    from_files = scenewright.generate(PICTURE, MASKS, system="cuboid", seed=3)
    settings = GenerateSettings(image=str(PICTURE), masks=(str(MASKS),), system="cuboid", weights="cuboid", seed=3)
    assert glb_bytes(from_files) == run(settings).glb


def test_a_folder_of_scenes_is_scored_against_its_truth(tmp_path: Path) -> None:
    for folder in ("predictions", "truth"):
        save_room(room(2), tmp_path / folder / "a.glb")
    (result,) = scenewright.evaluate(
        tmp_path / "predictions", tmp_path / "truth", work=tmp_path / "work", pictures=False, workers=1
    )
    assert (result.protocol.name, round(result.mean["f_s"])) == ("scenewright-1", 100)
    with pytest.raises(scenewright.ScenewrightError, match="Expected either predictions and their ground truth"):
        scenewright.evaluate(tmp_path, work=tmp_path / "work")
