"""Inputs to one reader, in a process of its own with limits: what came of them."""

import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scenewright.errors import ScenewrightError
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS

__all__ = ["Outcome", "fuzz", "read_once", "read_sound", "within_budget"]

BASE_BYTES, BUDGET_FACTOR = 256 << 20, 64
MAX_SECONDS = 10
_ADDRESS_SPACE = 24 << 30
_FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "socket.getaddrinfo")


class _TooSlow(BaseException):
    """No Exception: a reader's border must not take it for a damaged file."""


@dataclass
class Outcome:
    """Counts of one target; `faults` holds what must not be: (what, number of inputs, where the first one is kept)."""

    target: str
    inputs: int = 0
    read: int = 0
    refused: int = 0
    seconds: float = 0.0
    most_mib: float = 0.0
    most_seconds: float = 0.0
    faults: dict[str, list] = field(default_factory=dict)


def fuzz(
    target: str, inputs: int, seed: int, keep: Path | None = None, progress: Callable[[int], None] = lambda done: None
) -> Outcome:
    """Gives a reader so many damaged files, in a forked process, and says what came of them.

    Args:
        keep: a folder for inputs that broke something.
        progress: called with the number of inputs done.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 1
        try:
            with os.fdopen(writing, "w") as pipe:
                for done, outcome in _run(target, inputs, seed, keep):
                    pipe.write(json.dumps([done, outcome and vars(outcome)]) + "\n")
                    pipe.flush()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    outcome = Outcome(target, faults={"the process ended": [1, ""]})
    with os.fdopen(reading) as pipe:
        for line in pipe:
            done, found = json.loads(line)
            progress(done)
            outcome.inputs = done
            if found is not None:
                outcome = Outcome(**found)
    os.waitpid(child, 0)
    return outcome


def read_sound(name: str, folder: Path) -> None:
    """Makes a target's files and reads them as they are, so that mutations reach what lies behind."""
    target = TARGETS[name]
    target.make(folder)
    for file in target.files:
        target.read(folder / file if target.is_single else folder)


def _run(name: str, inputs: int, seed: int, keep: Path | None) -> Iterator[tuple[int, Outcome | None]]:
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    target, outcome = TARGETS[name], Outcome(name)
    events: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        read_sound(name, folder)
        sound = {file: (folder / file).read_bytes() for file in target.files}
        _watch(folder, events)
        for number in range(inputs):
            rng = random.Random(f"{seed} {name} {number}")
            file = rng.choice(target.files)
            content = mutated(Path(file).suffix, sound[file], rng)
            (folder / file).write_bytes(content)
            path = folder / file if target.is_single else folder
            fault, seconds, grown = read_once(target.read, path, outcome)
            outcome.inputs, outcome.seconds = number + 1, outcome.seconds + seconds
            outcome.most_seconds, outcome.most_mib = (
                max(outcome.most_seconds, seconds),
                max(outcome.most_mib, grown / 2**20),
            )
            allowed = BASE_BYTES + BUDGET_FACTOR * sum(
                path.stat().st_size for path in folder.rglob("*") if path.is_file()
            )
            if fault is None and grown > allowed:
                fault = f"memory of {grown / 2**20:.0f} MiB for {allowed / 2**20:.0f}"
            if fault is None and events:
                fault = f"reached outside: {next(iter(events))}"
            events.clear()
            if fault is not None:
                kept = outcome.faults.setdefault(fault, [0, ""])
                kept[0] += 1
                if keep is not None and not kept[1]:
                    kept[1] = str(_kept(keep, name, number, file, content, fault))
                    events.clear()
            (folder / file).write_bytes(sound[file])
            if (number + 1) % 50 == 0:
                yield number + 1, None
    yield inputs, outcome


def within_budget(grown: int, path: Path) -> str | None:
    """A fault where a process grew by more than a file, or all of a folder, may take."""
    files = path.rglob("*") if path.is_dir() else [path]
    allowed = BASE_BYTES + BUDGET_FACTOR * sum(file.stat().st_size for file in files if file.is_file())
    return None if grown <= allowed else f"memory of {grown / 2**20:.0f} MiB for {allowed / 2**20:.0f}"


def _kept(keep: Path, name: str, number: int, file: str, content: bytes, fault: str) -> Path:
    place = keep / name / f"{number:06d}"
    place.mkdir(parents=True, exist_ok=True)
    (place / Path(file).name).write_bytes(content)
    (place / "what.txt").write_text(f"{file}: {fault}\n")
    return place


def read_once(read: Callable[[Path], object], path: Path, outcome: Outcome) -> tuple[str | None, float, int]:
    """What went wrong, CPU seconds, and by how much the process grew at most."""
    before, started = _peak_reset(), time.process_time()
    fault = None
    try:
        with _limited():
            read(path)
        outcome.read += 1
    except ScenewrightError as error:
        outcome.refused += 1
        if "\n" in str(error) or len(str(error)) > 4000:
            fault = f"a sentence of {len(str(error))} characters in {str(error).count(chr(10)) + 1} lines"
    except _TooSlow:
        fault = f"more than {MAX_SECONDS} s"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "scenewright" in frame.filename] or list(frames)
        place = f"{own[-1].filename.rpartition('scenewright/')[2]}:{own[-1].lineno}" if own else "?"
        fault = f"{type(error).__name__} at {place}: {str(error).splitlines()[:1]}"[:200]
    return fault, time.process_time() - started, max(0, _peak() - before)


@contextmanager
def _limited() -> Iterator[None]:
    def late(signum: int, frame: object) -> None:
        raise _TooSlow

    signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _peak_reset() -> int:
    """Resident bytes now, from which on the peak is counted."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0


def _watch(folder: Path, events: Counter[str]) -> None:
    """Notes programs that are started, connections, and files written outside of the folder."""

    def hook(event: str, arguments: tuple) -> None:
        if event in _FORBIDDEN:
            events[f"{event} {str(arguments)[:80]}"] += 1
        if event != "open" or not isinstance(arguments[0], str) or not set(str(arguments[1] or "")) & set("wax+"):
            return
        if not arguments[0].startswith((str(folder), "/proc/self", "/dev/null")):
            events[f"{event} {arguments[0][:80]}"] += 1

    sys.addaudithook(hook)
