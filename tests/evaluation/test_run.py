"""Whole runs over folders: pairing, damaged files, resuming, layouts of other data sets, the report."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.errors import EmptyStructureError, InputError
from scenewright.evaluation.folders import find_pairs
from scenewright.evaluation.report import report_html, save_report
from scenewright.evaluation.run import evaluate_folders, evaluate_system
from scenewright.evaluation.sources import find_sources
from scenewright.evaluation.systems import open_for_evaluation
from scenewright.jobs import to_json
from scenewright.progress import SILENT, Progress
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.systems.system import Views
from scenewright.types import Mesh, Scene, SceneObject
from tests.evaluation.small_scenes import QUICK, room, save_room, save_source_folder
from tests.support.progress import Recorder

# Two triangles without area.
FLAT = SceneObject("obj_01", (Mesh(torch.zeros(4, 3), torch.tensor([[0, 1, 2], [1, 2, 3]])),))
FAST = replace(QUICK, points_per_object=500, scene_candidates=(("as_truth", "none"),))


class Copier:
    """A system that answers with a scene it was given, and counts its calls."""

    name = "copier"

    def __init__(self, answer: Scene | Exception) -> None:
        self.answer, self.calls = answer, 0

    def generate(
        self, views: Views, *, seed: int = 0, options: GenerateOptions = DEFAULT, progress: Progress = SILENT
    ) -> Scene:
        self.calls += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def weights_sha256(self) -> dict[str, str]:
        return {}


def two_folders(root: Path) -> tuple[Path, Path]:
    predictions, truths = root / "predictions", root / "truths"
    for name in ("a", "b"):
        save_room(room(2), truths / f"{name}.glb")
    save_room(room(2), predictions / "a" / "scene.glb")  # a folder per scene is fine too
    return predictions, truths


def test_files_and_folders_are_paired_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    predictions, truths = two_folders(tmp_path)
    pairs = find_pairs(predictions, truths)
    assert [(pair.name, pair.prediction is not None) for pair in pairs] == [("a", True), ("b", False)]
    save_room(room(1), predictions / "unknown.glb")
    assert "have no truth" not in caplog.text
    find_pairs(predictions, truths)
    assert "1 scenes of" in caplog.text
    assert "unknown" in caplog.text
    with pytest.raises(InputError, match="not a folder"):
        find_pairs(predictions, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="No scene in"):
        find_pairs(predictions, tmp_path / "empty")
    with pytest.raises(InputError, match="No prediction"):
        find_pairs(tmp_path / "empty", truths)


def test_damaged_and_missing_predictions_are_named_and_the_run_goes_on(tmp_path: Path) -> None:
    predictions, truths = two_folders(tmp_path)
    save_room(room(2), truths / "c.glb")
    (predictions / "c.glb").write_bytes(b"no glb")
    found = evaluate_folders(predictions, truths, FAST, work=tmp_path / "work", pictures=False)
    by_name = {record["name"]: record for record in found.records}
    assert [by_name[n]["status"] for n in "abc"] == ["scored", "failed", "failed"]
    assert "no prediction for 'b'" in by_name["b"]["error"]
    assert "c.glb" in by_name["c"]["error"]
    assert len(by_name["c"]["objects"]) == 2  # scored as missing, not dropped
    assert found.to_dict()["num_failed"] == 2
    assert found.mean["f_s"] == pytest.approx(100 / 3, abs=1)


def test_results_have_the_promised_form(tmp_path: Path) -> None:
    predictions, truths = two_folders(tmp_path)
    result = json.loads(to_json(evaluate_folders(predictions, truths, FAST, work=tmp_path / "w").to_dict()))
    assert {"mean", "ci95", "scenes", "machine"} <= result.keys()
    for part in ("mean", "ci95"):
        assert {"cd_s", "cd_o", "f_s", "f_o", "iou_b", "col_o", "col_s"} <= result[part].keys()
    assert 0 <= result["mean"]["f_s"] <= 100
    assert len(result["scenes"]) == 2


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    predictions, truths = two_folders(tmp_path)
    work = tmp_path / "work"
    first = evaluate_folders(predictions, truths, FAST, work=work, pictures=False)
    kept = (work / "a.json").stat().st_mtime_ns
    second = evaluate_folders(predictions, truths, FAST, work=work, pictures=False)
    assert (work / "a.json").stat().st_mtime_ns == kept
    assert first.mean == second.mean or all(np.isnan(v) or v == second.mean[k] for k, v in first.mean.items())
    path = save_room(room(1), predictions / "a" / "scene.glb")
    os.utime(path, ns=(kept, kept))
    assert len(evaluate_folders(predictions, truths, FAST, work=work).records[0]["detections"]) == 1


def test_pictures_are_drawn_when_they_are_asked_for_later(tmp_path: Path) -> None:
    predictions, truths = two_folders(tmp_path)
    work = tmp_path / "work"
    evaluate_folders(predictions, truths, FAST, work=work, pictures=False)
    found = evaluate_folders(predictions, truths, FAST, work=work)
    assert {"prediction", "truth"} <= found.records[0]["pictures"].keys()


def test_two_processes_find_the_same_as_one(tmp_path: Path) -> None:
    predictions, truths = two_folders(tmp_path)
    recorder = Recorder()
    one, two = (
        evaluate_folders(
            predictions,
            truths,
            FAST,
            work=tmp_path / str(workers),
            pictures=False,
            workers=workers,
            progress=recorder,
        )
        for workers in (1, 2)
    )
    measured = {"seconds": None, "peak_memory_mb": None}
    assert [record | measured for record in one.records] == [record | measured for record in two.records]
    assert one.mean.keys() == two.mean.keys()
    assert recorder.events == [("scoring", done, 2) for done in (0, 1, 2)] * 2


def test_a_true_scene_in_a_folder_of_its_own_counts_once(tmp_path: Path) -> None:
    save_room(room(1), tmp_path / "truths" / "a" / "scene.glb")
    save_room(room(1), tmp_path / "truths" / "several" / "x.glb")
    save_room(room(1), tmp_path / "truths" / "several" / "y.glb")
    save_room(room(1), tmp_path / "truths" / "one" / "x.glb")
    for name in ("a.glb", "several/x.glb", "several/y.glb", "one/x.glb", "one/z.glb"):
        save_room(room(1), tmp_path / "predictions" / name)
    pairs = find_pairs(tmp_path / "predictions", tmp_path / "truths")
    assert [pair.name for pair in pairs] == ["a", "one", "several/x", "several/y"]
    found = [pair.prediction.relative_to(tmp_path / "predictions").as_posix() for pair in pairs if pair.prediction]
    assert found == ["a.glb", "one/x.glb", "several/x.glb", "several/y.glb"]


def test_truths_that_cannot_be_used_are_named_and_the_run_goes_on(tmp_path: Path) -> None:
    truths, predictions = tmp_path / "truths", tmp_path / "predictions"
    for name in ("damaged", "flat", "good"):
        save_room(room(2), predictions / f"{name}.glb")
        save_room(room(2), truths / f"{name}.glb")
    (truths / "damaged.glb").write_bytes((truths / "damaged.glb").read_bytes()[:200])
    save_room(Scene((FLAT,)), truths / "flat.glb")
    found = evaluate_folders(predictions, truths, FAST, work=tmp_path / "work")
    assert [record["status"] for record in found.records] == ["failed", "failed", "scored"]
    assert "damaged.glb" in found.records[0]["error"]
    assert "no surface" in found.records[1]["error"]
    # There was nothing to score against, so the means are those of the scene that is left, and so is the report.
    assert found.mean["f_s"] > 95
    assert found.mean["box_ap_25"] == 1
    assert found.to_dict()["num_failed"] == 2
    assert json.loads(to_json(found.to_dict()))["scenes"][0]["scene"]["cd_s"] is None
    assert report_html(found).count("failed</span>") == 2
    found.require_a_score()


def test_a_run_without_any_score_says_so(tmp_path: Path) -> None:
    truths, predictions = tmp_path / "truths", tmp_path / "predictions"
    for name in ("a", "b"):
        save_room(room(1), predictions / f"{name}.glb")
        truths.mkdir(exist_ok=True)
        (truths / f"{name}.glb").write_bytes(b"no glb")
    found = evaluate_folders(predictions, truths, FAST, work=tmp_path / "work")
    assert all(np.isnan(value) for value in found.mean.values())
    with pytest.raises(InputError, match=r"Not one of 2 scenes .* 'a': .*a\.glb"):
        found.require_a_score()


def test_a_prediction_whose_meshes_are_all_empty_is_named_and_scored_as_failed(tmp_path: Path) -> None:
    predictions, truths = two_folders(tmp_path)
    save_room(Scene((FLAT, replace(FLAT, name="obj_02"))), predictions / "b.glb")
    found = evaluate_folders(predictions, truths, FAST, work=tmp_path / "work")
    record = found.records[1]
    assert (record["status"], len(record["objects"]), record["scene"]["f_s"]) == ("failed", 2, 0)
    assert "no surface" in record["error"]
    assert any("'obj_01' is empty" in warning for warning in record["warnings"])
    assert found.mean["f_s"] == pytest.approx(50, abs=1)


def test_damaged_test_scenes_are_named_and_the_others_are_generated(tmp_path: Path) -> None:
    for name in ("bad", "good"):
        save_source_folder(tmp_path / "scenes" / name, room(2))
    (tmp_path / "scenes" / "bad" / "gt.glb").write_bytes(b"no glb")
    system = Copier(room(2))
    found = evaluate_system(system, tmp_path / "scenes", FAST, work=tmp_path / "work")
    assert [record["status"] for record in found.records] == ["failed", "scored"]
    assert "gt.glb" in found.records[0]["error"]
    assert found.mean["f_s"] > 95
    assert system.calls == 1
    save_source_folder(tmp_path / "scenes" / "bad", room(2))
    mended = evaluate_system(system, tmp_path / "scenes", FAST, work=tmp_path / "work")
    assert [record["status"] for record in mended.records] == ["scored", "scored"]


@pytest.mark.parametrize("content", [b"{", b'{"kind": "single_view"}'])
def test_a_damaged_description_of_a_test_scene_is_named_when_it_is_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "scene.json").write_bytes(content)
    (source,) = find_sources(tmp_path)
    with pytest.raises(InputError, match=r"scene\.json"):
        source.read()


def test_systems_generate_once_for_all_protocols_and_failures_end_one_scene_only(tmp_path: Path) -> None:
    save_source_folder(tmp_path / "scenes" / "one", room(2))
    system = Copier(room(2))
    again = replace(FAST, name="again", seed=5)
    for protocol in (FAST, again, FAST):
        work = tmp_path / "work" / protocol.name
        found = evaluate_system(
            system, tmp_path / "scenes", protocol, work=work, generated=tmp_path / "made", pictures=False
        )
        assert found.mean["f_o"] > 60
    assert system.calls == 1
    broken = evaluate_system(
        Copier(EmptyStructureError("There is nothing.")), tmp_path / "scenes", FAST, work=tmp_path / "x", pictures=False
    )
    assert (broken.records[0]["status"], broken.records[0]["error"]) == ("failed", "There is nothing.")
    retried = evaluate_system(system, tmp_path / "scenes", FAST, work=tmp_path / "x", pictures=False)
    assert retried.records[0]["status"] == "scored"


def test_scenegen_folders_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "0005153"
    save_room(room(2), folder / "sample_gt.glb")
    Image.new("RGB", (30, 20)).save(folder / "scene.jpg")
    for index in range(2):
        mask = np.zeros((20, 30, 3), np.uint8)
        mask[5:15, 3 + 12 * index : 12 + 12 * index] = 255
        Image.fromarray(mask).save(folder / f"{index}_mask.png")
        Image.new("RGBA", (518, 518)).save(folder / f"{index}.png")
    (source,) = find_sources(tmp_path)
    scene = source.read()
    assert (scene.name, len(scene.masks), len(scene.shapes.shapes)) == ("0005153", 2, 2)
    assert scene.masks[0][10, 5]
    assert not scene.masks[0][10, 17]


def test_midi_rooms_are_read(tmp_path: Path) -> None:
    pictures = tmp_path / "3D-FRONT-TEST-RENDER" / "house" / "Bedroom-1"
    pictures.mkdir(parents=True)
    labels = np.zeros((20, 30), np.uint8)
    labels[5:15, 3:12], labels[5:15, 15:24] = 1, 2
    for number in ("0000", "0001"):
        Image.new("RGB", (30, 20)).save(pictures / f"render_{number}.webp")
        Image.fromarray(labels).save(pictures / f"semantic_{number}.png")
    for item in room(2).objects:
        save_room(Scene((item,)), tmp_path / "3D-FRONT-TEST-SCENE" / "house" / "Bedroom-1" / f"{item.name}_x.glb")
    sources = find_sources(tmp_path)
    assert [s.name for s in sources] == ["house/Bedroom-1/render_0000", "house/Bedroom-1/render_0001"]
    scene = sources[0].read()
    assert [shape.name for shape in scene.shapes.shapes] == ["obj_01_x", "obj_02_x"]
    assert len(scene.masks) == 2


def test_folders_without_scenes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match=r"rgb\.jpg"):
        find_sources(tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        find_sources(tmp_path / "b")


def test_systems_are_named_and_say_what_they_lack(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cuboid"):
        open_for_evaluation("magic")
    with pytest.raises(InputError, match="--weights"):
        open_for_evaluation("retrieval", scenes=tmp_path)


def test_the_report_holds_everything_itself_and_begins_with_the_worst(tmp_path: Path) -> None:
    for name in ("good", "lost"):
        save_source_folder(tmp_path / "scenes" / name, room(2))
    system = Copier(room(2))
    evaluate_system(system, tmp_path / "scenes", FAST, work=tmp_path / "work")
    system.answer = Scene(room(2).objects[:1])
    (tmp_path / "work" / "generated" / "lost.json").unlink()
    (tmp_path / "work" / "lost.json").unlink()
    found = evaluate_system(system, tmp_path / "scenes", FAST, work=tmp_path / "work")
    page = report_html(found)
    assert not re.search(r"(src|href)=(?!['\"]data:)", page)
    assert page.count("data:image/jpeg;base64,") == 6  # input, prediction and truth, twice
    assert page.index("<h3>lost") < page.index("<h3>good")
    assert str(found.machine["processor"]) in page
    assert "(missing)" in page
    assert "generate, seconds" in page
    assert save_report(found, tmp_path / "report.html").read_text() == page
