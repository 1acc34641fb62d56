"""Notes of finished jobs beside what they made, so that an interrupted run goes on where it stopped."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenewright.errors import InputError
from scenewright.files import read_json, reading
from scenewright.io.atomic import make_folder, remove, write_bytes

__all__ = ["Store", "files_stamp", "key_of", "to_json"]


@dataclass(frozen=True)
class Store:
    """A folder with one note, `NAME.json`, for every finished job.

    A note is plain JSON data under a key, a fingerprint of all that the job's result depends on (`key_of`). It is
    written last and whole, so that what it speaks of is there and whole, too. Slashes of a name become folders.
    """

    folder: Path

    def read(self, name: str, key: str) -> dict[str, Any] | None:
        """The note of that name, or None where there is none, it has another key, or it tells of an "error"."""
        path = self.folder / f"{name}.json"
        try:
            with reading(path, "the note of a job", "it is made again"):
                content = read_json(path, dict)
                note = content["record"]
                return note if content["key"] == key and note.get("error") is None else None
        except InputError:
            return None

    def forget(self, name: str) -> None:
        """Marks a job as not done, before what its note speaks of is made anew."""
        remove(self.folder / f"{name}.json")

    def write(self, name: str, key: str, note: Mapping[str, Any]) -> None:
        """Marks a job as done."""
        path = self.folder / f"{name}.json"
        make_folder(path.parent)
        write_bytes(path, to_json({"key": key, "record": note}))


def key_of(**parts: Any) -> str:
    """A short fingerprint of everything that a result depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def files_stamp(*paths: Path | None) -> list[list[Any]]:
    """Name, size and time of files (a folder counts all files in it), for `key_of`."""
    stamps: list[list[Any]] = []
    for path in paths:
        if path is None or not path.exists():
            continue
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        stamps += [[str(f), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
    return stamps


def to_json(data: Any) -> bytes:
    """Indented JSON; numbers that JSON cannot hold become null."""
    return json.dumps(_plain(data), indent=1, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
