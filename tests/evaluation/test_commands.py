"""`scenewright evaluate` and `scenewright compare` from outside."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scenewright.cli.app import app
from scenewright.errors import InputError
from scenewright.types import Scene
from tests.evaluation.small_scenes import chair, room, save_room

RUNNER = CliRunner()


def run(*arguments: object) -> tuple[int, str]:
    outcome = RUNNER.invoke(app, [str(a) for a in arguments])
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome.exit_code, outcome.output


def test_a_stranger_scores_two_folders_and_the_gate_tells_worse_from_equal(tmp_path: Path) -> None:
    for index in range(2):
        save_room(room(2), tmp_path / "truth" / f"{index}.glb")
        save_room(room(2), tmp_path / "good" / f"{index}.glb")
        worse = Scene((room(2).objects[0], chair("obj_02", (0.3, 0.1, 0.0), 1.6)))
        save_room(worse, tmp_path / "bad" / f"{index}.glb")

    def evaluate(name: str, *more: object) -> tuple[int, str]:
        common = ("--ground-truth", tmp_path / "truth", "--protocol", "scenewright-1", "--no-pictures")
        return run("evaluate", "--predictions", tmp_path / name, *common, "--json", tmp_path / f"{name}.json", *more)

    code, output = evaluate("good", "--report", tmp_path / "good.html")
    assert code == 0, output
    assert "CD-S" in output
    assert json.loads((tmp_path / "good.json").read_text())["mean"]["f_s"] > 99
    assert (tmp_path / "good.html").read_text().startswith("<!doctype html>")
    code, output = evaluate("good", "--gate", tmp_path / "good.json")
    assert (code, "Gate passed" in output) == (0, True)
    code, output = evaluate("bad", "--gate", tmp_path / "good.json")
    assert code == 1
    assert "layout_iou" in output
    code, output = run("compare", tmp_path / "good.json", tmp_path / "bad.json")
    assert code == 0
    assert "worse" in output


def test_a_run_in_which_every_scene_fails_ends_with_a_sentence_after_writing_its_results(tmp_path: Path) -> None:
    save_room(room(1), tmp_path / "truth" / "a.glb")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.glb").write_bytes(b"no glb")
    common = ("--ground-truth", tmp_path / "truth", "--json", tmp_path / "o.json")
    with pytest.raises(InputError, match=r"Not one of 1 scenes could be scored under scenewright-1.*a\.glb"):
        run("evaluate", "--predictions", tmp_path / "mine", *common)
    assert json.loads((tmp_path / "o.json").read_text())["num_failed"] == 1


def test_unclear_orders_are_refused() -> None:
    with pytest.raises(InputError, match="--predictions and --ground-truth"):
        run("evaluate", "--predictions", "x")
    with pytest.raises(InputError, match="scenewright-1"):
        run("evaluate", "--predictions", "x", "--ground-truth", "y", "--protocol", "none")


def test_the_list_names_protocols_and_systems() -> None:
    _, output = run("evaluate", "--list")
    for word in ("scenegen-2025", "iscene-2026", "midi-2025", "scenewright-1", "cuboid", "retrieval", "scenegen"):
        assert word in output
    listed = " ".join(output.split())
    assert "genrecon: posed pictures to a room; --weights mini or a folder with sparse_structure" in listed
    assert "the most similar training model; --weights PACK.zip" in listed
    assert "one panorama to a room; --weights mini or published or FOLDER" in listed


@pytest.mark.parametrize("tolerance", ["nan", "-1", "inf"])
def test_a_gate_needs_a_tolerance_that_can_fail(tolerance: str):
    result = CliRunner().invoke(app, ["evaluate", "--gate-tolerance", tolerance])
    assert result.exit_code == 2
    assert "--gate-tolerance" in result.output
