"""`scenewright list`: the published weights this version knows, with size, licence and whether they are here."""

import dataclasses
import sys
from typing import Any

from scenewright.cli.options import Json, write_json

__all__ = ["list_weights"]


def list_weights(json: Json = None) -> None:
    """Print the table of published weights."""
    from scenewright.systems.catalogue import all_records

    records = all_records()

    if json is not None:
        write_json([_described(record) for record in records.values()], json)
        return
    from rich.console import Console
    from rich.table import Table

    from scenewright.weights.hub import cached_file

    table = Table("name", "repository", "size", "parameters", "licence", "here", box=None, pad_edge=False)
    for record in records.values():
        here = cached_file(record.repository, record.file, revision=record.revision)
        licence = record.licence + (" (non-commercial)" if record.is_non_commercial else "")
        table.add_row(
            record.name,
            record.repository,
            f"{record.size_bytes / 1e9:.2f} GB" if record.size_bytes else "?",
            f"{record.num_parameters / 1e6:.0f} M" if record.num_parameters else "?",
            licence + (", gated" if record.is_gated else ""),
            "yes" if here else "no",
        )
    # Piped into a file or another program, lines are not folded at the width of a terminal.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _described(record: Any) -> dict[str, Any]:
    """The record as JSON data; a rename table becomes its dict."""
    described = {
        field.name: getattr(record, field.name) for field in dataclasses.fields(record) if field.name != "keymap"
    }
    for statistics in ("image", "latent"):
        if described[statistics] is not None:
            described[statistics] = dataclasses.asdict(described[statistics])
    return described | {"arguments": dict(record.arguments), "keymap": dict(record.keymap.table)}
