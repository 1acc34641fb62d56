"""The split as law: what may never be trained on, and the only type that training code accepts.

`held_out.npz` ships with the package. For every validation and test model of the furniture pack (the public and hidden
test scenes are made of test models only) it keeps the id, the catalogue's own id, name and size, the hash of the file
and the shape's fingerprint. A `TrainingAsset` cannot be made from a model that matches any of them, whatever its file,
name, unit or quarter turn, so code that takes `TrainingAsset` cannot be fed a held-out model by mistake.
"""

import hashlib
import re
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

import numpy as np
from jaxtyping import Bool, Float

from scenewright.data.asset import Asset, canonical_parts, merged_geometry
from scenewright.data.fingerprint import FINGERPRINT_SIDE, fingerprint, quarter_turns
from scenewright.data.parametric.families import make_object
from scenewright.data.stretching import Stretching
from scenewright.errors import InputError
from scenewright.files import json_value
from scenewright.io.archives import npz_arrays

__all__ = ["HeldOutError", "HeldOutRegistry", "TrainingAsset", "held_out_registry", "simple_name"]

# Measured on the pack: these limits refuse 4 of its 696 training models and every re-scaled or turned copy tried.
_LIKE_SHAPE = (0.9, 0.05)
_LIKE_SHAPE_SAME_SIZE = (0.85, 0.02)


class HeldOutError(InputError):
    """A validation or test model, or a copy of one, was about to be used for training."""


def simple_name(name: str) -> str:
    """An id or name without library prefix, case and punctuation: 'Scopia#Black-Table' and 'sc_black-table' agree."""
    stem = re.sub(r"^(kl|sc|b0|bb|rl|re)_", "", name.split("#")[-1].strip().lower())
    return re.sub(r"[^a-z0-9]+", "", stem)


@dataclass(frozen=True)
class HeldOutRegistry:
    """Everything known about the held-out models, one row each; `cleared` are hashes of files found to be innocent."""

    ids: tuple[str, ...]
    names: tuple[frozenset[str], ...]
    sizes_m: Float[np.ndarray, "N 3"]
    shapes: Bool[np.ndarray, "N cells"]
    hashes: frozenset[str]
    cleared: frozenset[str]

    def reason(
        self, asset: Asset, content: bytes | None = None, aliases: tuple[str, ...] = (), origin: str = ""
    ) -> str | None:
        """Why an asset may not be trained on, or None.

        Args:
            asset: the model in its canonical frame.
            content: its file, when there is one; spares known pack files the comparison of shapes.
            aliases: other ids the model goes by.
            origin: SHA-256 of the file that a simplified copy was made from. A known training file's copy is spared
                the comparison of names, which several models share, but not that of shapes.
        """
        if asset.id in self.ids:
            return "is a held-out model of the furniture pack"
        digest = hashlib.sha256(content).hexdigest() if content is not None else ""
        if digest in self.hashes:
            return "is the file of a held-out model"
        if digest in self.cleared:
            return None
        size = np.array(asset.size_m)
        known = {simple_name(text) for text in (asset.id, asset.name, *aliases)} - {""}
        for row, names in enumerate(self.names if origin not in self.cleared else ()):
            if known & names and _log_ratio(size, self.sizes_m[row]) < 0.1:
                return f"has the name and the size of held-out model '{self.ids[row]}'"
        return self._shape_reason(asset, size)

    def _shape_reason(self, asset: Asset, size: np.ndarray) -> str | None:
        # Proportions are cheap to compare and rule out nearly every row; shapes are compared for the rest.
        near: list[tuple[int, list[int]]] = []
        for is_turned in (0, 1):
            extent = size[[1, 0, 2]] if is_turned else size
            ratios = _log_ratios(extent / extent.max(), self.sizes_m / self.sizes_m.max(1, keepdims=True))
            is_near = (ratios < _LIKE_SHAPE[1]) | (_log_ratios(extent, self.sizes_m) < _LIKE_SHAPE_SAME_SIZE[1])
            near.append((is_turned, np.nonzero(is_near)[0].tolist()))
        if not any(rows for _, rows in near):
            return None
        turns = quarter_turns(fingerprint(*merged_geometry(asset.parts))).reshape(8, -1)
        for is_turned, rows in near:
            extent = size[[1, 0, 2]] if is_turned else size
            for row in rows:
                shape, other = self.shapes[row], self.sizes_m[row]
                own = turns[is_turned::2]
                likeness = float(((own & shape).sum(1) / np.sqrt(np.maximum(own.sum(1) * shape.sum(), 1))).max())
                proportions = float(_log_ratios(extent / extent.max(), other[None] / other.max())[0])
                is_copy = likeness > _LIKE_SHAPE[0] and proportions < _LIKE_SHAPE[1]
                has_same_size = float(_log_ratios(extent, other[None])[0]) < _LIKE_SHAPE_SAME_SIZE[1]
                if is_copy or (likeness > _LIKE_SHAPE_SAME_SIZE[0] and has_same_size):
                    return f"has the shape of held-out model '{self.ids[row]}'"
        return None


