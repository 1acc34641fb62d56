"""Measurements of several ways on the same examples: means, standard errors, and differences to the first way."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

__all__ = ["summary", "tell"]

Rows = Sequence[Mapping[str, float]]
"""Numbers by name, of every example."""


def summary(rows: Rows) -> dict[str, tuple[float, float]]:
    """Mean of every number over the examples, and its standard error (NaN of a single one)."""
    values = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    return {
        key: (float(found.mean()), float(found.std(ddof=1) / len(found) ** 0.5) if len(found) > 1 else float("nan"))
        for key, found in values.items()
    }


def tell(ways: Mapping[str, Rows], examples: str, out: Path | None = None) -> None:
    """Prints means and standard errors of all ways, and keeps them with every example in a JSON file.

    Ways that saw the same examples are compared one by one, which tells more than their means: examples differ much.

    Args:
        examples: what an example is called in the file.
    """
    first, *others = ways
    means = {name: summary(rows) for name, rows in ways.items()}
    for name, found in means.items():
        print(f"{name}, {len(ways[name])} {examples}: {_line(found)}")
    for name in others:
        if len(ways[name]) == len(ways[first]):
            pairs = zip(ways[name], ways[first], strict=True)
            print(f"{name} - {first}: {_line(summary([{key: a[key] - b[key] for key in a} for a, b in pairs]))}")
    if out is not None:
        content = {
            "mean": {name: {key: mean for key, (mean, _) in found.items()} for name, found in means.items()},
            "standard_error": {
                name: {key: error for key, (_, error) in found.items()} for name, found in means.items()
            },
            examples: ways,
        }
        out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _line(found: Mapping[str, tuple[float, float]]) -> str:
    return ", ".join(f"{key} {mean:.4g} ± {error:.2g}" for key, (mean, error) in found.items())
