"""Which model goes where: rules that turn catalogue facts and families into floor, surface and wall pieces.

Catalogue models are sorted by their elevation, size and category; people, stairs, doors and windows are never used,
vehicles and gardens stay out of rooms, though bicycles and deck chairs stand on plain floors. Every pack has the same
share of what is drawn, however many models it has. Roles name what a room layout asks for ("bed", "seat", "table",
...); a role is filled from the catalogue or from a parametric family.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scenewright.data.held_out import TrainingAsset
from scenewright.data.library import ModelRow, TrainingLibrary
from scenewright.data.parametric.families import FAMILIES
from scenewright.data.stretching import Stretching
from scenewright.errors import InputError

__all__ = ["Selector", "role_of", "stand_of"]

_INDOOR = {"Living room", "Bedroom", "Office", "Kitchen", "Bathroom", "Lights", "Miscellaneous", ""}
_OUTDOOR = {"Exterior", "Vehicles"}
_MAX_OUTDOOR_M = 2.3
_ROLE_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("bed", ("bed", "crib", "bunk")),
    ("sofa", ("sofa", "couch", "armchair", "settee")),
    ("office_chair", ("office chair", "swivel", "desk chair")),
    ("chair", ("chair", "stool", "bench")),
    ("desk", ("desk", "work table")),
    ("table", ("table",)),
    ("cabinet", ("cabinet", "chest", "commode", "buffet", "sideboard", "drawer", "dresser", "tv stand")),
    ("shelf", ("bookcase", "shelf", "shelves", "rack")),
    ("wardrobe", ("wardrobe", "cupboard", "closet", "armoire")),
    ("rug", ("rug", "carpet", "mat")),
    ("floor_lamp", ("floor lamp", "floor uplight", "standard lamp")),
)


def stand_of(row: ModelRow) -> str:
    """The support of a catalogue model: "floor", "on" (furniture), "outdoors" (the ground there), or "none"."""
    longest, (width, depth, height) = max(row.size_m), row.size_m
    if row.is_door_or_window:
        return "none"
    if row.category in _OUTDOOR:
        is_piece = 0.3 <= longest <= _MAX_OUTDOOR_M and height > 0.15 and min(width, depth) > 0.1
        return "outdoors" if is_piece and row.elevation_m == 0 else "none"
    if row.category not in _INDOOR:
        return "none"
    if not 0.03 <= longest <= 3.2:
        return "none"
    if row.elevation_m > 0.3:
        is_small = longest < 0.5 and max(width, depth) < 0.45 and 0.6 <= row.elevation_m <= 1.2
        return "on" if is_small and height > 0.02 else "none"
    if longest < 0.5 and max(width, depth) < 0.45:
        return "on" if height > 0.02 else "none"
    return "floor"


def role_of(row: ModelRow) -> str | None:
    """The role a catalogue model plays in a room, by words of its name."""
    name = f" {row.name.lower()} "
    if "lamp" in name and stand_of(row) == "on":
        return "table_lamp"
    for role, words in _ROLE_WORDS:
        if any(word in name for word in words):
            return role
    return None


@dataclass(frozen=True)
class Selector:
    """Draws assets for a scene from a library; `parametric_share` of them are members of our own families.

    `stretch` and `slabs` are how much a model's width, depth and height and its inner proportions change (`whole` and
    `slabs` of `Stretching.drawn`).
    """

    library: TrainingLibrary
    parametric_share: float = 0.5
    stretch: float = 0.0
    slabs: float = 0.0

    @cached_property
    def _on_floor(self) -> list[list[str]]:
        return self._standing("floor", "outdoors")

    @cached_property
    def _on_furniture(self) -> list[list[str]]:
        return self._standing("on")

    @cached_property
    def _everything(self) -> list[list[str]]:
        return self.library.by_pack(self.library.rows)

    def _standing(self, *stands: str) -> list[list[str]]:
        return self.library.by_pack(row.id for row in self.library.rows.values() if stand_of(row) in stands)

    @cached_property
    def _by_role(self) -> dict[str, list[list[str]]]:
        table: dict[str, list[str]] = {}
        for row in self.library.rows.values():
            role = role_of(row)
            if role is not None and stand_of(row) in ("floor", "on"):
                table.setdefault(role, []).append(row.id)
        return {role: self.library.by_pack(ids) for role, ids in table.items()}

    def floor(self, rng: np.random.Generator) -> TrainingAsset:
        """Anything that stands on the floor or the ground, rugs apart."""
        families = [name for name, family in FAMILIES.items() if family.stands == "floor" and name != "rug"]
        return self._draw(rng, self._on_floor, families)

    def small(self, rng: np.random.Generator) -> TrainingAsset:
        """Anything that stands on furniture."""
        families = [name for name, family in FAMILIES.items() if family.stands == "on"]
        return self._draw(rng, self._on_furniture, families)

    @property
    def has_small(self) -> bool:
        """Whether anything stands on furniture; our own families count where a share of assets is theirs."""
        own = any(FAMILIES[name].stands == "on" for name in self.library.families)
        return bool(self._on_furniture) or (own and self.parametric_share > 0)

    def anything(self, rng: np.random.Generator) -> TrainingAsset:
        """Any model of the library, indoor or not, and any family."""
        return self._draw(rng, self._everything, list(FAMILIES))

    def role(self, role: str, rng: np.random.Generator) -> TrainingAsset:
        """A piece that plays a role; the family of that name stands in where the catalogue has none."""
        return self._draw(rng, self._by_role.get(role, []), [role] if role in FAMILIES else [])

    def _draw(self, rng: np.random.Generator, packs: list[list[str]], families: Sequence[str]) -> TrainingAsset:
        families = [name for name in families if name in self.library.families]
        # A few of the pack's models copy held-out shapes and are refused; the next draw replaces them.
        for _ in range(16):
            is_parametric = bool(families) and (not packs or rng.uniform() < self.parametric_share)
            if is_parametric:
                return self.library.random_parametric(rng, families)
            if not packs:
                break
            ids = packs[int(rng.integers(len(packs)))]
            try:
                asset = self.library[ids[int(rng.integers(len(ids)))]]
                if not self.stretch and not self.slabs:
                    return asset
                return asset.stretched(Stretching.drawn(asset.asset.size_m, self.stretch, self.slabs, rng))
            except InputError:
                continue
        raise InputError("The training library has nothing that fits here; add a model pack or parametric families.")
