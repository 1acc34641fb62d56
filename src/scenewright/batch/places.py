"""Where inputs come from and results go: a local folder, or one below a URL of a store that fsspec knows.

    roots = Roots(open_place("s3://bucket/photographs"))     what a manifest may name
    path = roots.fetch("kitchen.jpg", folder)                a local copy; a local file stays where it is
    results = open_place("gs://bucket/scenes")
    results.put(folder, ["scene.glb", "job.json"], "kitchen")   in this order: the note that vouches for all is last

A manifest may come from anybody, so it reads nothing but what lies below the roots that the user gave. Only stores of
files are opened: no web addresses, and no chained URLs, with which fsspec unpacks archives and runs other protocols.
"""

import io
import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from scenewright.errors import InputError
from scenewright.files import reason_of
from scenewright.io.atomic import make_folder, write_together

__all__ = ["PROTOCOLS", "Place", "Roots", "TransferError", "open_place"]

PROTOCOLS = ("file", "memory", "s3", "gs", "gcs", "abfs", "az", "hf")
"""The stores that are opened. `memory` is one of this process, for tests."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_MAX_FILES = 100_000


class TransferError(OSError):
    """A store did not answer, or refused; the same may succeed later."""


@dataclass(frozen=True)
class Place:
    """A folder: `url` as it is shown, without a slash at its end; `local` where it is one of this machine."""

    url: str
    local: Path | None = None

    @cached_property
    def _store(self) -> tuple[Any, str]:
        """The file system of the URL, and the folder's path in it."""
        from fsspec.core import url_to_fs

        try:
            store, path = url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise InputError(f"Cannot open '{self.url}': {str(error).splitlines()[0]}.") from error
        return store, path.rstrip("/")

    def read(self, name: str) -> bytes | None:
        """The content of a small file of the folder; None where it is not there.

        Raises:
            TransferError: the store does not answer.
        """
        if self.local is not None:
            path = self.local / name
            return path.read_bytes() if path.is_file() else None
        store, folder = self._store
        with _reported(f"{self.url}/{name}"):
            try:
                return bytes(store.cat_file(f"{folder}/{name}"))
            except FileNotFoundError:
                return None

    def lines(self, name: str, max_bytes: int) -> Iterator[bytes | None]:
        """The lines of a file, one by one; None for a line that is longer than `max_bytes`.

        Raises:
            InputError: it is not there.
            TransferError: the store does not answer.
        """
        with _reported(f"{self.url}/{name}"):
            if self.local is not None:
                file = (self.local / name).open("rb")
            else:
                store, folder = self._store
                # Files of fsspec itself read whole lines only, however long.
                file = io.BufferedReader(store.open(f"{folder}/{name}", "rb"))

        def line_of(size: int) -> bytes:
            with _reported(f"{self.url}/{name}"):
                return file.readline(size)

        with file:
            while line := line_of(max_bytes + 1):
                if len(line) <= max_bytes:
                    yield line
                    continue
                while line and not line.endswith(b"\n"):
                    line = line_of(max_bytes)
                yield None

    def remove(self, name: str) -> None:
        """Removes a file, where it is there.

        Raises:
            TransferError: the store does not answer.
        """
        store, folder = self._store
        with _reported(f"{self.url}/{name}"), suppress(FileNotFoundError):
            store.rm_file(f"{folder}/{name}")

    def write(self, name: str, content: bytes) -> None:
        """Writes a file of the folder, whole or not at all.

        Raises:
            InputError, TransferError: it cannot be written.
        """
        if self.local is not None:
            path = self.local / name
            make_folder(path.parent)
            with write_together(path) as (temporary,):
                temporary.write_bytes(content)
            return
        store, folder = self._store
        with _reported(f"{self.url}/{name}"):
            store.pipe_file(f"{folder}/{name}", content)

    def sizes(self, folder: str) -> dict[str, int]:
        """Sizes of all files below a folder of this place, by their names in it; empty where it is not there.

        Raises:
            InputError: there are too many.
            TransferError: the store does not answer.
        """
        store, root = self._store
        base = f"{root}/{folder}" if folder else root
        with _reported(f"{self.url}/{folder}"):
            store.invalidate_cache()
            try:
                found = store.find(base, detail=True)
            except FileNotFoundError:
                return {}
        if len(found) > _MAX_FILES:
            raise InputError(f"'{self.url}/{folder}' has more than the {_MAX_FILES:,} files that are read.")
        start = len(base.strip("/")) + 1
        return {name.strip("/")[start:]: int(facts["size"] or 0) for name, facts in found.items()}

    def get(self, name: str, target: Path) -> Path:
        """Copies a file, or a folder with all that is in it, to `target`; returns that.

        Raises:
            InputError: it is not there.
            TransferError: the store does not answer.
        """
        store, folder = self._store
        source = f"{folder}/{name}" if name else folder
        with _reported(f"{self.url}/{name}"):
            if store.isdir(source):
                for own in self.sizes(name):
                    path = _below(target, own)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    store.get_file(f"{source}/{own}", str(path))
            elif store.exists(source):
                target.parent.mkdir(parents=True, exist_ok=True)
                store.get_file(source, str(target))
            else:
                raise InputError(f"'{self.url}/{name}' does not exist; check the manifest.")
        return target

    def put(self, folder: Path, names: Sequence[str], target: str) -> None:
        """Copies files of a local folder to the folder `target` of this place, one after another.

        A store shows a file whole or not at all, so whoever finds the last one finds all.

        Raises:
            TransferError: the store does not answer.
        """
        store, root = self._store
        for name in names:
            with _reported(f"{self.url}/{target}/{name}"):
                path = f"{root}/{target}/{name}"
                store.makedirs(posixpath.dirname(path), exist_ok=True)
                store.put_file(str(folder / name), path)


