"""Importers: furniture catalogues (`.sh3f`, Debian's sweethome3d-furniture) and folders or archives of models.

A catalogue is a zip or folder with `PluginFurnitureCatalog.properties`, whose numbered keys describe each model (sizes
in centimetres). Everything is read through `Files`, which opens nothing outside the archive and bounds what it reads.
Source: Sweet Home 3D furniture library format. Frame: files y up, front +z; results canonical (z up, front -y, metres).
"""

import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from scenewright.data.asset import Asset, Credit, canonical_parts
from scenewright.data.model_files import MODEL_SUFFIXES, archive_path, read_model
from scenewright.errors import InputError
from scenewright.files import inside, read_file, reading, spend
from scenewright.io.archives import open_zip, zip_member
from scenewright.types import Mesh

__all__ = ["ArchiveFiles", "CatalogueEntry", "FolderFiles", "find_models", "parse_properties", "read_entry"]

PROPERTIES = "PluginFurnitureCatalog.properties"
_MAX_FILE_BYTES = 1 << 29
_MAX_FILES = 200_000
# What a table of properties takes beside its text.
_BYTES_PER_BYTE = 24
_LONGEST_LINE = 1 << 16


class ArchiveFiles(Mapping[str, bytes]):
    """The members of a zip as a mapping from safe paths to content; members that climb out are not there."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            InputError: the file is not a readable zip.
        """
        self.path = path
        self.refused: list[str] = []
        self._members: dict[str, zipfile.ZipInfo] = {}
        with self.reading():
            self._zip = open_zip(path)
            for info in self._zip.infolist()[:_MAX_FILES]:
                if info.filename.endswith("/"):
                    continue
                try:
                    self._members[archive_path("", info.filename)] = info
                except InputError:
                    self.refused.append(info.filename)

    def __getitem__(self, name: str) -> bytes:
        info = self._members[name]
        with self.reading():
            return zip_member(self._zip, info)

    def reading(self) -> AbstractContextManager[None]:
        """The border around everything that is read from this archive for one model."""
        size = self.path.stat().st_size if self.path.is_file() else 0
        return reading(self.path, "an archive of models", "download it again", size=size)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


class FolderFiles(Mapping[str, bytes]):
    """The files below a folder as a mapping from relative paths; links that lead out of the folder are not there."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            InputError: there is no such folder.
        """
        if not path.is_dir():
            raise InputError(f"Expected a folder of models, got '{path}', which is not one.")
        self.path = path

    @cached_property
    def _members(self) -> dict[str, Path]:
        """Listed only where it is asked for: a file may lie in a large folder."""
        root, found = self.path.resolve(), {}
        for entry in islice(sorted(self.path.rglob("*")), _MAX_FILES):
            if entry.is_file() and entry.resolve().is_relative_to(root):
                found[entry.relative_to(self.path).as_posix()] = entry
        return found

    def __getitem__(self, name: str) -> bytes:
        try:
            return read_file(inside(self.path, name), max_bytes=_MAX_FILE_BYTES)
        except InputError as error:
            if name in self:
                raise
            raise KeyError(name) from error

    def reading(self) -> AbstractContextManager[None]:
        """The border around everything that is read from this folder for one model."""
        return reading(self.path, "a folder of models", "download it again")

    def __contains__(self, name: object) -> bool:
        try:
            return inside(self.path, str(name)).is_file()
        except InputError:
            return False

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


Files = ArchiveFiles | FolderFiles


@dataclass(frozen=True)
class CatalogueEntry:
    """A model that can be read: where it lies and what a catalogue says about it (`size_m` is width, depth, height)."""

    id: str
    raw_id: str
    name: str
    category: str
    files: Files
    path: str
    credit: Credit
    size_m: tuple[float, float, float] | None = None
    rotation: tuple[float, ...] | None = None
    elevation_m: float = 0.0
    is_door_or_window: bool = False


def find_models(source: str | Path, *, credit: Credit | None = None) -> list[CatalogueEntry]:
    """Every model in a catalogue, an archive, or a folder of catalogues, archives and models.

    Args:
        source: `.sh3f`, `.zip`, `.glb`, `.gltf`, `.obj` or a folder.
        credit: who made models that no catalogue credits.

    Raises:
        InputError: nothing is there, or there is no model in it.
    """
    source = Path(source)
    if not source.exists():
        raise InputError(f"Cannot import '{source}': it does not exist.")
    credit = credit or Credit()
    if source.is_dir():
        files: Files = FolderFiles(source)
        entries = _models_of(files, source.name, credit)
        for name in files:
            if PurePosixPath(name).suffix.lower() in (".zip", ".sh3f"):
                entries += _models_of(ArchiveFiles(source / name), PurePosixPath(name).stem, credit)
    elif source.suffix.lower() in (".zip", ".sh3f"):
        entries = _models_of(ArchiveFiles(source), source.stem, credit)
    else:
        entries = []
        if source.suffix.lower() in MODEL_SUFFIXES:
            beside = FolderFiles(source.parent)
            entries = [CatalogueEntry(_slug(source.stem), source.name, source.stem, "", beside, source.name, credit)]
    if not entries:
        raise InputError(f"Expected models ({', '.join(MODEL_SUFFIXES)}) or a catalogue in '{source}', found none.")
    seen: dict[str, int] = {}
    unique = []
    for entry in entries:
        count = seen[entry.id] = seen.get(entry.id, 0) + 1
        unique.append(entry if count == 1 else replace(entry, id=f"{entry.id}-{count}"))
    return unique


