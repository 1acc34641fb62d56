"""Steps by which a process changes a folder, seen before they happen: to kill there, to refuse, to take a copy."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Killed", "killed_after_every_result", "killed_at", "write_steps"]

Act = Callable[[str, Path], object]
_watchers: list[tuple[str, Act]] = []
_PLACE = {"os.rename": 1, "os.mkdir": 0, "os.remove": 0, "os.rmdir": 0, "os.truncate": 0, "shutil.rmtree": 0}


class Killed(BaseException):
    """The end of a process, as far as its files go."""


@contextmanager
def write_steps(folder: Path, act: Act) -> Iterator[None]:
    """Inside: `act(step, path)` before a file below `folder` is opened to write, made, renamed (to `path`) or removed.

    What `act` raises, the step raises.
    """
    if not _watchers and not getattr(write_steps, "is_installed", False):
        sys.addaudithook(_hook)  # which stays as long as the process
        write_steps.is_installed = True  # type: ignore[attr-defined]
    watcher = (f"{folder}{os.sep}", act)
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if not _watchers or (event != "open" and event not in _PLACE):
        return
    if event == "open":
        flags = arguments[2]
        if not (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            return
    path = arguments[_PLACE.get(event, 0)]
    if isinstance(path, str | bytes | os.PathLike):
        name = os.path.abspath(os.fsdecode(path))
        for below, act in list(_watchers):
            if name.startswith(below):
                act(event, Path(name))


def killed_at(folder: Path, is_moment: Callable[[str, Path], bool], work: Callable[[], object]) -> bool:
    """Does the work until the first step for which `is_moment` says so; from there on nothing below `folder` changes.

    That is what a kill leaves: no step is done any more, those of `finally` included.

    Returns:
        whether the moment came.
    """
    is_dead = False

    def act(step: str, path: Path) -> None:
        nonlocal is_dead
        is_dead = is_dead or is_moment(step, path)
        if is_dead:
            raise Killed

    try:
        with write_steps(folder, act):
            work()
    except Killed:
        pass
    return is_dead


def killed_after_every_result(folder: Path, work: Callable[[], object]) -> int:
    """Does the work again and again, each time killed right after one file that is no picture has got its name.

    Returns:
        the number of kills until the work came to its end.
    """
    kills = 0

    def is_killed() -> bool:
        results: list[Path] = []

        def is_after_result(step: str, path: Path) -> bool:
            if results:
                return True
            results.extend([path] if step == "os.rename" and path.suffix != ".png" else [])
            return False

        return killed_at(folder, is_after_result, work)

    while is_killed():
        kills += 1
    return kills
