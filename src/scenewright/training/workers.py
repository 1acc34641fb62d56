"""Processes that load batches ahead, in order; when one is killed they start again with what was not delivered.

Torch's own loader raises the death of a worker as an error at any point of the main program; here it is noticed where a
batch is waited for, so that a step is never torn.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch
import torch.multiprocessing  # registers how tensors travel between processes: through shared memory

from scenewright.errors import InputError

__all__ = ["LoadingWorkers"]

logger = logging.getLogger(__name__)
_MAX_DEATHS = 3
_AHEAD = 4
"""Batches that each worker may be ahead of the training."""
# Forked workers share a training set that lies in memory; elsewhere it is pickled to each.
_CONTEXT = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")

Load = Callable[[list[int]], Any]
_load: Load | None = None


class LoadingWorkers:
    """Results of `load` for each of `jobs`, in order, made by `count` processes."""

    def __init__(self, load: Load, jobs: Iterator[list[int]], count: int) -> None:
        self._function, self._jobs, self._count = load, jobs, count
        self._pending: deque[tuple[list[int], Future[Any]]] = deque()
        self._deaths = 0
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._count, _CONTEXT, _begin, (self._function,))

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        """
        Raises:
            InputError: workers were killed again and again.
        """
        while True:
            try:
                while len(self._pending) < self._count * _AHEAD:
                    job = next(self._jobs)
                    # Noted before it is submitted, so that a broken pool loses no job.
                    self._pending.append((job, Future()))
                    self._pending[-1] = (job, self._pool.submit(_work, job))
                result = self._pending[0][1].result()
                self._pending.popleft()
                return result
            except BrokenProcessPool as error:
                self._replace(error)

    def _replace(self, error: BrokenProcessPool) -> None:
        self._deaths += 1
        if self._deaths > _MAX_DEATHS:
            raise InputError(
                f"Data workers were killed {self._deaths} times (out of memory?); "
                "resume with fewer (train.workers = 0 loads in the main process)."
            ) from error
        logger.warning("A data worker was killed; starting the workers again.")
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = self._start()
        self._pending = deque((job, self._pool.submit(_work, job)) for job, _ in self._pending)

    def close(self) -> None:
        """Ends the processes."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _begin(load: Load) -> None:
    """Sets a worker up: one thread, signals left to the main process, and no life after it."""
    global _load
    _load = load
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(job: list[int]) -> Any:
    assert _load is not None
    return _load(job)
