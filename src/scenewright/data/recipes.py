"""Data recipes: kind and number of scenes, and the models they are made of; a short TOML file or a built-in name.

    kind = "floor"            # floor, random, room, panorama, walk
    count = 1000
    seed = 7
    packs = ["pack.zip"]
    parametric_share = 0.5
    size = 518

Every number of a scene follows from the recipe's seed and the scene's number, so scene i is the same on any machine.
"""

import difflib
import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from scenewright.errors import InputError
from scenewright.files import MAX_SEED, checked, read_toml, reading

__all__ = ["BUILT_IN", "DataRecipe", "Kind", "load_recipe"]

Kind = Literal["floor", "random", "room", "panorama", "walk"]


@dataclass(frozen=True)
class DataRecipe:
    """Scenes to make: `size` is the side of square pictures or the height of others; `views` are counted per scene."""

    kind: Kind = "floor"
    count: int = 100
    seed: int = 0
    packs: tuple[str, ...] = ()
    parametric_share: float = 0.5
    size: int = 518
    views: int = 1
    supersample: int = 2
    with_meshes: bool = True
    scenes_per_shard: int = 50

    def __post_init__(self) -> None:
        _check_kind(self.kind)
        for name, low, high in (
            ("count", 1, 10**8),
            ("seed", 0, MAX_SEED),
            ("size", 16, 4096),
            ("views", 1, 150),
            ("supersample", 1, 4),
            ("scenes_per_shard", 1, 10_000),
        ):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"Expected {name} from {low} to {high}, got {getattr(self, name)}.")
        if not 0 <= self.parametric_share <= 1:
            raise InputError(f"Expected parametric_share from 0 to 1, got {self.parametric_share}.")

    @property
    def num_shards(self) -> int:
        return -(-self.count // self.scenes_per_shard)

    def to_json(self) -> str:
        """The recipe without machine-specific paths: packs are named by their files."""
        content = asdict(self) | {"packs": [Path(pack).name for pack in self.packs]}
        return json.dumps(content, indent=1, sort_keys=True)


def _check_kind(kind: object) -> None:
    if kind not in get_args(Kind):
        raise InputError(f"Expected kind to be one of {', '.join(get_args(Kind))}, got '{kind}'.")


BUILT_IN: dict[str, DataRecipe] = {
    "floor": DataRecipe("floor"),
    "random": DataRecipe("random", views=4, size=512),
    "room": DataRecipe("room", views=4, size=384),
    "panorama": DataRecipe("panorama", size=512),
    "walk": DataRecipe("walk", views=24, size=384, scenes_per_shard=10),
}


def load_recipe(source: str, **overrides: Any) -> DataRecipe:
    """The recipe in a TOML file, or the built-in one of that name; overrides that are None are ignored.

    Raises:
        InputError: no such recipe, unreadable file, an unknown key, or a value out of range.
    """
    changes = {key: value for key, value in overrides.items() if value is not None}
    if source in BUILT_IN:
        return replace(BUILT_IN[source], **changes)
    path = Path(source)
    if not path.is_file():
        raise InputError(f"Expected a recipe file or one of {', '.join(BUILT_IN)}, got '{source}'.")
    with reading(path, "a data recipe in TOML", "see docs/data.md"):
        return _parsed(read_toml(path), path, changes)


def _parsed(content: dict[str, Any], path: Path, changes: dict[str, Any]) -> DataRecipe:
    known = {field.name: field for field in fields(DataRecipe)}
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise InputError(f"Recipe '{path}' has the unknown key '{key}'.{hint}")
    # Packs are written relative to the recipe.
    if "packs" in content:
        if not isinstance(content["packs"], list) or not all(isinstance(pack, str) for pack in content["packs"]):
            raise InputError(f"Expected packs to be a list of files in '{path}'.")
        content["packs"] = [str(path.parent / pack) for pack in content["packs"]]
    _check_kind(content.get("kind", "floor"))
    return checked({**content, **changes}, DataRecipe)
