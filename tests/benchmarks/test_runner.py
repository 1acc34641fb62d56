"""`python -m benchmarks`: what it measures goes into the page and beside it, and ratios that got worse are named."""

import json
import subprocess
import sys
from importlib import import_module

import pytest
from benchmarks import __main__ as runner
from benchmarks.measure import MissingError, Report, run_one

# Those whose toy sizes take a second or two; the others start processes.
FAST = ("inspace_attention", "latent_batch", "structure_flow", "throughput")

PAGE = """# Benchmark results

## Structure flow (`benchmarks/structure_flow.py --blocks 6`)
Words that somebody wrote.

## Baking (`benchmarks/bake.py`)
Others.
"""


@pytest.mark.parametrize("name", FAST)
def test_a_benchmark_at_toy_size_gives_tables_and_ratios(name):
    lines, ratios, missing = run_one(name, is_quick=True)
    assert not missing
    assert any(line.startswith("| ") for line in lines)
    assert ratios
    assert all(value > 0 for value in ratios.values())


def test_every_benchmark_has_a_place_on_the_page_and_toy_sizes():
    page = (runner.HERE / "RESULTS.md").read_text()
    for name in runner.names():
        source = (runner.HERE / f"{name}.py").read_text()
        assert "\nQUICK = {" in source, name
        # A new one begins a section of its own with the first line of its description.
        assert runner.with_section(page, name, "measured").count("measured\n<!-- end of") == 1, name


def test_measured_parts_are_replaced_and_words_stay():
    once = runner.with_section(PAGE, "structure_flow", "| first |")
    assert once.index("somebody wrote") < once.index("| first |") < once.index("## Baking")
    twice = runner.with_section(once, "structure_flow", "| second |")
    assert "| first |" not in twice
    assert twice.replace("| second |", "| first |") == once
    assert runner.with_section(twice, "bake", "x").startswith(twice.rstrip())


def test_results_are_written_as_each_ends_and_known_ones_are_kept(tmp_path, monkeypatch):
    measured = []

    def fake(function, name, is_quick):
        if name == "bake":
            raise RuntimeError("broken")
        measured.append(name)
        return (["| a |"], {"a / b": 1.5}, "") if name != "studio" else ([], {}, "Chromium")

    monkeypatch.setattr(runner, "in_new_process", fake)
    monkeypatch.setattr(runner, "commit", lambda: "abc")
    known, failed = runner.run(["structure_flow", "bake", "studio", "latent_batch"], tmp_path, is_quick=True)
    assert failed == ["bake"]
    assert json.loads((tmp_path / "results.json").read_text()) == known
    assert set(known) == {"structure_flow", "latent_batch"}
    assert "commit abc; toy sizes" in (tmp_path / "RESULTS.md").read_text()
    runner.run(["structure_flow"], tmp_path, is_quick=True)
    assert measured.count("structure_flow") == 1
    runner.run(["structure_flow"], tmp_path, is_quick=True, is_again=True)
    monkeypatch.setattr(runner, "commit", lambda: "def")
    runner.run(["structure_flow"], tmp_path, is_quick=True)
    assert measured.count("structure_flow") == 3


def test_the_command_runs_each_in_a_process_of_its_own(tmp_path):
    words = ["--only", "latent_batch", "--quick", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "benchmarks", *words]
    subprocess.run(command, cwd=runner.HERE.parent, check=True, capture_output=True)
    assert json.loads((tmp_path / "results.json").read_text())["latent_batch"]["ratios"]
    assert "| one batch s |" in (tmp_path / "RESULTS.md").read_text()


def test_a_ratio_that_got_worse_by_more_than_a_tenth_fails_and_is_named(tmp_path, capsys):
    def results(value, machine="m", quick=False):
        return {"bake": {"machine": machine, "quick": quick, "ratios": {"ours / theirs": value, "other": 1.0}}}

    assert not runner.worse(results(1.09), results(1.0), ["bake"])
    (line,) = runner.worse(results(1.2), results(1.0, "n"), ["bake"])
    assert "ours / theirs was 1 and is 1.2 (then on n)" in line
    assert not runner.worse(results(9.0), results(1.0, quick=True), ["bake"])
    (tmp_path / "before.json").write_text(json.dumps(results(1.0)))
    (tmp_path / "results.json").write_text(json.dumps(results(1.2)))
    assert runner.main(["--against", str(tmp_path / "before.json"), "--out", str(tmp_path)]) == 1
    assert "ours / theirs" in capsys.readouterr().err
    assert runner.main(["--against", str(tmp_path / "results.json"), "--out", str(tmp_path)]) == 0


def test_options_are_the_arguments_of_the_benchmark(monkeypatch):
    given = {}

    def section(report: Report, *, sizes: tuple[int, ...] = (1,), name: str = "", plain: bool = False) -> None:
        given.update(sizes=sizes, name=name, plain=plain)
        if name:
            raise MissingError(name)

    monkeypatch.setattr(import_module("benchmarks.bake"), "section", section)
    assert runner.main(["bake", "--sizes", "2", "3", "--plain"]) == 0
    assert given == {"sizes": (2, 3), "name": "", "plain": True}
    assert runner.main(["bake", "--name", "a pack"]) == 1
