"""Files appear whole or not at all, alone or as a set: written in a hidden folder beside their place, then renamed.

    write_bytes(path, content)                          one file
    with atomic_path(path) as temporary: ...            one file that something else writes
    with write_together(scene, manifest) as (a, b): ... a set; the last file vouches for the others

A process that is killed, or a disk that is full, leaves old files, whole new ones, and at worst a hidden folder
`.NAME.partial`, which the next run that writes to the same place removes. Contents and folders are flushed, so the same
goes for a power cut. A link stays one: what it leads to is replaced, with the permissions it had.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from scenewright.errors import InputError
from scenewright.files import reason_of

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["atomic_path", "check_writable", "flush", "make_folder", "remove", "tidy", "write_bytes", "write_together"]

# Libraries in Rust tell the system's refusals in words.
_IN_WORDS = re.compile(r"([^:]*) \(os error \d+\)")
# Processes that write to one place at the same time and find each other's temporary names; more take random names.
_SLOTS = 8


@contextmanager
def write_together(*paths: str | Path) -> Iterator[list[Path]]:
    """Temporary paths of the same names; their files replace those at `paths` when the block ends without an error.

    The last of several is a manifest, which says that the others belong together: the old one is removed before any
    file is replaced, and the new one appears after all others. So whoever finds a manifest finds its files.

    Raises:
        InputError: a folder does not exist or cannot be written, the disk is full, or a path is a folder.
    """
    targets = [Path(path) for path in paths]
    with ExitStack() as stack:
        drafts = [stack.enter_context(_draft(target)) for target in targets]
        places = [_place(target) for target in targets]
        with _reported(targets[-1]):
            yield [draft.path for draft in drafts]
        for draft, target, place in zip(drafts, targets, places, strict=True):
            with _reported(target):
                flush(draft.path)
                if place.exists():
                    shutil.copymode(place, draft.path)
        if len(targets) > 1:
            remove(places[-1])
        for number, (draft, target, place) in enumerate(zip(drafts, targets, places, strict=True), 1):
            with _reported(target):
                if number == len(targets) > 1:
                    for folder in {other.absolute().parent for other in places[:-1]}:
                        flush(folder)
                os.replace(draft.path, place)
        with _reported(targets[-1]):
            flush(places[-1].absolute().parent)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path of the same name; its file replaces that at `path` when the block ends without an error.

    Raises:
        InputError: the folder does not exist, cannot be written, or `path` is a folder.
    """
    with write_together(path) as (temporary,):
        yield temporary


def write_bytes(path: str | Path, content: bytes | bytearray | memoryview) -> Path:
    """Write `content` to `path` atomically; returns the path.

    Raises:
        InputError: the folder does not exist or cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def remove(path: str | Path) -> None:
    """Removes a file for good, where it is there: a manifest, before what it speaks of changes.

    Raises:
        InputError: it cannot be removed.
    """
    path = Path(path)
    with _reported(path):
        path.unlink(missing_ok=True)
        if path.absolute().parent.is_dir():
            flush(path.absolute().parent)


def tidy(*paths: str | Path) -> None:
    """Removes what killed processes left that wrote to these places, where the files themselves are kept."""
    if fcntl is not None:
        for path in map(Path, paths):
            with suppress(OSError):
                _remove_abandoned(_place(path), 0)


def make_folder(path: str | Path) -> Path:
    """The folder, made with all above it where it does not exist.

    Raises:
        InputError: it cannot be made.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise InputError(f"Cannot make the folder '{path}': {reason_of(error)}.") from error
    return path


def check_writable(*paths: str | Path, inputs: Iterable[str | Path] = ()) -> None:
    """Before long work: refuses files that could not be written at its end. Nothing is left behind.

    Args:
        inputs: files that are read, which writing must not replace; what is no file on this machine is passed over.

    Raises:
        InputError: a folder does not exist or cannot be written, a name is too long, a path is a folder, or it is one
            of the inputs.
    """
    read = {os.path.realpath(path) for path in inputs}
    for path in map(Path, paths):
        with _reported(path):
            if os.path.realpath(path) in read and path.exists():
                raise InputError(f"Writing '{path}' would replace a file that is read; give the result another name.")
        with _reported(path), suppress(FileNotFoundError, NotADirectoryError):
            path.lstat()  # a name may be too long
        with _draft(path):
            pass


