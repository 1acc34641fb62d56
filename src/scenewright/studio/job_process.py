"""One process beside the page that does jobs, one at a time, and keeps their systems loaded."""

import logging
import multiprocessing
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from scenewright.errors import InputError, ScenewrightError
from scenewright.files import reason_of
from scenewright.progress import SILENT, Advance, Progress
from scenewright.runs.job import Job, JobResult, run_job
from scenewright.runs.resident import ResidentSystems

__all__ = ["Cancelled", "JobProcess"]

logger = logging.getLogger(__name__)
# Never a fork of the page's process: that has threads.
_FRESH = multiprocessing.get_context("spawn")


class Cancelled(ScenewrightError):
    """The job was ended by its user."""


@dataclass(frozen=True)
class _Stage:
    number: int
    name: str


@dataclass(frozen=True)
class _Advance:
    number: int
    done: int
    total: int


class JobProcess:
    """Does jobs in a process that begins with the first of them, or with `warm_up`; `cancel` ends it and the job."""

    def __init__(self) -> None:
        self._one_job = threading.Lock()
        self._process: BaseProcess | None = None
        self._line: Connection | None = None
        self._cancelled = False

    def warm_up(self) -> None:
        """Starts the process, which takes seconds, before there is a job."""
        with self._one_job:
            self._started()

    def run(self, job: Job, folder: Path, progress: Progress = SILENT) -> JobResult:
        """`run_job` in the process, waited for; what is called at the same time waits for its turn.

        Raises:
            Cancelled: `cancel` was called.
            ScenewrightError: the job's own, or the process was killed.
        """
        with self._one_job:
            self._cancelled = False
            line, advances = self._started(), dict[int, Advance]()
            try:
                line.send((job, folder))
                while True:
                    match line.recv():
                        case _Stage(number, name):
                            advances[number] = progress.stage(name)
                        case _Advance(number, done, total):
                            advances[number](done, total)
                        case JobResult() as result:
                            return result
                        case ScenewrightError() as error:
                            raise error
            except (EOFError, OSError) as error:
                self._forget()
                if self._cancelled:
                    raise Cancelled("The job was cancelled.") from error
                raise InputError(
                    "The process that worked on this was killed, most often because memory ran out; close other "
                    "programs, or choose a smaller picture or system."
                ) from error

    def cancel(self) -> None:
        """Ends the job that runs, with its process."""
        self._cancelled = True
        self.close()

    def close(self) -> None:
        """Ends the process."""
        process = self._process  # another thread may forget it meanwhile
        if process is not None:
            process.terminate()
            process.join(5)

    def _started(self) -> Connection:
        if self._process is None or self._line is None or not self._process.is_alive():
            self._line, theirs = _FRESH.Pipe()
            self._process = _FRESH.Process(target=_work, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()  # so that the end of the process is the end of the line
        return self._line

    def _forget(self) -> None:
        self.close()
        self._process = self._line = None


class _OverLine:
    """Progress told to the other end of the line."""

    def __init__(self, send: Callable[[object], None]) -> None:
        self._send, self._count, self._lock = send, 0, threading.Lock()

    def stage(self, name: str) -> Advance:
        with self._lock:
            self._count += 1
            number = self._count
            self._send(_Stage(number, name))

        def advance(done: int, total: int) -> None:
            with self._lock:
                self._send(_Advance(number, done, total))

        return advance


def _work(line: Connection) -> None:
    """Does jobs until the other end closes the line."""
    systems = ResidentSystems()
    while True:
        try:
            job, folder = line.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            line.send(run_job(job, folder, systems=systems, progress=_OverLine(line.send)))
        except ScenewrightError as error:
            line.send(InputError(str(error)))  # of a kind that is sure to travel
        except KeyboardInterrupt:
            return
        except Exception as error:
            logger.exception("A job failed")
            line.send(InputError(f"The job failed: {reason_of(error)}"))