@dataclass(frozen=True)
class Roots:
    """The places that a manifest may read: names relative to the first place, and anything below any of them."""

    places: tuple[Place, ...]

    def find(self, name: str) -> tuple[Place, str]:
        """The place that a name means, and its path there.

        Raises:
            InputError: it lies below none of the roots.
        """
        plain = name.replace("\\", "/")
        if not name or "\0" in name or "::" in name or ".." in unquote(plain).split("/"):
            raise InputError(f"The manifest names {name[:200]!r}, which is no path below the places that it may read.")
        if _URL.match(name):
            protocol = _protocol(name)
            url = name if protocol != "file" else name.removeprefix("file://")
            for place in self.places:
                if (place.local is not None) == (protocol == "file") and url.startswith(f"{place.url}/"):
                    return self._real(place, url.removeprefix(f"{place.url}/"))
        elif not os.path.isabs(name):
            return self._real(self.places[0], posixpath.normpath(plain))
        else:
            for place in self.places:
                if place.local is not None and Path(name).is_relative_to(place.local):
                    return self._real(place, Path(name).relative_to(place.local).as_posix())
        allowed = ", ".join(f"'{place.url}'" for place in self.places)
        raise InputError(
            f"The manifest names '{name[:200]}', which lies outside of {allowed}; allow its folder with --inputs."
        )

    def fetch(self, name: str, folder: Path) -> Path:
        """A local path of what the name means: the file or folder itself, or a copy in `folder` under its own name.

        Raises:
            InputError: it may not be read, or is not there.
            TransferError: its store does not answer.
        """
        place, path = self.find(name)
        if place.local is None:
            return place.get(path, folder / posixpath.basename(path))
        local = place.local / path
        try:
            is_there = local.exists()
        except OSError as error:  # its name is too long, say
            raise InputError(f"'{str(local)[:200]}' cannot be read: {reason_of(error)}.") from error
        if not is_there:
            raise InputError(f"'{local}' does not exist; check the manifest.")
        return local

    def _real(self, place: Place, path: str) -> tuple[Place, str]:
        """Links of a local place do not lead out of it, either."""
        if place.local is not None and not (place.local / path).resolve().is_relative_to(place.local.resolve()):
            raise InputError(f"The manifest names '{path[:200]}', a link that leads out of '{place.local}'.")
        return place, path


def open_place(text: str) -> Place:
    """The place of a local folder's path or a URL.

    Raises:
        InputError: its protocol is none of `PROTOCOLS`, or the URL is a chain of several.
    """
    if not _URL.match(text):
        local = Path(os.path.abspath(text))
        return Place(str(local), local)
    if "::" in text:
        raise InputError(f"'{text[:200]}' chains several protocols, which are not opened; give one plain URL.")
    if _protocol(text) == "file":
        local = Path(os.path.abspath(text.removeprefix("file://")))
        return Place(str(local), local)
    return Place(text.rstrip("/"))


def _protocol(url: str) -> str:
    match = _URL.match(url)
    assert match is not None
    if match[1] not in PROTOCOLS:
        raise InputError(f"'{url[:200]}' is in none of the stores that are opened: {', '.join(PROTOCOLS)}.")
    return match[1]


def _below(folder: Path, name: str) -> Path:
    """A path inside the folder: names in a store may be anything."""
    path = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts or "\\" in name:
        raise InputError(f"A file is called {name[:200]!r} in its store, which is no name to copy it to.")
    return path


@contextmanager
def _reported(what: str) -> Iterator[None]:
    """Errors of a store's library, which are of any kind, as errors that may pass."""
    try:
        yield
    except (InputError, TransferError):
        raise
    except FileNotFoundError as error:
        raise InputError(f"'{what}' does not exist; check the path.") from error
    except Exception as error:
        raise TransferError(
            f"'{what}': {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error
