"""Tokens that let clients in, from a file that is read again when it changes.

    # one client a line: its name, and a secret of at least 32 characters (openssl rand -hex 32)
    studio  6e0f...
    farm    91b2...

A token that is taken out of the file is refused from the next request on. Without a readable file nobody is let in.
"""

import hashlib
import os
import re
import stat
import threading
from pathlib import Path

from scenewright.errors import InputError

__all__ = ["Tokens"]

_SHORTEST = 32
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST_BYTES = 1 << 20


class Tokens:
    """The clients of a file of tokens.

    Raises:
        InputError: the file cannot be read, others may read it, or a line has another form.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._stamp = self._stamp_now()
        self._owners = _read(path)

    def owner_of(self, token: str) -> str | None:
        """The name of the client with this token; None where there is none."""
        with self._lock:
            if (stamp := self._stamp_now()) != self._stamp:
                try:
                    self._owners = _read(self._path)
                except InputError:
                    self._owners = {}
                self._stamp = stamp
            # Digests are compared, whose bytes say nothing about how much of a guess was right.
            return self._owners.get(_digest(token))

    def _stamp_now(self) -> tuple[int, int, int] | None:
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _read(path: Path) -> dict[bytes, str]:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # a pipe has nothing to say when it is read again
            raise InputError(f"The tokens in '{path}' cannot be read: it is no regular file; write them in one.")
        if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
            raise InputError(f"Others may read the tokens in '{path}'; run: chmod 600 '{path}'.")
        if status.st_size > _MOST_BYTES:
            raise InputError(f"'{path}' has {status.st_size:,} bytes, too many for a file of tokens.")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"The tokens in '{path}' cannot be read: {getattr(error, 'strerror', None) or error}."
        ) from error
    owners: dict[bytes, str] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or not _NAME.fullmatch(words[0]) or len(words[1]) < _SHORTEST:
            raise InputError(
                f"Line {number} of '{path}' is no token; write a name and a secret of at least {_SHORTEST} characters."
            )
        if owners.setdefault(_digest(words[1]), words[0]) != words[0]:
            raise InputError(f"Line {number} of '{path}' has the secret of another client; give each one its own.")
    if not owners:
        raise InputError(f"'{path}' holds no token; write lines of a name and a secret.")
    return owners
