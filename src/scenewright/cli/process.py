"""The command as a process: its streams, the signals that end it, and the sentence for what the system refuses."""

import atexit
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

from scenewright.errors import ScenewrightError, is_out_of_memory

__all__ = [
    "Stopped",
    "expand_home",
    "finish_streams",
    "prepare_kernel_cache",
    "prepare_streams",
    "sentence_of",
    "stopped_by_signals",
]

_SENTENCES = {signal.SIGINT: "Interrupted.", signal.SIGTERM: "Terminated."}
_AGAIN_S = 1.0


class Stopped(BaseException):
    """SIGINT or SIGTERM asked the command to end; clean-up runs on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(_SENTENCES[signal.Signals(number)])
        self.exit_code = 128 + number


@contextmanager
def stopped_by_signals(received: list[Stopped]) -> Iterator[None]:
    """Makes both signals raise `Stopped` in this block; it joins `received` when one arrives.

    It is raised anew every second until the block ends: a compiled kernel may turn it into an error of its own, and
    whoever catches that would go on.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        received[:] = received or [Stopped(number)]
        if hasattr(signal, "setitimer"):  # not on Windows
            signal.signal(signal.SIGALRM, stop)
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S, _AGAIN_S)
        raise received[0]

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Whoever started the command may want it to ignore a signal.
    usual = (signal.SIG_DFL, signal.default_int_handler)
    numbers = [number for number in _SENTENCES if signal.getsignal(number) in usual]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        if received and hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def prepare_streams() -> None:
    """Closed streams lead nowhere, so that no file takes their number; what a stream cannot encode is escaped."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def prepare_kernel_cache() -> None:
    """Compiled kernels go to a temporary folder where neither the package nor HOME can be written: numba needs one.

    The folder is this process's own and ends with it: kept kernels are pickled, so nobody else may write there.
    """
    if "NUMBA_CACHE_DIR" in os.environ or any(map(_is_writable, (os.path.dirname(__file__), os.path.expanduser("~")))):
        return
    os.environ["NUMBA_CACHE_DIR"] = folder = tempfile.mkdtemp(prefix="scenewright-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _is_writable(folder: str) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def finish_streams() -> str:
    """Writes out what is printed so far; returns why that is impossible, or ""."""
    reason = ""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except (OSError, ValueError) as error:
            reason = f"The system refuses: {getattr(error, 'strerror', None) or error}."
            setattr(sys, name, _nowhere())
    return reason


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")


def expand_home(argument: str) -> str:
    """`~/x` and `--option=~/x` as a shell would have expanded them."""
    option, equals, value = argument.partition("=")
    if equals and option.startswith("-"):
        return option + equals + os.path.expanduser(value)
    return os.path.expanduser(argument)


def sentence_of(error: BaseException) -> str | None:
    """An error as one sentence for the user; None if it is a defect of ours."""
    if isinstance(error, ScenewrightError):
        return str(error)
    if is_out_of_memory(error):
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        return f"Not enough memory ({reason}); use a smaller input or another --device."
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        return f"Cannot use '{error.filename}': {reason}." if error.filename else f"The system refuses: {reason}."
    return None
