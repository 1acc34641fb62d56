"""The prepared GPU run: steps that fail or overrun stop no other, and everything found so far is on the disk."""

import json
import time

from benchmarks.gpu import Step, run_steps, steps


def test_a_step_that_fails_or_overruns_stops_no_other(tmp_path):
    sleep = ("-n", "1", "-r", "1", "-s", "import time; print('begun', flush=True)", "time.sleep(60)")
    found = [
        Step("fails", "json.nowhere", (), (), 30),
        Step("overruns", "timeit", sleep, (), 3),
        Step("works", "platform", (), (), 30),
    ]
    rows = run_steps(found, tmp_path, time.monotonic() + 120, is_toy=False)
    assert [row["state"] for row in rows] == ["failed with code 1", "ended at its share of the time", "done"]
    assert "begun" in (tmp_path / "02_overruns.txt").read_text()
    assert [row["step"] for row in json.loads((tmp_path / "summary.json").read_text())["steps"]] == [
        "fails",
        "overruns",
        "works",
    ]


def test_nothing_begins_without_time(tmp_path):
    (row,) = run_steps([Step("late", "platform", (), (), 30)], tmp_path, time.monotonic(), is_toy=True)
    assert row["state"] == "left out: no time"


def test_goldens_come_first_and_training_takes_what_is_left(tmp_path):
    found = steps("cuda", tmp_path, tmp_path, tmp_path)
    assert [step.name for step in found[:3]] == ["goldens_float32", "goldens_bfloat16", "goldens_float16"]
    assert (found[-1].name, found[-1].most_s) == ("training", float("inf"))
