"""Progress of long work: named stages, each a count of things done.

    advance = progress.stage("shape")     announces the stage
    advance(3, 12)                        3 of 12 are done

Work with stages of its own takes a `Progress`; one loop within a stage takes an `Advance`. Both may be called from any
thread, and what they do never changes a result.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["SILENT", "Advance", "Progress", "ignore", "within"]

Advance = Callable[[int, int], None]
"""Receives (done, total) of one stage."""


@runtime_checkable
class Progress(Protocol):
    """Receives the stages of some work."""

    def stage(self, name: str) -> Advance:
        """Begins a stage; the returned function receives how much of it is done."""
        ...


def ignore(done: int, total: int) -> None:
    """The `Advance` that shows nothing."""


class _Silent:
    def stage(self, name: str) -> Advance:
        return ignore


SILENT: Progress = _Silent()
"""The `Progress` that shows nothing."""


def within(progress: Progress, name: str) -> Progress:
    """A `Progress` whose stages are stages of `progress`, their names preceded by "`name`: "."""
    return _Within(progress, name)


@dataclass(frozen=True)
class _Within:
    progress: Progress
    name: str

    def stage(self, name: str) -> Advance:
        return self.progress.stage(f"{self.name}: {name}")
