"""Tar shards in WebDataset's form, byte for byte reproducible, with an index that tells a whole shard from a cut one.

A sample is a run of members `KEY.NAME`; times, owners and modes are fixed, so equal samples give equal bytes. Beside
each `shard-00000.tar` lies `shard-00000.json` with its length, SHA-256 and the offset of every member; it is written
last, so a shard without a matching index is unfinished and is made again.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Le

from scenewright.errors import InputError
from scenewright.files import read_json, reading
from scenewright.io.atomic import write_together

__all__ = ["Sample", "ShardReader", "is_whole", "remove_shards", "shard_paths", "write_shard"]


Offset = Annotated[int, Ge(0), Le(1 << 50)]


@dataclass(frozen=True)
class Sample:
    """One scene: a key without dots and its files by name (`rgb.jpg`, `scene.json`, ...)."""

    key: str
    files: Mapping[str, bytes]


def shard_paths(folder: str | Path, number: int) -> tuple[Path, Path]:
    """The tar and the index of a shard."""
    stem = Path(folder) / f"shard-{number:05d}"
    return stem.with_suffix(".tar"), stem.with_suffix(".json")


def remove_shards(folder: str | Path) -> None:
    """Takes all shards away; other files in the folder stay."""
    for path in Path(folder).glob("shard-*"):
        if path.suffix in (".tar", ".json") and path.stem.removeprefix("shard-").isdigit():
            path.unlink(missing_ok=True)


def write_shard(folder: str | Path, number: int, samples: Sequence[Sample]) -> Path:
    """Write a shard and then its index, each whole or not at all; returns the tar's path.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    tar_path, index_path = shard_paths(folder, number)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for sample in samples:
            for name in sorted(sample.files):
                info = tarfile.TarInfo(f"{sample.key}.{name}")
                info.size, info.mode = len(sample.files[name]), 0o644
                archive.addfile(info, io.BytesIO(sample.files[name]))
    content = buffer.getvalue()
    index = {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "samples": _offsets(content),
    }
    with write_together(tar_path, index_path) as (tar, facts):
        tar.write_bytes(content)
        facts.write_bytes(json.dumps(index, indent=0, sort_keys=True).encode())
    return tar_path


def _offsets(content: bytes) -> dict[str, dict[str, list[int]]]:
    """[offset, size] of each member's data, by key and name."""
    offsets: dict[str, dict[str, list[int]]] = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for info in archive:
            key, _, name = info.name.partition(".")
            offsets.setdefault(key, {})[name] = [info.offset_data, info.size]
    return offsets


def is_whole(folder: str | Path, number: int) -> bool:
    """Whether a shard and its index are there and agree."""
    tar_path, _ = shard_paths(folder, number)
    try:
        index = _read_index(tar_path)
        if tar_path.stat().st_size != index.bytes:
            return False
        with tar_path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == index.sha256
    except (OSError, InputError):
        return False


@dataclass(frozen=True)
class _Index:
    """`samples` holds [offset, size] of each member's data, by key and name."""

    bytes: Offset
    samples: dict[str, dict[str, tuple[Offset, Offset]]]
    sha256: str = ""


def _read_index(tar_path: Path) -> _Index:
    with reading(tar_path.with_suffix(".json"), "the index of a shard", "make the shard again to finish it"):
        index = read_json(tar_path.with_suffix(".json"), _Index)
        for offsets in index.samples.values():
            if any(offset + size > index.bytes for offset, size in offsets.values()):
                raise ValueError("a member lies beyond the end of the shard")
            if sum(size for _, size in offsets.values()) > index.bytes:
                raise ValueError("the members of a sample are larger than the shard")
        return index


class ShardReader:
    """Random access to the samples of a folder of shards, without unpacking.

    Raises:
        InputError: there is no shard, one lacks its index or has another length than its index says, or two hold a
            sample of the same key.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._offsets: dict[str, tuple[Path, dict[str, tuple[int, int]]]] = {}
        tars = sorted(self.folder.glob("shard-*.tar"))
        if not tars:
            raise InputError(f"Expected shards (shard-00000.tar, ...) in '{self.folder}', found none; make them first.")
        for tar_path in tars:
            index = _read_index(tar_path)
            expected = index.bytes
            if tar_path.stat().st_size != expected:
                raise InputError(
                    f"Shard '{tar_path}' has {tar_path.stat().st_size:,} bytes instead of {expected:,}: it was cut "
                    "off. Run the same command again to finish it."
                )
            for key, offsets in index.samples.items():
                if key in self._offsets:
                    raise InputError(
                        f"Shards '{self._offsets[key][0]}' and '{tar_path.name}' both hold a sample '{key}', so one "
                        "would never be read; make them again under different keys."
                    )
                self._offsets[key] = (tar_path, offsets)
        self.keys = tuple(sorted(self._offsets))

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Sample]:
        return (self[key] for key in self.keys)

    def __getitem__(self, key: str) -> Sample:
        path, offsets = self._offsets[key]
        with reading(path, "a shard", "make it again"), path.open("rb") as file:
            files = {}
            for name, (offset, size) in offsets.items():
                file.seek(offset)
                files[name] = file.read(size)
        return Sample(key, files)
