"""Model packs: a zip or folder with `index.csv`, `ATTRIBUTION.csv` and `glb/<id>.glb` (y up, metres, canonical).

Two kinds of index are read: that of a catalogue (`category` is its room, `catalogue_elevation_m` the height it hangs a
model at) and that of procedural objects (`factory` and `seed` made the object, `category` is its kind; credits stand in
the index). Rows of both are `ModelRow`s of the same words.

`ModelPack` reads a model of any split; it is not for training (see `library.py`).
"""

import csv
import io
import os
import zipfile
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenewright.data.asset import Asset, Credit, canonical_parts
from scenewright.data.model_files import read_model
from scenewright.errors import InputError
from scenewright.files import allow_also, inside, read_file, reading, text_of
from scenewright.io.archives import open_zip, zip_member

__all__ = ["ModelPack", "ModelRow"]

# Kinds of procedural objects that hang on walls and ceilings, and about how high; all others stand on the floor or on
# furniture, as their sizes say.
_HUNG_AT_M = {
    "bathroom hardware": 1.5,
    "ceiling lamp": 2.2,
    "mirror": 1.5,
    "range hood": 1.7,
    "tap": 1.5,
    "towel": 1.5,
    "wall art": 1.5,
    "wall shelf": 1.5,
}
_PROCEDURAL_ROOM = "Miscellaneous"


@dataclass(frozen=True)
class ModelRow:
    """One line of a pack's index. `elevation_m` is the height at which the catalogue hangs the model."""

    id: str
    raw_id: str
    name: str
    category: str
    split: str
    size_m: tuple[float, float, float]
    elevation_m: float
    is_door_or_window: bool
    flags: frozenset[str]
    credit: Credit


class ModelPack:
    """Reads models of any split from a pack; opening it reads only the index."""

    def __init__(self, path: str | Path) -> None:
        """
        Raises:
            InputError: there is no pack at `path`, or its index cannot be read.
        """
        self.path = Path(path)
        self._archive: zipfile.ZipFile | None = None
        self._process = 0
        if not self.path.exists():
            raise InputError(f"Model pack '{self.path}' does not exist; give a pack's zip file or folder.")
        with self._reading():
            index = list(csv.DictReader(io.StringIO(text_of(self.read_bytes("index.csv")))))
            credits = {row["id"]: row for row in csv.DictReader(io.StringIO(self._optional("ATTRIBUTION.csv")))}
            self.rows = {row["id"]: _row(row, credits.get(row["id"], {})) for row in index}

    def _reading(self) -> AbstractContextManager[None]:
        """The border around what is read at once; a member may take what its archive may."""
        size = 0 if self.path.is_dir() else self.path.stat().st_size
        return reading(self.path, "a model pack (zip or folder with index.csv)", "download it again", size=size)

    def read_bytes(self, name: str) -> bytes:
        """Content of one file of the pack."""
        if self.path.is_dir():
            return read_file(inside(self.path, name))
        # One open archive a process: a forked worker must not share its parent's position in the file.
        if self._archive is None or self._process != os.getpid():
            self._archive, self._process = open_zip(self.path), os.getpid()
        return zip_member(self._archive, name)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_archive": None}

    def _optional(self, name: str) -> str:
        try:
            return text_of(self.read_bytes(name))
        except KeyError:
            return ""
        except InputError:
            if (self.path / name).exists():
                raise
            return ""

    def read(self, model_id: str) -> Asset:
        """A model in the canonical frame, whatever its split; not for training.

        Raises:
            InputError: the pack has no such model, or its file is damaged.
        """
        return self.parse(model_id, self.content(model_id))

    def content(self, model_id: str) -> bytes:
        """A model's file.

        Raises:
            InputError: the pack has no such model, or cannot be read.
        """
        if model_id not in self.rows:
            raise InputError(f"Model pack '{self.path}' has no model '{model_id}'; its index.csv lists what there is.")
        with self._reading():
            return self.read_bytes(f"glb/{model_id}.glb")

    def parse(self, model_id: str, content: bytes) -> Asset:
        """The model in a file's content, in the canonical frame, with its facts from the index."""
        row = self.rows[model_id]
        with self._reading():
            allow_also(len(content) if self.path.is_dir() else 0)
            parts, flags = read_model(f"{model_id}.glb", {f"{model_id}.glb": content})
            return Asset(model_id, row.name, row.category, canonical_parts(parts), row.credit, row.flags | flags)


def _row(row: dict[str, str], credit: dict[str, str]) -> ModelRow:
    def number(key: str) -> float:
        return float(row.get(key) or 0.0)

    if "factory" in row:
        row, credit = _as_catalogue(row), {**_procedural_credit(row), **credit}
    source = {**row, **credit}
    return ModelRow(
        id=row["id"],
        raw_id=row.get("raw_id") or row["id"],
        name=row.get("name") or row["id"],
        category=row.get("category") or "",
        split=row.get("split") or "",
        size_m=(number("width_m"), number("depth_m"), number("height_m")),
        elevation_m=number("catalogue_elevation_m"),
        is_door_or_window=row.get("door_or_window") == "1",
        flags=frozenset((row.get("flags") or "").split()),
        credit=Credit(**{name: source.get(name) or "" for name in Credit.__dataclass_fields__}),
    )


def _as_catalogue(row: dict[str, str]) -> dict[str, str]:
    """A row of a procedural index in the catalogue's words.

    The seed is part of the name: thousands of objects are a chair, and none is a copy of a model of that name.
    """
    kind = row["category"]
    return {
        **row,
        "name": f"{kind} {row['seed']}",
        "category": _PROCEDURAL_ROOM,
        "catalogue_elevation_m": str(_HUNG_AT_M.get(kind, 0.0)),
        "door_or_window": str(int(kind in ("door", "window"))),
    }


def _procedural_credit(row: dict[str, str]) -> dict[str, str]:
    return {
        "creator": f"infinigen, {row['factory']}, seed {row['seed']}",
        "licence": row.get("licence") or "",
        "original_url": "https://github.com/princeton-vl/infinigen",
    }
