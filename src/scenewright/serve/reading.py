"""Uploads read once before their job is accepted: in a process of little memory and time that ends with them.

The server itself decodes nothing. `Reader` forks a process per request from one that has only imported what is needed;
what it may take is bounded by the system (`setrlimit`), so that a bomb ends this process and nothing else. It answers
with the job and its key, or with one sentence for the client. The worker reads the same files by the same functions.
"""

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from scenewright.errors import InputError, ScenewrightError, is_out_of_memory
from scenewright.serve.job_queue import QueueFullError
from scenewright.serve.limits import Limits
from scenewright.serve.requests import CaptureRequest, EditRequest, ExportRequest, GenerateRequest, RerollRequest

__all__ = ["Accepted", "Catalogue", "Reader", "Request", "Submission"]

logger = logging.getLogger(__name__)
Request = GenerateRequest | CaptureRequest | RerollRequest | EditRequest | ExportRequest
TOO_MUCH = "The files take more memory or time to read than is allowed; send smaller ones."
_AT_ONCE = 2
# Requests that wait for their turn each keep a thread of the server from other work.
_MOST_WAITING = 24
# Of wall time for each second of processor time.
_PATIENCE = 4
_OPEN_FILES = 256


@dataclass(frozen=True)
class Submission:
    """A request of a client: files by the names of form fields, in order, or the scene of an earlier job."""

    request: Request
    folder: Path
    files: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    scene: Path | None = None


@dataclass(frozen=True)
class Accepted:
    """The job as JSON, and its key."""

    kind: str
    job: str
    key: str


@dataclass(frozen=True)
class Catalogue:
    """The systems and formats of this installation, for clients to choose from."""

    systems: tuple[dict[str, Any], ...]
    formats: tuple[dict[str, Any], ...]
    profiles: tuple[str, ...]
    programs: tuple[str, ...]


class Reader:
    """Reads uploads in processes of their own, at most two at a time. `device` is the kind that the workers have."""

    def __init__(self, limits: Limits, device: str, *, offline: bool = True) -> None:
        self._limits, self._device, self._offline = limits, device, offline
        self._room, self._slots = threading.Semaphore(_MOST_WAITING), threading.Semaphore(_AT_ONCE)
        self._context: Any = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
        self._context.set_forkserver_preload(["scenewright.serve.preparing"])

    def accept(self, submission: Submission) -> Accepted:
        """The job that the client means, once all its files were read.

        Raises:
            InputError: they cannot be used, or take more than the limits allow.
            QueueFullError: too many requests wait to be read.
        """
        if not self._room.acquire(blocking=False):
            raise QueueFullError("Too many uploads wait to be read; send it again later.")
        try:
            found: Accepted = self._asked("prepared", submission, self._limits, self._device, self._offline)
        finally:
            self._room.release()
        return found

    def catalogue(self) -> Catalogue:
        """The systems and formats of this installation."""
        found: Catalogue = self._asked("catalogue")
        return found

    def _asked(self, function: str, *values: object) -> Any:
        ours, theirs = self._context.Pipe(duplex=False)
        with self._slots, ours:
            process = self._context.Process(target=_answer, args=(theirs, self._limits, function, values), daemon=True)
            process.start()
            theirs.close()
            try:
                answered = ours.poll(_PATIENCE * self._limits.reading_s)
                is_good, answer = ours.recv() if answered else (False, TOO_MUCH)
            except EOFError as error:
                process.join()
                if process.exitcode is None or process.exitcode >= 0:  # no signal of the system ended it
                    raise RuntimeError("The process that reads uploads ended before its answer.") from error
                is_good, answer = False, TOO_MUCH
            finally:
                process.kill()
                process.join()
                process.close()
        if not is_good:
            raise InputError(answer)
        return answer


def _answer(connection: Connection, limits: Limits, function: str, values: Sequence[object]) -> None:
    """The life of the process: limits first, then the work, then one message."""
    from scenewright.serve import preparing

    _limit(limits)
    try:
        work: Callable[..., Any] = getattr(preparing, function)
        message: tuple[bool, Any] = (True, work(*values))
    except ScenewrightError as error:
        message = (False, str(error))
    except Exception as error:
        logger.exception("Reading uploads")
        message = (False, TOO_MUCH if is_out_of_memory(error) else "The files cannot be read.")
    with suppress(BrokenPipeError):
        connection.send(message)
    connection.close()


def _limit(limits: Limits) -> None:
    """Bounds memory, time, files and their size for this process."""
    try:
        import resource
    except ImportError:  # Windows has none of this; the wall clock still ends the process
        return
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _lower(resource.RLIMIT_AS, pages * os.sysconf("SC_PAGE_SIZE") + limits.reading_bytes)
    _lower(resource.RLIMIT_CPU, limits.reading_s)
    _lower(resource.RLIMIT_FSIZE, limits.unpacked_bytes)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(kind: int, value: int) -> None:
    import resource

    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))
