"""Model packs on disk, and the library that training draws from.

A pack is a zip or a folder with `index.csv`, `ATTRIBUTION.csv` and `glb/<id>.glb` (y up, metres, canonical).
`ModelPack` reads any model; `TrainingLibrary` hands out `TrainingAsset`s and nothing else (see `held_out.py`).
"""

import csv
import io
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scenewright.data.asset import Asset, Credit, canonical_parts
from scenewright.data.held_out import HeldOutError, TrainingAsset, held_out_registry
from scenewright.data.model_files import read_model
from scenewright.data.parametric.families import FAMILIES
from scenewright.errors import InputError

__all__ = ["ModelPack", "ModelRow", "TrainingLibrary"]

_CACHE_SIZE = 512


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
        if not self.path.exists():
            raise InputError(f"Model pack '{self.path}' does not exist; give a pack's zip file or folder.")
        try:
            index = list(csv.DictReader(io.StringIO(self.read_bytes("index.csv").decode("utf-8"))))
            credits = {row["id"]: row for row in csv.DictReader(io.StringIO(self._optional("ATTRIBUTION.csv")))}
            self.rows = {row["id"]: _row(row, credits.get(row["id"], {})) for row in index}
        except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
            raise InputError(f"'{self.path}' is not a model pack (zip or folder with index.csv): {error}.") from error

    def read_bytes(self, name: str) -> bytes:
        """Content of one file of the pack."""
        if self.path.is_dir():
            return (self.path / name).read_bytes()
        with zipfile.ZipFile(self.path) as archive:
            return archive.read(name)

    def _optional(self, name: str) -> str:
        try:
            return self.read_bytes(name).decode("utf-8")
        except (KeyError, FileNotFoundError):
            return ""

    def read(self, model_id: str) -> Asset:
        """A model in the canonical frame, whatever its split; not for training.

        Raises:
            InputError: the pack has no such model, or its file is damaged.
        """
        return self._asset(model_id, self._content(model_id))

    def _content(self, model_id: str) -> bytes:
        if model_id not in self.rows:
            raise InputError(f"Model pack '{self.path}' has no model '{model_id}'; its index.csv lists what there is.")
        try:
            return self.read_bytes(f"glb/{model_id}.glb")
        except (KeyError, OSError, zipfile.BadZipFile) as error:
            raise InputError(f"Cannot read model '{model_id}' of pack '{self.path}': {error}.") from error

    def _asset(self, model_id: str, content: bytes) -> Asset:
        row = self.rows[model_id]
        parts, flags = read_model(f"{model_id}.glb", {f"{model_id}.glb": content})
        return Asset(model_id, row.name, row.category, canonical_parts(parts), row.credit, row.flags | flags)


def _row(row: dict[str, str], credit: dict[str, str]) -> ModelRow:
    def number(key: str) -> float:
        return float(row.get(key) or 0.0)

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


class TrainingLibrary:
    """All models that may be trained on: the training split of the given packs, and our own parametric families.

    Scene generators take this type. It filters by split when it is built, and every model passes the held-out check
    when it is read.
    """

    def __init__(self, packs: Sequence[str | Path] = (), *, families: Sequence[str] | None = None) -> None:
        """
        Args:
            packs: model packs; rows of other splits are not even listed.
            families: parametric families to draw from (default: all).

        Raises:
            HeldOutError: an index claims a held-out model for training.
            InputError: a pack cannot be read, or a family is unknown.
        """
        self._packs: dict[str, ModelPack] = {}
        self.rows: dict[str, ModelRow] = {}
        self.families = tuple(sorted(FAMILIES) if families is None else families)
        unknown = set(self.families) - set(FAMILIES)
        if unknown:
            raise InputError(
                f"Expected families among {', '.join(sorted(FAMILIES))}, got {', '.join(sorted(unknown))}."
            )
        held_out = set(held_out_registry().ids)
        for path in packs:
            pack = ModelPack(path)
            for row in pack.rows.values():
                if row.split != "train":
                    continue
                if row.id in held_out:
                    raise HeldOutError(
                        f"The index of '{path}' claims held-out model '{row.id}' for training; restore it."
                    )
                self._packs[row.id] = pack
                self.rows[row.id] = row
        self._cache: OrderedDict[str, TrainingAsset] = OrderedDict()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, model_id: str) -> TrainingAsset:
        """A model of the packs by id.

        Raises:
            HeldOutError: the model is, or copies, a held-out one.
            InputError: there is no such training model, or its file is damaged.
        """
        if model_id in self._cache:
            self._cache.move_to_end(model_id)
            return self._cache[model_id]
        if model_id not in self.rows:
            held = " It is held out for evaluation." if model_id in held_out_registry().ids else ""
            raise (HeldOutError if held else InputError)(f"The training library has no model '{model_id}'.{held}")
        pack, row = self._packs[model_id], self.rows[model_id]
        content = pack._content(model_id)
        asset = TrainingAsset.admit(pack._asset(model_id, content), content=content, aliases=(row.raw_id,))
        self._cache[model_id] = asset
        if len(self._cache) > _CACHE_SIZE:
            self._cache.popitem(last=False)
        return asset

    def admissible(self, progress: Callable[[int, int], None] | None = None) -> Iterator[TrainingAsset]:
        """Every model that can be read and passes the check, in the order of ids; the others are left out."""
        ids = sorted(self.rows)
        for number, model_id in enumerate(ids, 1):
            try:
                yield self[model_id]
            except InputError:
                continue
            finally:
                if progress is not None:
                    progress(number, len(ids))

    def random_parametric(self, rng: np.random.Generator, families: Sequence[str] | None = None) -> TrainingAsset:
        """A new member of one of the families."""
        names = self.families if families is None else tuple(name for name in families if name in self.families)
        if not names:
            raise InputError(f"None of the families {families} is in this library ({', '.join(self.families)}).")
        return TrainingAsset.parametric(names[int(rng.integers(len(names)))], int(rng.integers(2**31)))
