"""Rename tables between published state-dict names and ours, written once and read in both directions.

A table maps published templates to ours. `{}` stands for one run of digits (a layer number) and must occur equally
often on both sides; a `*` at the end of both stands for the rest of the name. Names that no template matches keep
their name, so the table lists only what differs: the shortest table is the best one.

    KeyMap({"blocks.{}.mlp.mlp.0.*": "blocks.{}.mlp.expand.*"})
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scenewright.errors import WeightsError

__all__ = ["IDENTITY", "KeyMap"]


def _pattern(template: str) -> re.Pattern[str]:
    stem, star = (template[:-1], "(.*)") if template.endswith("*") else (template, "")
    return re.compile(re.escape(stem).replace(re.escape("{}"), "([0-9]+)") + star)


def _fill(template: str, parts: Iterable[str]) -> str:
    values = iter(parts)
    return re.sub(r"\{\}|\*$", lambda _: next(values), template)


@dataclass(frozen=True)
class KeyMap:
    """An ordered rename table, published template -> our template; the first template that matches wins."""

    table: Mapping[str, str]

    def __post_init__(self) -> None:
        for published, ours in self.table.items():
            same_numbers = published.count("{}") == ours.count("{}")
            if not same_numbers or published.endswith("*") != ours.endswith("*"):
                raise ValueError(f"Both sides of '{published}' -> '{ours}' need the same number of '{{}}' and '*'.")
            if "*" in published[:-1] or "*" in ours[:-1]:
                raise ValueError(f"'*' is allowed only at the end of a template, got '{published}' -> '{ours}'.")
        if len(set(self.table.values())) != len(self.table):
            raise ValueError("Two published templates map to the same name, so the table cannot be reversed.")

    def rename(self, name: str) -> str:
        """Our name of the published `name`."""
        for published, ours in self.table.items():
            if match := _pattern(published).fullmatch(name):
                return _fill(ours, match.groups())
        return name

    def rename_all(self, names: Iterable[str]) -> dict[str, str]:
        """Published name by our name.

        Raises:
            WeightsError: two published names become the same name of ours.
        """
        renamed: dict[str, str] = {}
        for name in names:
            ours = self.rename(name)
            if ours in renamed:
                raise WeightsError(
                    f"Weights '{renamed[ours]}' and '{name}' both map to '{ours}'; is the file a mixture?"
                )
            renamed[ours] = name
        return renamed

    def reversed(self) -> "KeyMap":
        """The table read the other way: our names -> published names."""
        return KeyMap({ours: published for published, ours in self.table.items()})


IDENTITY = KeyMap({})
