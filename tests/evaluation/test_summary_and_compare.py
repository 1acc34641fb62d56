"""Means by hand, intervals, paired comparison and the gate."""

import json
import math
from pathlib import Path

import pytest

from scenewright.errors import InputError
from scenewright.evaluation.compare import common_scenes, compare_results, failures_of_gate, left_out, read_result
from scenewright.evaluation.protocols import PROTOCOLS
from scenewright.evaluation.summary import means, summarize

OURS = PROTOCOLS["scenewright-1"]


def record(name: str, cd: float | None, objects: list[float], hits: list[bool] | None = None) -> dict:
    cd = math.nan if cd is None else cd
    return {
        "name": name,
        "scene": {"cd_s": cd, "f_s": 1 - cd, "accuracy": cd, "completeness": cd, "iou_b_scene": 0.5},
        "objects": [{"cd_o": v, "f_o": 1 - v, "iou_o": v, "layout_iou": 1 - v} for v in objects],
        "collisions": hits if hits is not None else [False] * len(objects),
        "detections": [[1.0, [True, False]] for _ in objects],
        "num_truths": len(objects),
    }


def result(values: list[float], shift: float = 0.0) -> dict:
    records = [record(f"{i:03d}", v + shift, [v + shift]) for i, v in enumerate(values)]
    return {"protocol": OURS.name, "scenes": records, "mean": {}}


def test_means_by_hand() -> None:
    records = [record("a", 0.1, [0.2], [True]), record("b", 0.3, [0.4, 0.6], [False, False])]
    found = means(records, OURS)
    assert found["cd_s"] == pytest.approx(0.2)  # over scenes
    assert found["f_s"] == pytest.approx(80)  # per cent
    assert found["cd_o"] == pytest.approx(0.4)  # over objects
    assert found["col_o"] == pytest.approx(1 / 3)
    assert found["col_s"] == pytest.approx(0.5)
    assert found["iou_b"] == 0.5
    assert means(records, PROTOCOLS["scenegen-2025"])["iou_b"] == pytest.approx(0.4)  # over objects there
    assert (found["box_ap_25"], found["box_ap_50"]) == (pytest.approx(1), 0)


def test_intervals_hold_the_mean_and_shrink_to_it_for_equal_scenes() -> None:
    mean, interval = summarize([record(str(i), 0.1 * i, [0.5]) for i in range(10)], OURS)
    assert interval["cd_s"][0] < mean["cd_s"] < interval["cd_s"][1]
    assert interval["cd_o"] == [pytest.approx(0.5), pytest.approx(0.5)]


def test_a_small_but_steady_loss_is_significant_in_pairs() -> None:
    values = [0.05 * i for i in range(12)]  # scenes differ far more than the runs do
    found = {d.metric: d for d in compare_results(result(values), result(values, 0.01))}
    assert found["cd_s"].verdict == "worse"
    assert found["f_s"].verdict == "worse"
    assert found["iou_o"].verdict == "better"
    assert found["cd_s"].difference == pytest.approx(0.01)
    assert found["col_o"].verdict == "no difference"
    assert {d.verdict for d in compare_results(result(values), result(values))} == {"no difference"}


def test_only_common_scenes_are_compared() -> None:
    first, second = result([0.1, 0.2, 0.3]), result([0.1, 0.2])
    assert {d.metric: d for d in compare_results(first, second)}["cd_s"].first == pytest.approx(0.15)
    second["scenes"][0]["name"], second["scenes"][1]["name"] = "x", "y"
    with pytest.raises(InputError, match="no scene in common"):
        compare_results(first, second)
    with pytest.raises(InputError, match="one protocol"):
        compare_results(first, {**second, "protocol": "midi-2025"})


def test_the_gate_passes_equals_and_names_losses() -> None:
    values = [0.1, 0.2, 0.3, 0.4]
    assert failures_of_gate(compare_results(result(values), result(values))) == []
    assert any("cd_s" in line for line in failures_of_gate(compare_results(result(values), result(values, 0.05))))


def test_the_gate_guards_layout_and_collisions_even_where_chance_could_explain_it() -> None:
    values = [0.5] * 6
    first, second = result(values), result(values)
    second["scenes"][0]["objects"][0]["layout_iou"] = 0.4  # one scene of six: 3 % in the mean, not significant
    lines = failures_of_gate(compare_results(first, second))
    assert len(lines) == 1
    assert "layout_iou" in lines[0]
    assert failures_of_gate(compare_results(first, second), tolerance=0.05) == []


def test_scenes_that_were_left_out_fail_the_gate() -> None:
    both, one = result([0.5, 0.5]), result([0.5])
    assert len(common_scenes(both, one)) == 1
    lines = failures_of_gate(compare_results(both, one), missing=["001"])
    assert len(lines) == 1
    assert "001" in lines[0]


def test_scenes_without_a_truth_enter_nothing() -> None:
    nothing = record("lost", None, []) | {"scene": dict.fromkeys(("cd_s", "f_s", "accuracy"))}
    records = [record("a", 0.1, [0.2]), record("b", 0.3, [0.4])]
    assert means([*records, nothing], OURS) == means(records, OURS)
    assert summarize([*records, nothing], OURS) == summarize(records, OURS)
    assert all(math.isnan(value) for value in means([nothing], OURS).values())
    assert all(math.isnan(low) for low, _ in summarize([nothing], OURS)[1].values())
    whole, part = ({"protocol": OURS.name, "scenes": scenes} for scenes in (records, [records[0], nothing]))
    assert common_scenes(whole, part) == ["a"]
    assert left_out(whole, part) == ["b"]
    assert left_out(part, whole) == []


@pytest.mark.parametrize("content", ["", "[]", '{"protocol": "x"}', '{"protocol": "x", "scenes": [], "mean": {}}'])
def test_files_that_are_no_results_are_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"a\.json"):
        read_result(path)
    with pytest.raises(InputError, match="does not exist"):
        read_result(tmp_path / "b.json")
    path.write_text(json.dumps(result([0.1])))
    assert read_result(path)["protocol"] == OURS.name
