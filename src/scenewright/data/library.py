"""The library that training draws from: the training split of model packs or compact packs, and our own families.

`TrainingLibrary` hands out `TrainingAsset`s and nothing else (see `held_out.py`).
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from scenewright.data.compact_pack import CompactPack
from scenewright.data.held_out import HeldOutError, TrainingAsset, held_out_registry
from scenewright.data.model_pack import ModelPack, ModelRow
from scenewright.data.parametric.families import FAMILIES
from scenewright.errors import InputError
from scenewright.progress import Advance, ignore

__all__ = ["ModelPack", "ModelRow", "TrainingLibrary"]

_CACHE_SIZE = 512


class TrainingLibrary:
    """All models that may be trained on: the training split of the given packs, and our own parametric families.

    Scene generators take this type. It filters by split when it is built, and every model passes the held-out check
    when it is read.
    """

    def __init__(self, packs: Sequence[str | Path] = (), *, families: Sequence[str] | None = None) -> None:
        """
        Args:
            packs: model packs (zip or folder) or compact packs (.tar); rows of other splits are not even listed.
            families: parametric families to draw from (default: all).

        Raises:
            HeldOutError: an index claims a held-out model for training.
            InputError: a pack cannot be read, or a family is unknown.
        """
        self._packs: dict[str, ModelPack | CompactPack] = {}
        self.rows: dict[str, ModelRow] = {}
        self.families = tuple(sorted(FAMILIES) if families is None else families)
        unknown = set(self.families) - set(FAMILIES)
        if unknown:
            raise InputError(
                f"Expected families among {', '.join(sorted(FAMILIES))}, got {', '.join(sorted(unknown))}."
            )
        held_out = set(held_out_registry().ids)
        for path in packs:
            pack = CompactPack(path) if Path(path).suffix == ".tar" else ModelPack(path)
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
        if isinstance(pack, CompactPack):
            asset = pack[model_id]
        else:
            content = pack.content(model_id)
            asset = TrainingAsset.admit(pack.parse(model_id, content), content=content, aliases=(row.raw_id,))
        self._cache[model_id] = asset
        if len(self._cache) > _CACHE_SIZE:
            self._cache.popitem(last=False)
        return asset

    def by_pack(self, ids: Iterable[str]) -> list[list[str]]:
        """The ids sorted, those of each pack in a list of their own."""
        packs: dict[int, list[str]] = {}
        for model_id in sorted(ids):
            packs.setdefault(id(self._packs[model_id]), []).append(model_id)
        return list(packs.values())

    def origin(self, model_id: str) -> str:
        """SHA-256 of a model's file, or of the file that its compact copy was made from."""
        pack = self._packs[model_id]
        if isinstance(pack, CompactPack):
            return str(pack.index[model_id].origin_sha256)
        return hashlib.sha256(pack.content(model_id)).hexdigest()

    def admissible(self, progress: Advance = ignore) -> Iterator[TrainingAsset]:
        """Every model that can be read and passes the check, in the order of ids; the others are left out."""
        ids = sorted(self.rows)
        for number, model_id in enumerate(ids, 1):
            try:
                yield self[model_id]
            except InputError:
                continue
            finally:
                progress(number, len(ids))

    def random_parametric(self, rng: np.random.Generator, families: Sequence[str] | None = None) -> TrainingAsset:
        """A new member of one of the families."""
        names = self.families if families is None else tuple(name for name in families if name in self.families)
        if not names:
            raise InputError(f"None of the families {families} is in this library ({', '.join(self.families)}).")
        return TrainingAsset.parametric(names[int(rng.integers(len(names)))], int(rng.integers(2**31)))