class _Draft:
    """A hidden folder beside the target, which nobody else touches as long as it is locked, with the file to be.

    A folder, as some libraries write to a temporary file of their own beside the one they are given.
    """

    def __init__(self, folder: Path, name: str, handle: int | None) -> None:
        self.path, self._folder, self._handle = folder / name, folder, handle

    def close(self) -> None:
        try:
            shutil.rmtree(self._folder, ignore_errors=True)  # errors: such as a file system that became read-only
        finally:
            if self._handle is not None:
                os.close(self._handle)


@contextmanager
def _draft(target: Path) -> Iterator[_Draft]:
    with _reported(target):
        place = _place(target)
        if problem := _problem(place):
            raise InputError(f"Cannot write '{target}': {problem}.")
        draft = _created(place)
    try:
        yield draft
    finally:
        draft.close()


def _problem(place: Path) -> str:
    """Why a file cannot be written there, as far as that shows beforehand; or ""."""
    if place.is_symlink():
        return "it is a link to itself; delete it"
    if not place.absolute().parent.is_dir():
        known = "is no folder" if place.parent.exists() else "does not exist; create it first"
        return f"the folder '{place.parent}' {known}"
    if not place.exists():
        return ""
    if place.is_dir():
        return "it is a folder; give a file name"
    if not place.is_file():
        return "it is a pipe or a device; give a file name"
    return "" if os.access(place, os.W_OK) else "it may only be read; change that, or give another name"


def _place(target: Path) -> Path:
    """Where a file lies: the end of a link."""
    return Path(os.path.realpath(target)) if target.is_symlink() else target


def _created(target: Path) -> _Draft:
    """An empty draft: a new one, or one that a killed process left."""
    for slot in range(_SLOTS if fcntl is not None else 0):
        if (draft := _taken(target, slot)) is not None:
            _remove_abandoned(target, slot + 1)
            return draft
    folder = target.with_name(f"{_hidden_name(target)}.{secrets.token_hex(4)}")
    folder.mkdir()
    return _Draft(folder, target.name, None)


def _hidden_name(target: Path) -> str:
    return f".{target.name[:40]}.partial"  # a name has at most 255 bytes, and a character at most four


def _taken(target: Path, slot: int) -> _Draft | None:
    """The draft of that number, locked; None where another process, or another user, has it."""
    folder = target.with_name(f"{_hidden_name(target)}{slot or ''}")
    folder.mkdir(exist_ok=True)
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:  # its process has just finished
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(handle)
        # Between opening and locking its process may have finished, and another one begun.
        if status.st_uid == os.getuid() and folder.stat().st_ino == status.st_ino:
            for path in folder.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            return _Draft(folder, target.name, handle)
    except OSError:
        pass  # locked, or a file system without locks
    os.close(handle)
    return None


def _remove_abandoned(target: Path, slot: int) -> None:
    """Removes what killed processes left that wrote to the same place at the same time."""
    while slot < _SLOTS and target.with_name(f"{_hidden_name(target)}{slot or ''}").exists():
        if (draft := _taken(target, slot)) is not None:
            draft.close()
        slot += 1


def flush(path: Path) -> None:
    """Asks the system to have the file or folder on the disk."""
    if os.name == "nt" and path.is_dir():  # folders cannot be opened there
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _reported(target: Path) -> Iterator[None]:
    """Errors of the system as one sentence that names the file."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error)
        if not isinstance(error, OSError):
            said = _IN_WORDS.search(reason)
            if said is None and "null byte" not in reason:
                raise
            reason = said[1].strip() if said else "its name holds a null character"
        raise InputError(f"Cannot write '{target}': {reason}.") from error
