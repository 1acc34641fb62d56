"""Kernels that numba compiles when they are first called."""

import errno
import importlib.util
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numba
import numpy as np
import pytest
from filelock import FileLock

from scenewright.compiled import kept_in, njit


@njit(nogil=True)
def halved(value: float) -> float:
    return value / 2


@njit(nogil=True)
def sum_of_halves(values: np.ndarray) -> float:
    total = 0.0
    for index in range(len(values)):
        total += halved(values[index])
    return total


def test_a_kernel_compiles_with_those_that_it_calls():
    kernel = sum_of_halves
    assert kernel.__name__ == "sum_of_halves"
    assert kernel(np.arange(100.0)) == 2475
    # Its module now holds numba's own form of both.
    assert sum_of_halves.signatures
    assert halved.signatures
    assert sum_of_halves(np.ones(4)) == 2


@pytest.fixture
def doubled(tmp_path: Path) -> ModuleType:
    """A new module with a kernel that numba keeps on disk."""
    source = tmp_path / "doubled.py"
    source.write_text(
        "from scenewright.compiled import njit\n\n\n@njit(cache=True)\ndef kernel(value):\n    return 2 * value\n"
    )
    spec = importlib.util.spec_from_file_location("doubled", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def another_process_compiles(module: ModuleType) -> Iterator[FileLock]:
    """As far as file locks tell: one of another object is that of another process."""
    with FileLock(kept_in(module.kernel) / "doubled.lock") as lock:
        yield lock


def test_what_another_process_compiles_is_waited_for_and_loaded(doubled, monkeypatch):
    with another_process_compiles(doubled) as lock:

        def other_one_ends(seconds: float) -> None:
            numba.njit(cache=True)(doubled.kernel.__wrapped__)(1)
            lock.release()

        monkeypatch.setattr(time, "sleep", other_one_ends)
        assert doubled.kernel(2) == 4
    stats = doubled.kernel.stats
    assert (sum(stats.cache_hits.values()), sum(stats.cache_misses.values())) == (1, 0)


def test_a_process_that_is_stopped_does_not_stop_others(doubled, monkeypatch):
    monkeypatch.setattr("scenewright.compiled._PATIENCE", 0.05)
    with another_process_compiles(doubled):
        assert doubled.kernel(2) == 4
    assert sum(doubled.kernel.stats.cache_misses.values()) == 1
    assert doubled.kernel(2.5) == 5


def test_kernels_compile_where_files_cannot_be_locked(doubled, monkeypatch):
    def refuse(lock: FileLock) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    assert doubled.kernel(2) == 4
