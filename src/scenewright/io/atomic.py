"""Files appear whole or not at all: write under a temporary name in the same folder, then rename."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scenewright.errors import InputError

__all__ = ["atomic_path", "write_bytes"]


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, with the same suffix; it replaces `path` when the block ends without an error.

    Raises:
        InputError: the folder does not exist, cannot be written, or `path` is a folder.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"Cannot write '{path}': the folder '{path.parent}' does not exist; create it first.")
    if path.is_dir():
        raise InputError(f"Cannot write '{path}': it is a folder; give a file name.")
    temporary = path.with_name(f".{path.stem[:64]}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"Cannot write '{path}': {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes | bytearray | memoryview) -> Path:
    """Write `content` to `path` atomically; returns the path.

    Raises:
        InputError: the folder does not exist or cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)
