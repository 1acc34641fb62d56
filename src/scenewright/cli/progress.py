"""A progress bar on stderr."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from scenewright.progress import Advance

__all__ = ["ProgressBar", "RunBar", "TimeLeft", "progress_bar", "run_bar", "starting"]

# A stage's own pace counts against the expected one as if this share of the run had gone as expected already.
_TRUST = 0.01
# A stage that says nothing is done by this much at most before the next one begins.
_MOST_UNTOLD = 0.95


class ProgressBar:
    """One bar for work in stages, one stage at a time; a `scenewright.progress.Progress`.

    Before the first stage the bar moves to and fro.
    """

    def __init__(self, bar: Progress, title: str = "") -> None:
        self._bar, self._title = bar, title
        self._task = bar.add_task(title or "start", total=None)

    def stage(self, name: str) -> Advance:
        """Names the stage beside the bar, at its beginning."""
        self.say(name)
        return lambda done, total: self._bar.update(self._task, completed=done, total=max(total, 1))

    def say(self, line: str) -> None:
        """A line beside the bar, which begins anew."""
        self._bar.update(self._task, description=f"{self._title} {line}".strip(), completed=0, total=1)


class TimeLeft:
    """The share of a run that is done, and the seconds left, from what its stages are expected to take; a `Progress`.

    Stages that are not expected count as what follows the expected stage before them. Stages of single objects
    ("chair: bake") are parts of "finish". A stage that says nothing of its own goes on as the stages before it did.

    Args:
        expected: seconds of each stage, in their order.
        objects: how many are finished.
        again: the expected seconds for another number of objects. The stage "objects", in which a system that finds its
            objects itself looks at them, tells the number.
        on_change: called after every change.
    """

    def __init__(
        self,
        expected: Mapping[str, float],
        objects: int = 1,
        *,
        again: Callable[[int], Mapping[str, float]] | None = None,
        on_change: Callable[[str], None] = lambda name: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._expected, self._objects, self._clock = dict(expected), max(objects, 1), clock
        self._on_change, self._begin, self._again = on_change, clock(), again
        self._total = sum(self._expected.values())
        self._passed = self._share = 0.0
        self._finished: list[str] = []
        self._enter(next(iter(self._expected), ""), 0.0)

    @property
    def fraction(self) -> float:
        """Share of the run that is done, in [0, 1]."""
        share = self._share
        if not self._is_told and self._current:
            waited = (self._clock() - self._entered) / self._pace
            share = max(share, min(_MOST_UNTOLD, waited / self._current))
        return min(1.0, (self._passed + share * self._current) / self._total)

    @property
    def seconds_left(self) -> float:
        """Seconds left at the pace so far, which weighs more the more is done."""
        done = self.fraction
        pace = (self._clock() - self._begin + _TRUST * self._total) / (done + _TRUST)
        return (1 - done) * pace

    def stage(self, name: str) -> Advance:
        item, _, own = name.rpartition(": ")
        if item:
            if item not in self._finished:
                self._finished.append(item)
            begun = (len(self._finished) - 1) / self._objects
            self._enter("finish", begun)
            self._on_change(name)
            return lambda done, total: None
        self._enter(own, 0.0)
        self._on_change(name)

        def advance(done: int, total: int) -> None:
            if own == "objects" and self._again is not None and total != self._objects:
                self._objects, self._expected = max(total, 1), dict(self._again(total))
                self._total = sum(self._expected.values())
                self._enter(own, 0.0)
            self._share, self._is_told = done / max(total, 1), True
            self._on_change(name)

        return advance

    def _enter(self, stage: str, share: float) -> None:
        # Seconds passed for each expected one, so far.
        self._entered, self._is_told = self._clock(), False
        self._pace = (self._entered - self._begin + _TRUST * self._total) / (self._passed + _TRUST * self._total)
        if stage in self._expected:
            names = list(self._expected)
            self._passed = sum(self._expected[name] for name in names[: names.index(stage)])
            self._current = self._expected[stage]
        elif self._share:
            self._passed, self._current = self._passed + self._share * self._current, 0.0
        self._share = min(share, 1.0)


class RunBar(TimeLeft):
    """One bar for a whole run whose stages are known."""

    def __init__(
        self,
        bar: Progress,
        expected: Mapping[str, float],
        objects: int = 1,
        title: str = "",
        again: Callable[[int], Mapping[str, float]] | None = None,
    ) -> None:
        self._bar, self._title = bar, title
        self._task = bar.add_task(title or "load", total=1.0)
        super().__init__(expected, objects, again=again, on_change=self._show)

    def _show(self, name: str) -> None:
        self._bar.update(self._task, completed=self.fraction, description=f"{self._title} {name}".strip())

    def tick(self) -> str:
        """Moves the bar on, and the time left for it to show."""
        self._bar.update(self._task, completed=self.fraction)
        return f"about {_clock_text(self.seconds_left)} left"


class _LeftColumn(ProgressColumn):
    """Asks the run for the time left whenever the bar is drawn."""

    run: RunBar | None = None

    def render(self, task: Task) -> Text:
        return Text("" if self.run is None else self.run.tick())


@contextmanager
def progress_bar(title: str = "") -> Iterator[ProgressBar]:
    """The bar, shown while the block runs, with the time the stage may still take; `title` precedes its name."""
    time = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *time)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield ProgressBar(bar, title)


@contextmanager
def starting() -> Iterator[None]:
    """A bar that moves to and fro while the block imports what takes seconds."""
    with progress_bar():
        yield


@contextmanager
def run_bar(
    expected: Mapping[str, float],
    objects: int = 1,
    title: str = "",
    again: Callable[[int], Mapping[str, float]] | None = None,
) -> Iterator[ProgressBar | RunBar]:
    """The bar of a run, with the time that all of it may still take; of single stages where nothing is expected.

    Args:
        expected: seconds of each stage, in their order (`systems.costs.stage_seconds`).
        objects: how many are finished.
        again: see `TimeLeft`.
    """
    if not expected:
        with progress_bar(title) as plain:
            yield plain
        return
    left = _LeftColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), left)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        left.run = RunBar(bar, expected, objects, title, again)
        yield left.run


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
