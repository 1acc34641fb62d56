"""`doctor --for`: what a command would need, and whether generating would refuse its ceiling."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from scenewright.cli.app import app
from scenewright.errors import InputError, OutOfMemoryBudgetError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    labels = np.zeros((48, 64), np.uint8)
    labels[14:40, 6:28], labels[20:36, 36:58] = 1, 2
    Image.new("RGB", (64, 48), "grey").save(tmp_path / "room.png")
    Image.fromarray(labels).save(tmp_path / "masks.png")
    Image.new("RGB", (64, 32), "grey").save(tmp_path / "panorama.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def doctor(line: str, *options: str) -> str:
    result = CliRunner().invoke(app, ["doctor", "--for", line, *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(
    ("words", "label", "objects"),
    [
        ("room.png -m masks.png --weights mini", "scenegen with the mini weights", 2),
        ("room.png -m masks.png --system iscene --weights mini", "iscene with the mini weights", 2),
        ("panorama.png --weights mini", "inspace with the mini weights", 1),
        ("panorama.png --weights published", "inspace", 1),
        ("room.png -m masks.png --system cuboid", "cuboid", 2),
    ],
)
def test_memory_and_downloads_of_a_command(folder: Path, words: str, label: str, objects: int) -> None:
    facts = json.loads(doctor(f"generate {words} --device cpu", "--json", "-"))
    assert (facts["system"], facts["objects"], facts["refusal"]) == (label, objects, "")
    memory = facts["memory_bytes"]
    assert memory["total"] == memory["program"] + memory["networks"] + memory["work"]
    assert bool(facts["downloads"]) == ("published" in words)


def test_distances_of_a_panorama_cost_furniture_and_perhaps_a_download(folder: Path) -> None:
    words = "generate panorama.png --weights mini --device cpu"
    usual, none, auto = (
        json.loads(doctor(f"{words} {depth}", "--json", "-")) for depth in ("", "--depth none", "--depth auto")
    )
    assert sum(usual["seconds"].values()) > sum(none["seconds"].values())
    assert (usual["downloads"], none["downloads"]) == ([], [])
    assert [item["name"] for item in auto["downloads"]] == ["depth-anything-v2-metric-indoor-small"]


def test_a_draft_is_planned_as_one(folder: Path) -> None:
    words = "generate room.png -m masks.png --weights mini --device cpu"
    usual, draft = (json.loads(doctor(line, "--json", "-"))["seconds"] for line in (words, f"{words} --quality draft"))
    assert draft["outline"] == pytest.approx(0.8 * usual["outline"], abs=0.1)
    assert sum(draft.values()) < sum(usual.values())


def test_the_refusal_is_that_of_generate_and_comes_before_networks_are_loaded(folder: Path) -> None:
    words = ["room.png", "-m", "masks.png", "--weights", "mini", "--device", "cpu", "--max-memory", "500MB"]
    told = doctor(f"scenewright generate {' '.join(words)}")
    with pytest.raises(OutOfMemoryBudgetError) as caught:
        CliRunner().invoke(app, ["generate", *words], catch_exceptions=False)
    assert str(caught.value) in told
    assert "download    nothing" in told
    assert not list(folder.glob("*.glb"))
    assert "is enough to begin" in doctor(f"generate {' '.join(words[:-1])} 9GB")


def test_a_preset_has_needs_of_its_own(folder: Path) -> None:
    def needs(words: str) -> dict:
        return json.loads(doctor(f"generate panorama.png --depth depth.npy --device cpu {words}", "--json", "-"))

    plain, refined = needs("--weights mini"), needs("--weights mini --preset refined")
    assert "texture" in refined["seconds"]
    assert sum(refined["seconds"].values()) > sum(plain["seconds"].values())
    assert refined["memory_bytes"]["work"] > plain["memory_bytes"]["work"]
    assert len(needs("--weights published --preset refined")["downloads"]) == 2 + len(
        needs("--weights published")["downloads"]
    )


def test_only_generate_is_planned(folder: Path) -> None:
    for line in ("convert a.glb b.obj", "generate 'room.png", ""):
        with pytest.raises(InputError, match="Expected a command such as"):
            doctor(line)
