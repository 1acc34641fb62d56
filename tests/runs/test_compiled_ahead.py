"""The kernels of a run's last stages are compiled by a second process, once per machine."""

import os
import subprocess
from pathlib import Path

import pytest

from scenewright.compiled import kept_in
from scenewright.rendering import shade_numba
from scenewright.runs import compiled_ahead


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that would have been started."""

    class Process:
        def __init__(self, command: list[str], **streams: int) -> None:
            commands.append(command)

        def kill(self) -> None: ...

    commands: list[list[str]] = []
    monkeypatch.setattr(subprocess, "Popen", Process)
    monkeypatch.setattr(compiled_ahead, "available_cores", lambda: 2)
    return commands


def kept_index(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the compiled form of a kernel would be kept, beside its source; there is no other one."""

    class Kernel:
        class stats:
            cache_path = str(folder / "elsewhere")

    source = folder / "shade_numba.py"
    source.touch()
    os.utime(source, (1000, 1000))
    monkeypatch.setattr(shade_numba, "shade_rows", Kernel)
    monkeypatch.setattr(shade_numba, "__file__", str(source))
    (folder / "__pycache__").mkdir(exist_ok=True)
    return folder / "__pycache__/shade_numba.shade_rows-105.py311.nbi"


def test_a_first_run_starts_it(started: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept_index(tmp_path, monkeypatch)
    compiled_ahead.compile_ahead()
    assert len(started) == 1
    code = started[0][-1]
    compile(code, "-c", "exec")
    assert "compile_last_stages()" in code


def test_later_runs_and_single_processors_do_not(
    started: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_index(tmp_path, monkeypatch).touch()
    compiled_ahead.compile_ahead()
    assert not started
    kept_index(tmp_path, monkeypatch).unlink()
    monkeypatch.setattr(compiled_ahead, "available_cores", lambda: 1)
    compiled_ahead.compile_ahead()
    assert not started


def test_an_update_starts_it_again(started: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = kept_index(tmp_path, monkeypatch)
    index.touch()
    source = Path(shade_numba.__file__).stat().st_mtime
    os.utime(index, (source - 1, source - 1))
    compiled_ahead.compile_ahead()
    assert len(started) == 1


def test_it_compiles_what_draws_a_scene() -> None:
    compiled_ahead.compile_last_stages()
    assert list(kept_in(shade_numba.shade_rows).glob("shade_numba.shade_rows-*.nbi"))
