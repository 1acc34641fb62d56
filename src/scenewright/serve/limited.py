"""Functions called in a process of little memory and time that ends with them: for files of strangers.

    LimitedProcess("scenewright.serve.preparing", Limits()).call("catalogue")

A process per call is forked from one that has only imported the module. What it may take is bounded by the system
(`setrlimit`), so that a bomb ends this process and nothing else.
"""

import logging
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from scenewright.errors import InputError, ScenewrightError, is_out_of_memory
from scenewright.serve.limits import Limits

__all__ = ["LimitedProcess"]

logger = logging.getLogger(__name__)
_TOO_MUCH = "The files take more memory or time to read than is allowed; send smaller ones."
_AT_ONCE = 2
# Of wall time for each second of processor time.
_PATIENCE = 4
_OPEN_FILES = 256


class LimitedProcess:
    """Calls the functions of one module in processes of their own, at most two at a time."""

    def __init__(self, module: str, limits: Limits) -> None:
        """Takes the full name of the module, which one process imports before the others are forked from it."""
        self._module, self._limits, self._slots = module, limits, threading.Semaphore(_AT_ONCE)
        self._context: Any = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
        self._context.set_forkserver_preload([module])

    def warm_up(self) -> None:
        """Begins to start the process that the others are forked from; returns at once."""
        if os.name == "posix":
            forkserver.ensure_running()

    def call(self, function: str, *values: object) -> Any:
        """The result of a function of the module.

        Raises:
            InputError: the function's own error, or it took more than the limits allow.
        """
        ours, theirs = self._context.Pipe(duplex=False)
        work = (theirs, self._limits, self._module, function, values)
        with self._slots, ours:
            process = self._context.Process(target=_answer, args=work, daemon=True)
            process.start()
            theirs.close()
            try:
                answered = ours.poll(_PATIENCE * self._limits.reading_s)
                is_good, answer = ours.recv() if answered else (False, _TOO_MUCH)
            except EOFError as error:
                process.join()
                if process.exitcode is None or process.exitcode >= 0:  # no signal of the system ended it
                    raise RuntimeError("The process that reads uploads ended before its answer.") from error
                is_good, answer = False, _TOO_MUCH
            finally:
                process.kill()
                process.join()
                process.close()
        if not is_good:
            raise InputError(answer)
        return answer


def _answer(connection: Connection, limits: Limits, module: str, function: str, values: Sequence[object]) -> None:
    """The life of the process: limits first, then the work, then one message."""
    import torch

    torch.set_num_threads(1)  # threads of the process that this one was forked from did not come along
    home = import_module(module)
    _limit(limits)
    try:
        work: Callable[..., Any] = getattr(home, function)
        # Not by `send`, which would leave tensors in memory that is shared with this process, and it ends at once.
        message = pickle.dumps((True, work(*values)))
    except ScenewrightError as error:
        message = pickle.dumps((False, str(error)))
    except Exception as error:
        logger.exception("Reading uploads")
        message = pickle.dumps((False, _TOO_MUCH if is_out_of_memory(error) else "The files cannot be read."))
    with suppress(BrokenPipeError):
        connection.send_bytes(message)
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
