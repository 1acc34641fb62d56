"""Scores of rooms: known changes cost what geometry says, and the panorama's camera places a scene."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scenewright.errors import InputError
from scenewright.evaluation.compare import compare_results, failures_of_gate
from scenewright.evaluation.report import report_html
from scenewright.evaluation.room_scoring import ROOM_PROTOCOLS, RoomTruth, score_room, true_boxes
from scenewright.evaluation.rooms import room_means
from scenewright.evaluation.run import Evaluation
from scenewright.evaluation.summary import higher_is_better
from scenewright.types import PanoramaCamera, Scene

METRES, CUBE = ROOM_PROTOCOLS["scenewright-room-1"], ROOM_PROTOCOLS["inspace-2026"]


@pytest.fixture(scope="module")
def truth() -> RoomTruth:
    """A room of 4 x 3 x 2.5 m with one cuboid of 1 m, seen from (2, 1.5, 1.5) along +y."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.5, 0.5, (4000, 3))
    points[np.arange(4000), rng.integers(3, size=4000)] = rng.choice([-0.5, 0.5], 4000)
    cam_from_world = torch.tensor([[1.0, 0, 0, -2], [0, 0, -1, 1.5], [0, 1, 0, -1.5], [0, 0, 0, 1]]).double()
    return RoomTruth(
        "room",
        torch.full((64, 128, 3), 128, dtype=torch.uint8),
        torch.ones(64, 128),
        cam_from_world,
        np.array([[0.0, 0], [4, 0], [4, 3], [0, 3]]),
        2.5,
        (points + [1.0, 1.0, 0.5],),
        (6.0,),
        np.array([[1.0, 1.0, 0.5, 1, 1, 1, 0]]),
    )


def test_the_baseline_of_a_room_that_is_a_cuboid_is_perfect(truth: RoomTruth) -> None:
    score = score_room(true_boxes(truth), truth, METRES)
    assert score.metrics["layout_iou"] == pytest.approx(1.0)
    assert score.metrics["asset_f_10cm"] == pytest.approx(100.0, abs=0.5)
    assert score.metrics["room_f_10cm"] == pytest.approx(100.0, abs=0.5)
    assert score.detections == ((1.0, (True, True)),)
    cube = score_room(true_boxes(truth), truth, CUBE).metrics
    assert cube["voxel_iou"] > 0.75  # surfaces that lie on the border of two cells may fall into either
    assert cube["box_recall_75"] == cube["asset_recall"] == 1.0


def test_a_room_half_as_wide_has_half_the_volume_and_a_moved_box_is_missed(truth: RoomTruth) -> None:
    narrow = replace(truth, polygon=truth.polygon * [0.5, 1.0], boxes=truth.boxes + [0.5, 0, 0, 0, 0, 0, 0])
    score = score_room(true_boxes(narrow), truth, METRES)
    assert score.metrics["layout_iou"] == pytest.approx(0.5, abs=0.01)
    assert score.detections[0][1] == (True, False)  # IoU 0.5 / 1.5
    assert score.metrics["asset_f_5cm"] < 70


def test_a_scene_is_placed_by_the_camera_of_its_panorama(truth: RoomTruth) -> None:
    c, s = math.cos(0.7), math.sin(0.7)
    motion = torch.tensor([[c, -s, 0, 3], [s, c, 0, -1], [0, 0, 1, 0.4], [0, 0, 0, 1]]).double()
    scene = true_boxes(truth)
    moved = Scene(
        tuple(
            replace(item, world_from_object=(motion @ item.world_from_object.double()).float())
            for item in scene.objects
        ),
        cameras={"camera": PanoramaCamera((truth.cam_from_world @ torch.linalg.inv(motion)).float(), 128, 64)},
    )
    assert score_room(moved, truth, METRES).metrics["asset_f_5cm"] > 95
    in_place = replace(moved, cameras={})
    assert score_room(in_place, truth, METRES).metrics["asset_f_5cm"] < 20


def test_missing_assets_score_nothing_and_an_empty_scene_is_refused(truth: RoomTruth) -> None:
    bare = replace(true_boxes(truth), objects=true_boxes(truth).objects[:1])
    score = score_room(bare, truth, METRES)
    assert score.metrics["asset_f_10cm"] == 0
    with pytest.raises(InputError, match="no surface"):
        score_room(Scene(()), truth, METRES)
    failed = {"metrics": {}, "detections": None, "num_truths": 1}
    scored = {"metrics": {"layout_iou": 0.8, "psnr": 20.0}, "detections": [[0.9, [True, False]]], "num_truths": 1}
    assert room_means([{"metrics": {}, "detections": [], "num_truths": 1}])["box_ap_25"] == 0
    assert room_means([scored, failed]) == {"layout_iou": 0.4, "psnr": 20.0, "box_ap_25": 0.5, "box_ap_50": 0.0}


def result(shift: float, truth: RoomTruth, work: Path) -> Evaluation:
    """Three rooms whose cuboid stands `shift` metres from where it should."""
    moved = replace(truth, boxes=truth.boxes + [shift, 0, 0, 0, 0, 0, 0])
    score = score_room(true_boxes(moved), truth, METRES)
    records = tuple(
        {
            "name": name,
            "status": "scored",
            "error": None,
            "warnings": [],
            "metrics": score.metrics,
            "detections": [[confidence, list(flags)] for confidence, flags in score.detections or ()],
            "num_truths": score.num_truths,
            "seconds": {"generate": 1.0},
            "peak_memory_mb": {},
        }
        for name in ("000", "001", "002")
    )
    mean = room_means(records)
    return Evaluation("boxes", METRES, records, mean, {name: [0.0, 1.0] for name in mean}, {}, work, "2026-11-30")


def test_the_gate_and_the_report_know_rooms(truth: RoomTruth, tmp_path: Path) -> None:
    good, bad = result(0.0, truth, tmp_path), result(0.6, truth, tmp_path)
    assert failures_of_gate(compare_results(good.to_dict(), good.to_dict())) == []
    failures = failures_of_gate(compare_results(good.to_dict(), bad.to_dict()))
    assert {failure.split()[0] for failure in failures} >= {"asset_f_5cm", "box_ap_50"}
    assert failures_of_gate(compare_results(bad.to_dict(), good.to_dict())) == []
    assert not higher_is_better("room_cd")
    page = report_html(bad)
    assert "asset f 5cm" in page
    assert page.count("class='scene'") == 3


def test_protocols_of_rooms_and_pictures_do_not_mix(tmp_path: Path) -> None:
    from scenewright.evaluation.evaluating import evaluate

    with pytest.raises(InputError, match="cannot be mixed"):
        evaluate(scenes=tmp_path, system="true_boxes", protocols=["scenewright-1", "inspace-2026"], work=tmp_path)
    (tmp_path / "000").mkdir()
    (tmp_path / "000" / "scene.json").write_text(json.dumps({"kind": "pano"}))
    (result,) = evaluate(scenes=tmp_path, system="true_boxes", protocols=["inspace-2026"], work=tmp_path / "w")
    assert result.records[0]["status"] == "failed"