def _log_ratios(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Largest absolute log ratio over the axes, per row of b."""
    ratios: np.ndarray = np.abs(np.log((a + 1e-4) / (b + 1e-4))).max(1)
    return ratios


def _log_ratio(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(np.log((a + 1e-4) / (b + 1e-4))).max())


@cache
def held_out_registry() -> HeldOutRegistry:
    """The registry that ships with the package."""
    table = npz_arrays(files("scenewright.data").joinpath("held_out.npz").read_bytes())
    text = json_value(bytes(table["text"]), dict)
    return HeldOutRegistry(
        ids=tuple(text["ids"]),
        names=tuple(frozenset(names) for names in text["names"]),
        sizes_m=table["sizes_m"].astype(np.float64),
        shapes=np.unpackbits(table["shapes"], axis=1)[:, : FINGERPRINT_SIDE**3].astype(bool),
        hashes=frozenset(text["hashes"]),
        cleared=frozenset(text["cleared"]),
    )


_KEY = object()


class TrainingAsset:
    """An asset that has been checked against the registry. There is no way to one but `admit` and `parametric`."""

    __slots__ = ("_recipe", "asset")

    def __init__(self, asset: Asset, key: object, recipe: tuple[str, int] | None = None) -> None:
        if key is not _KEY:
            raise TypeError(
                "A TrainingAsset comes from TrainingAsset.admit, TrainingAsset.parametric or a TrainingLibrary."
            )
        self.asset = asset
        self._recipe = recipe

    @classmethod
    def admit(
        cls, asset: Asset, *, content: bytes | None = None, aliases: tuple[str, ...] = (), origin: str = ""
    ) -> "TrainingAsset":
        """The asset, allowed for training; arguments as for `HeldOutRegistry.reason`.

        Raises:
            HeldOutError: it is, or copies, a validation or test model.
        """
        reason = held_out_registry().reason(asset, content, aliases, origin)
        if reason is not None:
            raise HeldOutError(f"Model '{asset.id}' {reason}; it must never be trained on. Leave it out.")
        return cls(asset, _KEY)

    @classmethod
    def parametric(cls, family: str, seed: int) -> "TrainingAsset":
        """A member of one of our own families, which copies no model."""
        return cls(make_object(family, seed), _KEY, (family, seed))

    def stretched(self, stretching: Stretching) -> "TrainingAsset":
        """The asset with other proportions, checked anew.

        Raises:
            HeldOutError: so stretched, it copies a validation or test model.
        """
        return TrainingAsset.admit(replace(self.asset, parts=canonical_parts(stretching(self.asset.parts))))

    def __reduce__(self) -> tuple:
        # Workers receive assets by pickling, which must not become a way round the check.
        return (
            (TrainingAsset.admit, (self.asset,)) if self._recipe is None else (TrainingAsset.parametric, self._recipe)
        )
