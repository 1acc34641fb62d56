"""`generate`, `replay` and `demo`: files in, files out, one sentence and nothing written when something is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from scenewright.cli.app import app
from scenewright.errors import InputError, WeightsError
from scenewright.io.glb import load_glb
from scenewright.runs.manifest import read_manifest
from tests.tiny_iscene import write_tiny_iscene
from tests.tiny_scenegen import write_tiny_scenegen

pytestmark = pytest.mark.usefixtures("few_views")
QUICK = ("--steps", "1", "--faces", "100", "--texture-size", "64", "--device", "cpu")


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A folder with a picture of two blocks and their masks."""
    pixels = np.full((48, 64, 3), 128, np.uint8)
    labels = np.zeros((48, 64), np.uint8)
    labels[14:40, 6:28], labels[20:36, 36:58] = 1, 2
    pixels[labels == 1], pixels[labels == 2] = (200, 30, 30), (30, 30, 200)
    Image.fromarray(pixels).save(tmp_path / "room.png")
    Image.fromarray(labels).save(tmp_path / "masks.png")
    return tmp_path


def run(*arguments: object) -> str:
    """What the command prints; raises what it raises."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def generate(room: Path, *arguments: object) -> str:
    return run("generate", room / "room.png", "--masks", room / "masks.png", "-o", room / "out.glb", *arguments)


def test_a_scene_its_picture_and_its_manifest_are_written(room: Path) -> None:
    printed = generate(room, "--system", "cuboid", "--settle")
    assert "wrote" in printed
    assert "settled" in printed
    scene = load_glb(room / "out.glb")
    assert [item.name for item in scene.objects] == ["object_1", "object_2"]
    assert scene.camera is not None
    assert scene.provenance["system"] == "cuboid"
    with Image.open(room / "out_comparison.png") as sheet:
        assert sheet.width > 4 * 384
    assert read_manifest(room / "out.json").names == ("object_1", "object_2")
    assert "identical" in run("replay", room / "out.json")


def test_boxes_become_masks_on_a_bare_machine(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(room / "hub"))
    monkeypatch.setattr("scenewright.encoders.masks.finding.cached_file", lambda *_: None)
    boxes = ("--boxes", "5,13,29,41", "--boxes", "35,19,59,37")
    printed = run("generate", room / "room.png", *boxes, "-o", room / "out.glb", "--system", "cuboid")
    assert "The small segmenter that ships makes masks" in printed
    assert len(load_glb(room / "out.glb").objects) == 2
    assert read_manifest(room / "out.json").settings.segmenter == "cut-out"
    assert "identical" in run("replay", room / "out.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--boxes", "1,2,3"), "LEFT,UPPER,RIGHT,LOWER"),
        (("--boxes", "1,2,30,40", "--masks", "masks.png"), "in place of --masks"),
        (("--boxes", "70,2,90,40"), "covers nothing of a picture of 64x48"),
    ],
)
def test_boxes_that_cannot_be_used_are_one_sentence(room: Path, arguments, message, monkeypatch) -> None:
    monkeypatch.chdir(room)
    with pytest.raises(InputError, match=message):
        run("generate", "room.png", *arguments, "-o", "out.glb", "--system", "cuboid")
    assert not (room / "out.glb").exists()


def test_one_object_is_rolled_again_and_the_manifest_replays(room: Path) -> None:
    weights = write_tiny_iscene(room / "weights")
    generate(room, "--system", "iscene", "--weights", weights, "--seed", "3", *QUICK)
    first = load_glb(room / "out.glb")
    second_path = room / "second.glb"
    run("reroll", room / "out.json", "object_2", "-o", second_path, "--device", "cpu")
    second = load_glb(second_path)
    kept, before = second.objects[0], first.objects[0]
    assert _bytes_of(second_path, "object_1") == _bytes_of(room / "out.glb", "object_1")
    assert kept.world_from_object.tolist() == before.world_from_object.tolist()
    assert _bytes_of(second_path, "object_2") != _bytes_of(room / "out.glb", "object_2")
    assert read_manifest(room / "second.json").attempts == {"object_2": 1}
    # The first scene is made again where it is gone.
    (room / "out.glb").unlink()
    assert "identical" in run("replay", room / "second.json")


def test_a_changed_scene_or_picture_is_refused(room: Path) -> None:
    generate(room, "--system", "cuboid")
    Image.new("RGB", (64, 48), (9, 9, 9)).save(room / "room.png")
    with pytest.raises(InputError, match=r"room.png' changed since the first run"):
        run("replay", room / "out.json")


def two_views(room: Path) -> tuple[object, ...]:
    """Arguments for the room and its mirror picture, whose masks have the same values."""
    for name in ("room", "masks"):
        with Image.open(room / f"{name}.png") as picture:
            picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(room / f"{name}_side.png")
    side, side_masks = room / "room_side.png", room / "masks_side.png"
    return ("generate", room / "room.png", side, "--masks", room / "masks.png", "--masks", side_masks)


def test_scenegen_takes_several_views_and_replays_them(room: Path) -> None:
    arguments = two_views(room)
    system = ("--system", "scenegen", "--weights", write_tiny_scenegen(room / "weights"), *QUICK)
    run(*arguments, "-o", room / "out.glb", *system)
    generate(room, *system, "-o", room / "single.glb")
    assert (room / "out.glb").read_bytes() != (room / "single.glb").read_bytes()
    scene = load_glb(room / "out.glb")
    assert [item.name for item in scene.objects] == ["object_1", "object_2"]
    assert scene.provenance["num_views"] == 2
    manifest = read_manifest(room / "out.json")
    assert manifest.settings.further_views == ((str(room / "room_side.png"), str(room / "masks_side.png")),)
    assert "identical" in run("replay", room / "out.json")
    run("reroll", room / "out.json", "object_1", "-o", room / "rolled.glb", "--device", "cpu")
    assert _bytes_of(room / "rolled.glb", "object_2") == _bytes_of(room / "out.glb", "object_2")
    assert "identical" in run("replay", room / "rolled.json")
    Image.new("L", (64, 48), 1).save(room / "masks_side.png")
    with pytest.raises(InputError, match=r"room.png has 2 and room_side.png has 1 \(room_side.png lacks 'object_1'"):
        run(*arguments, *system)


def test_views_that_do_not_fit_are_refused(room: Path) -> None:
    arguments = two_views(room)
    with pytest.raises(InputError, match="iscene makes a scene from one picture, but got 2"):
        run(*arguments, "--system", "iscene")
    with pytest.raises(InputError, match="one --masks for each of the 2 pictures, in their order, got 1"):
        run(*arguments[:-2], "--system", "scenegen")
    with pytest.raises(InputError, match="no names that agree"):
        run(*arguments[:3], "--masks", "auto", "--system", "scenegen")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("room.png", "--masks", "masks.png", "-o", "out.obj"), "Expected --out to end in .glb"),
        (("room.png", "--masks", "masks.png", "-o", "no/out.glb"), "folder of 'no.out.glb' does not exist"),
        (("room.png",), "Expected a photograph and its masks"),
        (("none.png", "--masks", "masks.png"), "'.*none.png' does not exist"),
        (("room.png", "--masks", "none.png"), "none.png' does not exist"),
        (("room.png", "--masks", "empty.png"), "no usable object mask"),
        (("room.png", "--masks", "masks.png", "--max-memory", "lots"), "such as 6GB"),
        (("room.png", "--masks", "masks.png", "--camera", "empty.png"), "give no focal length"),
        (("room.png", "--masks", "masks.png", "--steps", "3"), "cuboid has no use for --steps"),
        (("room.png", "--masks", "masks.png", "--faces", "90"), "cuboid has no use for --faces"),
        (("room.png", "--masks", "masks.png", "--quality", "draft"), "cuboid has no use for --quality"),
        (("room.png", "--masks", "masks.png", "--quality", "fast"), "Expected --quality draft, standard, best"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    room: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(room)
    Image.new("L", (64, 48)).save(room / "empty.png")
    before = sorted(room.rglob("*"))
    with pytest.raises(InputError, match=message) as caught:
        run("generate", *arguments, "--system", "cuboid")
    assert "\n" not in str(caught.value)
    assert sorted(room.rglob("*")) == before


@pytest.mark.parametrize(
    ("manifest", "name", "message"),
    [
        ("none.json", "object_1", "none.json' does not exist"),
        ("bad.json", "object_1", "not a manifest"),
        ("out.json", "object_9", "no object 'object_9'; it has object_1, object_2"),
        ("out.json", "object_1", "no randomness|cannot make single objects anew"),
    ],
)
def test_what_cannot_be_rolled_again_is_refused(room: Path, manifest: str, name: str, message: str) -> None:
    generate(room, "--system", "cuboid")
    (room / "bad.json").write_text(json.dumps({"kind": "something else"}))
    with pytest.raises(InputError, match=message):
        run("reroll", room / manifest, name, "-o", room / "rolled.glb")
    assert not (room / "rolled.glb").exists()


def test_the_mini_weights_refuse_what_they_fix(room: Path) -> None:
    with pytest.raises(InputError, match="scenegen with the mini weights has no use for --decoder"):
        generate(room, "--weights", "mini", "--decoder", "trellis2")
    with pytest.raises(InputError, match="--quality draft chooses the steps; leave out either it or --steps 2"):
        generate(room, "--weights", "mini", "--quality", "draft", "--steps", "2")


def test_without_weights_the_choice_is_named(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scenewright.systems.loading.cached_file", lambda *_: None)
    monkeypatch.setattr("scenewright.systems.loading._has_mini", lambda spec: False)
    with pytest.raises(WeightsError, match=r"--weights published .*--weights FOLDER, or --system cuboid"):
        generate(room, "--system", "scenegen")
    assert not (room / "out.glb").exists()


def test_repairs_are_told(room: Path) -> None:
    labels = Image.open(room / "masks.png").resize((32, 24), Image.Resampling.NEAREST)
    labels.save(room / "masks.png")
    assert "were resized" in generate(room, "--system", "cuboid")
    manifest = read_manifest(room / "out.json")
    assert any("resized" in line for line in manifest.facts["warnings"])


def test_the_demo_writes_a_scene_without_any_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    printed = run("demo", "--system", "cuboid")
    assert "peak memory" in printed
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == [
        "comparison.png",
        "scene.glb",
        "scene.json",
    ]
    assert len(load_glb(tmp_path / "demo" / "scene.glb").objects) == 2


def _bytes_of(path: Path, name: str) -> list[bytes]:
    """Raw content of everything that an object of a GLB refers to: vertex data, indices, textures."""
    content = path.read_bytes()
    length = int.from_bytes(content[12:16], "little")
    document, binary = json.loads(content[20 : 20 + length]), content[28 + length :]

    def view(index: int) -> bytes:
        entry = document["bufferViews"][index]
        return binary[entry["byteOffset"] : entry["byteOffset"] + entry["byteLength"]]

    node = next(node for node in document["nodes"] if node["name"] == name)
    found = [json.dumps({key: node.get(key) for key in ("translation", "rotation", "scale")}).encode()]
    for primitive in document["meshes"][node["mesh"]]["primitives"]:
        for accessor in (*primitive["attributes"].values(), primitive["indices"]):
            found.append(view(document["accessors"][accessor]["bufferView"]))
        texture = document["materials"][primitive["material"]]["pbrMetallicRoughness"]["baseColorTexture"]["index"]
        found.append(view(document["images"][document["textures"][texture]["source"]]["bufferView"]))
    return found
