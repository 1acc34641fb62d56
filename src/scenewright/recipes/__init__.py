"""Recipes shipped with the package, one TOML file each, and the tasks they name.

`RECIPES_FOLDER / "NAME.toml"` is what `scenewright train NAME` reads.
"""

from pathlib import Path

__all__ = ["RECIPES_FOLDER", "recipe_names"]

RECIPES_FOLDER = Path(__file__).parent


def recipe_names() -> tuple[str, ...]:
    """Names of all shipped recipes."""
    return tuple(sorted(path.stem for path in RECIPES_FOLDER.glob("*.toml")))
