"""`generate` with a panorama, end to end with tiny networks, and `panorama`, which shows what the system sees."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from scenewright.cli.app import app
from scenewright.errors import InputError
from scenewright.io.depth_file import save_depth
from scenewright.io.glb import load_glb
from scenewright.runs.manifest import read_manifest
from scenewright.systems.inspace import opening
from scenewright.systems.inspace.system import InSpace
from tests.systems.inspace.test_panorama_geometry import room_depth
from tests.systems.inspace.test_system import quick_settings
from tests.tiny_inspace import write_tiny_base, write_tiny_inspace


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("room")
    depth = room_depth(32).float()
    shade = (255 * depth / depth.max()).byte().numpy()
    Image.fromarray(np.stack([shade, shade[::-1], 255 - shade], -1)).save(folder / "room.png")
    save_depth(depth, folder / "depth.png")
    return folder


def test_what_the_system_sees(room: Path, tmp_path: Path) -> None:
    arguments = ("panorama", room / "room.png", "--depth", room / "depth.png", "--size", 32)
    told = run(*arguments, "--faces", tmp_path / "faces", "--plan", tmp_path / "plan.png")
    assert "camera height m: 1.198" in told
    assert sorted(path.stem for path in (tmp_path / "faces").iterdir()) == sorted(
        ["front", "right", "back", "left", "top", "bottom"]
    )
    assert Image.open(tmp_path / "plan.png").size == (768, 384)
    facts = json.loads(run(*arguments, "--json", "-"))
    assert facts["ceiling_m"] == pytest.approx(2.6, abs=0.03)
    with pytest.raises(InputError, match="add --depth"):
        run("panorama", room / "room.png", "--depth", "none", "--plan", tmp_path / "plan.png")


def test_without_distances_the_small_network_that_ships_estimates_them(room: Path, tmp_path: Path) -> None:
    facts = json.loads(
        run("panorama", room / "room.png", "--size", 32, "--distances", tmp_path / "d.png", "--json", "-")
    )
    assert "small network that ships" in facts["notes"][0]
    assert Image.open(tmp_path / "d.png").size == (1024, 512)
    named = ("panorama", room / "room.png", "--size", 32, "--depth-model", "small", "--json", "-")
    assert json.loads(run(*named)) == facts


def test_a_panorama_is_recognised_generated_and_replayed(
    room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_inspace(tmp_path / "inspace")
    write_tiny_base(tmp_path / "base")
    # Published sampling takes a hundred evaluations; the settings of the quick tests take four.
    monkeypatch.setattr(
        opening, "InSpace", lambda *networks, **kept: InSpace(*networks, quick_settings(), **kept), raising=True
    )
    scene = tmp_path / "room.glb"
    told = run(
        "generate",
        room / "room.png",
        *("--depth", room / "depth.png", "--out", scene, "--stages", tmp_path / "stages"),
        *("--weights", tmp_path / "inspace", "--decoder-weights", tmp_path / "base", "--device", "cpu"),
    )
    assert "heading was estimated" in told
    assert "ceiling" in {item.name for item in load_glb(scene).objects}
    assert read_manifest(tmp_path / "room.json").settings.system == "inspace"
    assert (tmp_path / "stages" / "boxes.json").is_file()
    assert "identical" in run("replay", tmp_path / "room.json")


def test_what_belongs_to_a_panorama_is_refused_elsewhere(room: Path) -> None:
    with pytest.raises(InputError, match="is no panorama"):
        run("generate", room / "room.png", "-m", room / "depth.png", "--depth", room / "depth.png")
    with pytest.raises(InputError, match="without masks"):
        run("generate", room / "room.png", "-m", room / "depth.png", "--panorama")
    with pytest.raises(InputError, match="iscene reads no panorama"):
        run("generate", room / "room.png", "--system", "iscene")


def test_a_picture_that_is_no_panorama_says_so(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (64, 24)).save(room / "strip.png")
    before = sorted(room.rglob("*"))
    with pytest.raises(InputError, match="Expected a 2:1 equirectangular panorama, got 64x24"):
        run("generate", room / "strip.png", "--system", "inspace", "--weights", "mini", "-o", room / "out.glb")
    monkeypatch.setattr("scenewright.io.images.MAX_PIXELS", 1000)
    with pytest.raises(InputError, match="pixels"):  # and not that it is a photograph without masks
        run("generate", room / "room.png", "--weights", "mini", "-o", room / "out.glb")
    assert sorted(room.rglob("*")) == before


def test_what_a_room_has_no_use_for_is_refused(room: Path) -> None:
    for options in (("--settle",), ("--fit-layout",)):
        with pytest.raises(InputError, match=f"inspace has no use for {options[0]}"):
            run("generate", room / "room.png", "--weights", room / "none", *options)
