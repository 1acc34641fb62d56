"""Files that somebody else made: one border for every reader, one memory budget per file, names that stay inside.

    @reader("a COCO file", "export the annotations again")
    def read_coco(path): ...                       # whatever is raised inside becomes one sentence about `path`

    content = read_file(path)                      # regular files only; 64 times its size may be spent from now on
    spend(width * height, "masks")                 # before memory is taken
    settings = json_value(content, Settings)       # a dataclass, every type and bound checked
    target = inside(path.parent, "texture.png")    # a name found in a file never leaves the file's folder

A reader does not list what the libraries below it raise. Such lists are never complete; the border needs none.
"""

import functools
import logging
import os
import re
import stat
import tomllib
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar, cast
from unicodedata import normalize

from annotated_types import Ge, Le

from scenewright.errors import InputError, ScenewrightError

__all__ = [
    "MAX_BYTES",
    "MAX_NUMBER",
    "MAX_SEED",
    "Matrix3",
    "Matrix4",
    "Number",
    "Row3",
    "Row4",
    "Seed",
    "allow_also",
    "allow_file_memory",
    "checked",
    "inside",
    "json_value",
    "name_of",
    "read_file",
    "read_json",
    "read_toml",
    "reader",
    "reading",
    "reason_of",
    "refuse_stand_in",
    "spend",
    "text_of",
    "work",
]

logger = logging.getLogger(__name__)

MAX_BYTES = 1 << 31
"""Largest file that is read whole."""

_FACTOR = 64
_BASE_BYTES = 256 << 20
_MAX_STEPS = 1 << 26
_MAX_SETTINGS_BYTES = 1 << 20
# Python objects of parsed text take up to this many bytes for each byte of the text: "{}," is a dict of 64 bytes.
_OBJECTS_PER_BYTE = 24
_LFS_POINTER = re.compile(rb"version https://git-lfs\.")
_WEB_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype )?html\b", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")

MAX_NUMBER = 1e12
Number = Annotated[float, Ge(-MAX_NUMBER), Le(MAX_NUMBER)]
"""A number in a file: finite, and small enough for arithmetic in single precision."""
MAX_SEED = (1 << 63) - 1
"""The largest seed of a run, which torch and a signed number of 64 bits can hold."""
Seed = Annotated[int, Ge(0), Le(MAX_SEED)]
Row3 = tuple[Number, Number, Number]
Row4 = tuple[Number, Number, Number, Number]
Matrix3 = tuple[Row3, Row3, Row3]
Matrix4 = tuple[Row4, Row4, Row4, Row4]

P = ParamSpec("P")
T = TypeVar("T")


class _Budget:
    """Memory and steps that may still be spent on one opened file and on what it names."""

    base_bytes = _BASE_BYTES

    def __init__(self) -> None:
        self.allowed = self.base_bytes
        self.spent = 0
        self.steps = 0


_current: ContextVar[_Budget | None] = ContextVar("budget", default=None)


def allow_file_memory(num_bytes: int) -> None:
    """Sets what may be spent on every file beyond 64 times its size, for this process; 256 MiB at first."""
    _Budget.base_bytes = max(num_bytes, _BASE_BYTES)


@contextmanager
def reading(
    name: str | Path, kind: str, way_out: str, *, size: int = 0, error: type[ScenewrightError] = InputError
) -> Iterator[None]:
    """The border of a reader: an error of any kind inside, but our own, becomes one sentence.

    A reading inside another one spends from the same budget: what a file holds or names counts to that file.

    Args:
        name: path of the file, or how messages call its content.
        kind: what it should be, with its article: "a COCO file".
        way_out: what the user can do: "export the annotations again".
        size: bytes of content that did not come from `read_file`.
        error: the kind of error to raise.

    Raises:
        InputError: or `error`, naming file and way out.
    """
    outer = _current.get()
    token = None
    if outer is None:
        budget = _Budget()
        budget.allowed += _FACTOR * size
        token = _current.set(budget)
    shown = f"'{name}'" if isinstance(name, Path) or not name.startswith(("'", "the ")) else name
    try:
        yield
    except InputError as raised:
        if _is_named(name, str(raised)):
            raise
        sentence = str(raised)
        if not sentence.endswith((".", "?")):
            sentence += "." if ";" in sentence else f"; {way_out}."
        raise error(f"Cannot read {shown}: {sentence}") from raised
    except ScenewrightError:
        raise
    except FileNotFoundError as raised:
        raise error(f"{shown} does not exist; check the path.") from raised
    except BaseException as raised:
        # A panic below a binding to Rust is no Exception; interrupts and exits are none of ours. Violated shapes, which
        # tests look for, are mistakes of the code and not of the file.
        module = type(raised).__module__.partition(".")[0]
        if module in ("jaxtyping", "beartype") or not (isinstance(raised, Exception) or module == "pyo3_runtime"):
            raise
        logger.debug("%s", shown, exc_info=True)
        reason = reason_of(raised)
        raise error(f"Cannot read {shown}: it is not {kind}, or is damaged ({reason}); {way_out}.") from raised
    finally:
        if token is not None:
            _current.reset(token)


