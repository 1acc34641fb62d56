"""Measurements of several ways: means, standard errors, and differences over the same examples."""

import json
from pathlib import Path

import pytest
from scripts.mini_training.measured import tell


def test_ways_are_compared_example_by_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ways = {"a": [{"f": 1.0}, {"f": 5.0}], "b": [{"f": 2.0}, {"f": 6.0}]}
    tell(ways, "rooms", tmp_path / "out.json")
    assert capsys.readouterr().out.splitlines() == [
        "a, 2 rooms: f 3 ± 2",
        "b, 2 rooms: f 4 ± 2",
        "b - a: f 1 ± 0",
    ]
    kept = json.loads((tmp_path / "out.json").read_text())
    assert (kept["mean"]["b"]["f"], kept["standard_error"]["b"]["f"]) == (4, 2)
    assert kept["rooms"] == ways
