"""Jobs in processes of this machine.

A fork of a process with running threads can hang. `run` therefore starts its processes afresh, on Linux as forks of a
small process that has done nothing but import torch. `Stream` forks this very process where the system can, as its
function may hold a training set in memory that all processes then share.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing.context import BaseContext
from types import TracebackType
from typing import Any, Generic, TypeVar, overload

import torch
import torch.multiprocessing  # registers how tensors travel between processes: through shared memory

from scenewright.errors import InputError
from scenewright.machine import available_cores
from scenewright.progress import Advance, ignore

__all__ = ["Failure", "Stream", "Worker", "choose_workers", "preload", "run"]

logger = logging.getLogger(__name__)
Job = TypeVar("Job")
Result = TypeVar("Result")
_MAX_WORKERS = 8
_MIN_JOBS_PER_WORKER = 4
_MAX_DEATHS = 3
_AHEAD = 4
"""Jobs of a stream that each worker may be ahead of their use."""
_FRESH: BaseContext = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
_FORKED: BaseContext = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
_PRELOADED = ["scenewright.jobs.local"]
if sys.platform == "linux":
    multiprocessing.set_forkserver_preload(_PRELOADED)


@dataclass(frozen=True)
class Failure:
    """The error that a job ended with, in the place of its result."""

    error: Exception


def choose_workers(num_jobs: int) -> int:
    """A number of processes that pays: at least four jobs each, one process per core, at most eight."""
    return max(1, min(available_cores(), num_jobs // _MIN_JOBS_PER_WORKER, _MAX_WORKERS))


@overload
def run(
    function: Callable[[Job], Result], jobs: Iterable[Job], *, workers: int = 1, progress: Advance = ignore
) -> list[Result]: ...


@overload
def run(
    function: Callable[[Job], Result],
    jobs: Iterable[Job],
    *,
    workers: int = 1,
    tolerated: tuple[type[Exception], ...],
    progress: Advance = ignore,
) -> list[Result | Failure]: ...


def run(
    function: Callable[[Job], Result],
    jobs: Iterable[Job],
    *,
    workers: int = 1,
    tolerated: tuple[type[Exception], ...] = (),
    progress: Advance = ignore,
) -> list[Any]:
    """Results of all jobs, in the order of the jobs.

    Args:
        function: picklable (named in a module, or a `partial` of such a function), if there are several workers.
        jobs: taken one by one; an iterator that takes its time for the next job keeps no worker waiting.
        workers: processes; 1 does every job here, as soon as it is taken.
        tolerated: errors that become a `Failure` in the list; every other error ends the run.
        progress: receives (jobs done, jobs taken so far) after each job.

    Raises:
        InputError: processes were killed again and again.
    """
    if workers <= 1:
        results: list[Result | Failure] = []
        total = len(jobs) if isinstance(jobs, list | tuple) else 0
        for job in jobs:
            try:
                results.append(function(job))
            except tolerated as error:
                results.append(Failure(error))
            progress(len(results), max(total, len(results)))
        return results
    with _Pool(function, workers, _FRESH) as pool:
        for job in jobs:
            pool.submit(job)
        done: dict[int, Result | Failure] = {}
        for number, future in pool.finished():
            try:
                done[number] = future.result()
            except tolerated as error:
                done[number] = Failure(error)
            progress(len(done), pool.num_submitted)
    return [done[number] for number in range(len(done))]


class Stream(Generic[Result]):
    """An iterator over the results of jobs, in order, each worker at most four jobs ahead; `close` ends it."""

    def __init__(self, function: Callable[[Job], Result], jobs: Iterator[Job], workers: int) -> None:
        self._jobs, self._ahead, self._next = jobs, _AHEAD * workers, 0
        # An interrupted training ends in order, with all its processes.
        self._pool = _Pool(function, workers, _FORKED, interrupt=signal.SIG_IGN)

    def __iter__(self) -> Iterator[Result]:
        return self

    def __next__(self) -> Result:
        """
        Raises:
            InputError: processes were killed again and again.
        """
        for job in islice(self._jobs, self._next + self._ahead - self._pool.num_submitted):
            self._pool.submit(job)
        if self._next == self._pool.num_submitted:
            raise StopIteration
        self._next += 1
        return self._pool.take(self._next - 1)

    def close(self) -> None:
        """Ends the processes."""
        self._pool.close()


class _Pool(Generic[Job, Result]):
    """Processes that all call one function; when one is killed, new ones do what was not delivered.

    Python's own pool breaks as a whole with any of its processes, at any point of the main program; here that is
    noticed where a result is waited for.
    """

    def __init__(
        self,
        function: Callable[[Job], Result],
        workers: int,
        context: BaseContext,
        interrupt: signal.Handlers = signal.SIG_DFL,
    ) -> None:
        self._workers, self._context, self._setup = workers, context, (function, interrupt)
        self._pending: dict[int, tuple[Job, Future[Result]]] = {}
        self._deaths = 0
        self.num_submitted = 0
        self._executor = self._start()

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._workers, self._context, _begin, self._setup)

    def __enter__(self) -> "_Pool[Job, Result]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=True, cancel_futures=error is not None)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def submit(self, job: Job) -> None:
        # Noted before it is submitted, so that a broken pool loses no job.
        self._pending[self.num_submitted] = (job, Future())
        self.num_submitted += 1
        self._submit(self.num_submitted - 1)

    def _submit(self, number: int) -> None:
        job = self._pending[number][0]
        try:
            self._pending[number] = (job, self._executor.submit(_work, job))
        except BrokenProcessPool as error:
            self._replace(error)

    def take(self, number: int) -> Result:
        """The result of one job, waited for."""
        while True:
            try:
                result = self._pending[number][1].result()
                del self._pending[number]
                return result
            except BrokenProcessPool as error:
                self._replace(error)

    def finished(self) -> Iterator[tuple[int, Future[Result]]]:
        """Every job as it is done, whatever its result."""
        while self._pending:
            wait([future for _, future in self._pending.values()], return_when=FIRST_COMPLETED)
            for number, (_, future) in list(self._pending.items()):
                if not future.done():
                    continue
                if isinstance(error := future.exception(), BrokenProcessPool):
                    self._replace(error)
                    break
                del self._pending[number]
                yield number, future

    def _replace(self, error: BrokenProcessPool) -> None:
        self._deaths += 1
        if self._deaths > _MAX_DEATHS:
            raise InputError(
                f"Worker processes were killed {self._deaths} times (out of memory?); "
                "run the same again with fewer workers."
            ) from error
        logger.warning("A worker process was killed; starting the processes again.")
        lost = [
            number
            for number, (_, future) in self._pending.items()
            if not future.done() or isinstance(future.exception(), BrokenProcessPool)
        ]
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._executor = self._start()
        for number in lost:
            self._pending[number] = (self._pending[number][0], Future())
        for number in lost:
            self._submit(number)


def preload(module: str) -> None:
    """Imports a module once for all processes to come, where they are forks and none was started yet."""
    if sys.platform == "linux":
        multiprocessing.set_forkserver_preload([*_PRELOADED, module])


class Worker(Generic[Job, Result]):
    """One process that does one job at a time, so that a death is known to be the job's.

    worker.begin(job)
    wait([worker.future])
    worker.future.result()      BrokenProcessPool: the process was killed; `replace` it and go on
    """

    def __init__(self, function: Callable[[Job], Result]) -> None:
        self._function, self._executor = function, self._start(function)
        self.future: Future[Result] = Future()

    @staticmethod
    def _start(function: Callable[[Job], Result]) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, _FRESH, _begin, (function, signal.SIG_DFL))

    def begin(self, job: Job) -> None:
        """Begins a job, after the one before has ended."""
        try:
            self.future = self._executor.submit(_work, job)
        except BrokenProcessPool:  # it died in between
            self.replace()
            self.future = self._executor.submit(_work, job)

    def replace(self) -> None:
        """Another process in the place of this one, whatever it does."""
        self.close()
        self._executor = self._start(self._function)

    def close(self) -> None:
        """Ends the process, killing what it does."""
        for process in list((self._executor._processes or {}).values()):
            process.kill()
        self._executor.shutdown(wait=True, cancel_futures=True)


_function: Callable[[Any], Any] | None = None


def _begin(function: Callable[[Any], Any], interrupt: signal.Handlers) -> None:
    """Sets a worker up: one thread, no Python handlers of signals, and no life after the main process."""
    global _function
    _function = function
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(job: Any) -> Any:
    assert _function is not None
    return _function(job)