def _is_named(name: str | Path, message: str) -> bool:
    """Whether a message names a file: its whole name, not a word or another name that holds the same letters."""
    if isinstance(name, str) and name.startswith("the "):
        return name in message
    path = str(name).strip("'")
    return re.search(rf"['/\\]{re.escape(Path(path).name or path)}['\":,]", message) is not None


def reader(
    kind: str, way_out: str, *, error: type[ScenewrightError] = InputError
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator for functions whose first argument is the path of a file: they run inside `reading`."""

    def decorated(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def inner(*args: P.args, **kwargs: P.kwargs) -> T:
            path = args[0] if args else next(iter(kwargs.values()))
            with reading(path if isinstance(path, Path) else str(path), kind, way_out, error=error):
                return function(*args, **kwargs)

        return inner

    return decorated


def spend(num_bytes: int, what: str = "its content") -> None:
    """Counts memory that is about to be taken to the file being read; without one, nothing is counted.

    Raises:
        InputError: that is more than 64 times the file's size and 256 MiB.
    """
    budget = _current.get()
    if budget is None:
        return
    budget.spent += max(int(num_bytes), 0)
    if budget.spent > budget.allowed:
        raise InputError(
            f"{what} would take {budget.spent / 2**20:,.0f} MiB of memory, more than the {budget.allowed / 2**20:,.0f} "
            "MiB that a file of this size may take; give a smaller one, or allow more with "
            "`scenewright --file-memory 4GB ...`"
        )


def work(num_steps: int, what: str) -> None:
    """Counts steps of a loop over what a file holds, in units of some 100 nanoseconds.

    Raises:
        InputError: the file asks for more than seconds of work.
    """
    budget = _current.get()
    if budget is None:
        return
    budget.steps += int(num_steps)
    if budget.steps > _MAX_STEPS:
        raise InputError(f"{what} would take more than {_MAX_STEPS:,} steps of work; give a simpler file")


def allow_also(num_bytes: int) -> None:
    """Adds content that belongs to the file being read: 64 times `num_bytes` more may be spent."""
    budget = _current.get()
    if budget is not None:
        budget.allowed += _FACTOR * max(int(num_bytes), 0)


def read_file(path: str | Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Content of a regular file, at most `max_bytes`; 64 times its size may be spent in the reading around.

    Raises:
        InputError: it is missing, a folder, a pipe or a device, empty, too large, or cannot be read.
    """
    path = Path(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"Expected a file, but '{path}' is a folder; give the path of a file, such as one in it.")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"'{path}' is a pipe or a device, which is not read; save its content as a file.")
        if status.st_size > max_bytes:
            raise InputError(f"'{path}' has {status.st_size:,} bytes, more than the {max_bytes:,} that are read.")
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"'{path}' does not exist; check the path.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if not content:
        raise InputError(f"'{path}' is empty (0 bytes); save it again.")
    if len(content) > max_bytes:
        raise InputError(f"'{path}' has more than the {max_bytes:,} bytes that are read.")
    refuse_stand_in(content[:1024], path)
    allow_also(len(content))
    spend(len(content))
    return content


