"""The folder form of `scenewright generate`: shows the photographs as they are made, and counts them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scenewright.cli.progress import ProgressBar
from scenewright.cli.warned import keep_repeated_warnings_quiet
from scenewright.runs.folder import Outcome, Photograph, generate_folder
from scenewright.runs.manifest import GenerateSettings

__all__ = ["generate_and_report"]


def generate_and_report(
    photographs: Sequence[Photograph], settings: GenerateSettings, out: Path, *, overwrite: bool
) -> int:
    """Makes the scenes with bars and a line for each photograph; returns how many failed."""
    keep_repeated_warnings_quiet()
    outcomes: list[Outcome] = []
    with _bars(len(photographs)) as (say, step, progress):
        for outcome in generate_folder(
            photographs,
            settings,
            out,
            overwrite=overwrite,
            on_start=lambda photograph: step(photograph.path.name),
            progress=progress,
        ):
            outcomes.append(outcome)
            for line in _lines(outcome):
                say(line)
    made, kept = (sum(outcome.status == status for outcome in outcomes) for status in ("made", "kept"))
    failed = [outcome.photograph.path.name for outcome in outcomes if outcome.status == "failed"]
    typer.echo(f"{len(photographs)} photographs: {made} made, {kept} there already, {len(failed)} failed")
    if failed:
        typer.echo(f"failed: {', '.join(failed)}", err=True)
    return len(failed)


def _lines(outcome: Outcome) -> Iterator[str]:
    name = outcome.photograph.path.name
    if outcome.status == "failed":
        yield f"failed: {name}: {outcome.reason}"
    elif outcome.status == "kept" and outcome.reason:
        yield f"kept {outcome.target.name}, although {outcome.reason}; --overwrite makes it again"
    elif outcome.run is not None and outcome.inputs is not None:
        scene = outcome.run.scene
        for line in (*outcome.inputs.warnings, *scene.notes):
            yield f"{name}: {line}"
        seconds, count = outcome.run.timings_s["generate"], len(outcome.inputs.masks)
        yield f"wrote {outcome.target}: {len(scene.objects)} of {count} objects, {seconds:.1f} s"


@contextmanager
def _bars(count: int) -> Iterator[tuple[Callable[[str], None], Callable[[str], None], ProgressBar]]:
    """Functions that print a line above the bars and begin the next photograph, and the bar of its stages."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True, soft_wrap=True), transient=True) as bar:
        photographs = bar.add_task("photographs", total=count)
        stages = ProgressBar(bar)
        begun = 0

        def say(line: str) -> None:
            bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

        def step(name: str) -> None:
            nonlocal begun
            bar.update(photographs, description=name, completed=begun)
            begun += 1

        yield say, step, stages
