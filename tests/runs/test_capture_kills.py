"""Runs of a capture that are killed at any moment end, resumed, in the same bytes."""

import multiprocessing
import random
import signal
import sys
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest

from scenewright.runs.captures import stage_folder
from tests.runs import killed_run
from tests.systems.genrecon.tiny_capture import write_capture

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
# Round every kind of file: a stage's data, the note that it is done, the scene, its facts.
MOMENTS: tuple[tuple[int, killed_run.When], ...] = ((1, "after"), (2, "after"), (4, "before"), (5, "after"))


def start(context: ForkServerContext, folder: Path, out: Path, count: int, when: killed_run.When) -> ForkServerProcess:
    process = context.Process(target=killed_run.run, args=(folder, out, count, when))
    process.start()
    return process


def test_killed_runs_end_in_the_same_bytes(tmp_path: Path) -> None:
    folder = write_capture(tmp_path / "capture", count=4)
    whole, again = tmp_path / "whole.glb", tmp_path / "again.glb"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([killed_run.__name__])
    reference = start(context, folder, whole, 0, "never")
    for count, when in MOMENTS:
        process = start(context, folder, again, count, when)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert not again.exists()
    assert (stage_folder(again) / "views.safetensors").is_file()
    moments = random.Random(0)
    for _ in range(2):
        process = start(context, folder, again, 0, "never")
        process.join(moments.uniform(0.05, 0.6))
        process.kill()
        process.join()
    process = start(context, folder, again, 0, "never")
    process.join()
    reference.join()
    assert process.exitcode == reference.exitcode == 0
    assert again.read_bytes() == whole.read_bytes()
    assert not stage_folder(again).exists()