def refuse_stand_in(start: bytes, path: str | Path) -> None:
    """Refuses what lies in a file's place where fetching it went wrong, known by its first bytes.

    Raises:
        InputError: it is a pointer of Git LFS or a web page.
    """
    if _LFS_POINTER.match(start):
        raise InputError(f"'{path}' is a pointer of Git LFS, not the file itself; fetch that with `git lfs pull`.")
    if _WEB_PAGE.match(start):
        raise InputError(f"'{path}' is a web page, not the file itself; download it again.")


def inside(folder: str | Path, name: str) -> Path:
    """The regular file that `name`, found in a file of `folder`, means: below `folder`, with links followed.

    Raises:
        InputError: the name is absolute or leaves the folder, or no regular file is there.
    """
    if not isinstance(name, str) or not name or "\0" in name or "\\" in name or _SCHEME.match(name):
        raise InputError(f"it refers to {str(name)[:200]!r}, but only files beside it may be read")
    folder = Path(folder)
    try:
        # Some systems store letters with their accents, others apart from them.
        spellings = [folder / spelled for spelled in (name, *(normalize(form, name) for form in ("NFC", "NFD")))]
        path = next((spelled for spelled in spellings if spelled.exists()), spellings[0])
        if Path(name).is_absolute() or not path.resolve().is_relative_to(_root(folder)):
            raise InputError(f"it refers to '{name}' outside its own folder, which is not read")
        if not path.exists():
            raise InputError(f"it refers to '{name}', which is not there")
        if not path.is_file():
            raise InputError(f"it refers to '{name}', which is no regular file")
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"it refers to {name[:200]!r}, which is no name of a file") from error
    return path


def _root(folder: Path) -> Path:
    """The folder that links may not leave; snapshots in the hub's cache are links to the blobs beside them."""
    folder = folder.resolve()
    for parent in (folder, *folder.parents):
        if parent.parent.name == "snapshots" and (parent.parent.parent / "blobs").is_dir():
            return parent.parent.parent
    return folder


def text_of(content: bytes) -> str:
    """UTF-8 text, with or without a byte order mark; what its objects may take is spent.

    Raises:
        UnicodeDecodeError: it is something else.
    """
    spend(_OBJECTS_PER_BYTE * len(content), "its text")
    return content.decode("utf-8-sig")


def name_of(name: str | bytes) -> str:
    """A file's name as text; bytes that are no UTF-8, as old zip files and programs have them, are Western European."""
    content = os.fsencode(name)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def json_value(content: bytes | str, kind: type[T]) -> T:
    """JSON as a value of `kind`: a dataclass, or any type whose parts are types; every part is checked.

    Keys that a dataclass does not have are ignored. NaN and infinity are no JSON and are refused.

    Raises:
        ValueError: it is no JSON, or something in it is of another type or out of bounds.
    """
    import pydantic_core

    text = text_of(content) if isinstance(content, bytes) else content
    pydantic_core.from_json(text, allow_inf_nan=False)
    return cast(T, _adapter(cast(Hashable, kind)).validate_json(text, strict=True))


def read_json(path: str | Path, kind: type[T], *, max_bytes: int = MAX_BYTES) -> T:
    """The JSON file at `path` as a value of `kind`; see `json_value`."""
    return json_value(read_file(path, max_bytes=max_bytes), kind)


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file of at most a megabyte."""
    return tomllib.loads(text_of(read_file(path, max_bytes=_MAX_SETTINGS_BYTES)))


def checked(value: object, kind: type[T]) -> T:
    """A value parsed elsewhere (TOML, YAML, metadata) as a value of `kind`; lists serve as tuples.

    Raises:
        ValueError: something in it is of another type or out of bounds.
    """
    import pydantic_core

    return cast(T, _adapter(cast(Hashable, kind)).validate_json(pydantic_core.to_json(value), strict=True))


@functools.cache
def _adapter(kind: Hashable) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(cast(Any, kind))


def reason_of(error: BaseException) -> str:
    """One line for people about an error of a library."""
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, KeyError):
        return f"{str(error)[:200]} is missing"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    problems = getattr(error, "errors", None)
    if callable(problems):  # of the validator
        first = problems()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        return f"{place}: {message}" if place else message
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200] or type(error).__name__
