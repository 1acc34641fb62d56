"""Scores scenes in several processes: every scene is one job that writes its own record, so order and number of
processes change the time and nothing else.

New processes are started afresh (not forked: a fork of a process with running threads can hang), which costs seconds
each; with one worker every job runs at once in the caller's process.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from types import TracebackType
from typing import Any

import torch

from scenewright.machine import available_cores

__all__ = ["SceneWorkers", "choose_workers"]

_MAX_WORKERS = 8
_MIN_SCENES_PER_WORKER = 4


def choose_workers(num_scenes: int) -> int:
    """A number of processes that pays for that many scenes: at least four scenes each, one process per core, at
    most eight."""
    return max(1, min(available_cores(), num_scenes // _MIN_SCENES_PER_WORKER, _MAX_WORKERS))


class SceneWorkers:
    """Context manager: `submit` jobs, then take all `results` in the order they were submitted."""

    def __init__(self, num_workers: int = 1) -> None:
        self._pool: ProcessPoolExecutor | None = None
        if num_workers > 1:
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(num_workers, mp_context=spawn, initializer=_use_one_thread)
        self._jobs: list[Future] = []

    def __enter__(self) -> "SceneWorkers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=error is not None)

    @property
    def is_parallel(self) -> bool:
        return self._pool is not None

    def submit(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Adds a job; function and arguments must be picklable, the function named in a module."""
        if self._pool is not None:
            self._jobs.append(self._pool.submit(function, *arguments))
            return
        done: Future = Future()
        done.set_result(function(*arguments))
        self._jobs.append(done)

    def results(self, progress: Callable[[int], None] | None = None) -> list[Any]:
        """All results in order; `progress` is told how many jobs are still to be done. An error of a job is raised."""
        waiting = len(self._jobs)
        for job in as_completed(self._jobs):
            job.result()
            waiting -= 1
            if progress is not None:
                progress(waiting)
        return [job.result() for job in self._jobs]


def _use_one_thread() -> None:
    torch.set_num_threads(1)
