"""A progress bar on stderr."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from scenewright.progress import Advance

__all__ = ["ProgressBar", "progress_bar"]


class ProgressBar:
    """One bar for work in stages, one stage at a time; a `scenewright.progress.Progress`."""

    def __init__(self, bar: Progress, title: str = "") -> None:
        self._bar, self._title = bar, title
        self._task = bar.add_task(title or "start", total=1)

    def stage(self, name: str) -> Advance:
        """Names the stage beside the bar, at its beginning."""
        self.say(name)
        return lambda done, total: self._bar.update(self._task, completed=done, total=max(total, 1))

    def say(self, line: str) -> None:
        """A line beside the bar, which begins anew."""
        self._bar.update(self._task, description=f"{self._title} {line}".strip(), completed=0, total=1)


@contextmanager
def progress_bar(title: str = "") -> Iterator[ProgressBar]:
    """The bar, shown while the block runs, with the time the stage may still take; `title` precedes its name."""
    time = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *time)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield ProgressBar(bar, title)
