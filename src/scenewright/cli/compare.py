"""`scenewright compare`: two results of `scenewright evaluate` side by side, with a paired bootstrap."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["compare"]


def compare(
    first: Annotated[Path, typer.Argument(help="OUT.json of the first run.")],
    second: Annotated[Path, typer.Argument(help="OUT.json of the second run, on the same scenes.")],
) -> None:
    """Print every metric of both runs, the difference, its 95 % interval, and whether it is significant."""
    from scenewright.cli.evaluation_tables import print_comparison
    from scenewright.evaluation.compare import common_scenes, compare_results, read_result

    results = read_result(first), read_result(second)
    differences = compare_results(*results)
    print_comparison(first.stem, second.stem, differences, len(common_scenes(*results)))