def _models_of(files: Files, library: str, credit: Credit) -> list[CatalogueEntry]:
    catalogues = [name for name in files if PurePosixPath(name).name == PROPERTIES]
    entries = [e for name in catalogues for e in _catalogue_entries(files, name, library)]
    if catalogues:
        return entries
    models = [name for name in files if PurePosixPath(name).suffix.lower() in MODEL_SUFFIXES]
    return [
        CatalogueEntry(
            id=_slug(f"{library}-{PurePosixPath(name).with_suffix('')}" if len(models) > 1 else library),
            raw_id=name,
            name=PurePosixPath(name).stem,
            category="",
            files=files,
            path=name,
            credit=credit,
        )
        for name in models
    ]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "model"


def parse_properties(text: str) -> dict[str, str]:
    """The keys of a Java properties file: comments, continued lines, and unicode escapes are understood.

    Raises:
        InputError: a line is longer than 65,536 characters.
    """
    result = {}
    joined = re.sub(r"(?<!\\)((?:\\\\)*)\\\r?\n[ \t]*", r"\1", text)
    for line in joined.splitlines():
        line = line.lstrip()
        if not line or line[0] in "#!":
            continue
        if len(line) > _LONGEST_LINE:  # patterns remember every character of it
            raise InputError(f"a property of {len(line):,} characters is no property; save the library again")
        match = re.match(r"((?:\\.|[^=:\s\\])+)\s*[=:]?\s*(.*)", line)
        if match:
            result[_unescape(match[1])] = _unescape(match[2].rstrip())
    return result


def _unescape(text: str) -> str:
    def replaced(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) == 5 else {"t": "\t", "n": "\n", "r": "\r"}.get(code, code)

    return re.sub(r"\\(u[0-9a-fA-F]{4}|.)", replaced, text)


def _catalogue_entries(files: Files, name: str, library: str) -> list[CatalogueEntry]:
    # Properties files are Latin-1 with escapes by definition; newer catalogues are UTF-8.
    content = files[name]
    with files.reading():
        spend(_BYTES_PER_BYTE * len(content), f"'{name}'")
        try:
            properties = parse_properties(content.decode("utf-8"))
        except UnicodeDecodeError:
            properties = parse_properties(content.decode("latin-1"))
    folder = str(PurePosixPath(name).parent).strip(".")
    numbers = sorted({int(key.split("#")[1]) for key in properties if re.fullmatch(r"model#[0-9]{1,9}", key)})
    entries = []
    for number in numbers:

        def get(key: str, number: int = number) -> str:
            return properties.get(f"{key}#{number}", "").strip()

        raw_id = get("id") or f"{library}#{number}"
        size = tuple(_centimetres(get(key)) for key in ("width", "depth", "height"))
        rotation = _rotation(get("modelRotation"))
        entries.append(
            CatalogueEntry(
                id=_slug(raw_id),
                raw_id=raw_id,
                name=get("name") or raw_id,
                category=get("category"),
                files=files,
                path=f"{folder}/{get('model')}" if folder and not get("model").startswith("/") else get("model"),
                credit=Credit(creator=get("creator"), licence=get("license") or properties.get("license", "")),
                size_m=(size[0], size[1], size[2]) if all(value > 0 for value in size) else None,
                rotation=rotation,
                elevation_m=max(_centimetres(get("elevation")), 0.0),
                is_door_or_window=get("doorOrWindow").lower() == "true",
            )
        )
    return entries


def _rotation(text: str) -> tuple[float, ...] | None:
    """Nine finite numbers; None of anything else."""
    try:
        numbers = tuple(float(word) for word in text.split())
    except ValueError:
        return None
    return numbers if len(numbers) == 9 and all(map(math.isfinite, numbers)) else None


def _centimetres(text: str) -> float:
    try:
        length = float(text) / 100
    except ValueError:
        return 0.0
    return length if math.isfinite(length) else 0.0


def read_entry(entry: CatalogueEntry) -> Asset:
    """The model of an entry in the canonical frame, at the catalogue's size where it gives one.

    Raises:
        InputError: the model is missing, damaged, empty, too large, or refers outside its archive.
    """
    # A catalogue's paths start with "/", meaning the root of the archive.
    path = archive_path("", entry.path.lstrip("/"))
    if path not in entry.files:
        raise InputError(f"Model '{entry.id}' should be '{path}' in '{entry.files.path}', which has no such file.")
    with entry.files.reading():
        return _asset(entry, path)


def _asset(entry: CatalogueEntry, path: str) -> Asset:
    parts, flags = read_model(path, entry.files)
    if entry.rotation is not None:
        parts = tuple(_turned(part, entry.rotation) for part in parts)
    parts = canonical_parts(parts, entry.size_m)
    return Asset(entry.id, entry.name, entry.category, parts, entry.credit, flags)


def _turned(part: Mesh, rotation: tuple[float, ...]) -> Mesh:
    """A z-up part turned by a catalogue's rotation, which is given in the file's y-up frame."""
    to_z_up = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    turn = torch.from_numpy(to_z_up @ np.array(rotation).reshape(3, 3) @ to_z_up.T).float()
    normals = None if part.vertex_normals is None else part.vertex_normals @ turn.T
    return replace(part, vertices=part.vertices @ turn.T, vertex_normals=normals)
