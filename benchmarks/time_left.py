"""Start-up of a command with mini, and how right the time left is that its bar shows.

    uv run python -m benchmarks time_left [--cases demo]

Every case is a command in a process of its own, whose stages are noted with the processor's seconds, which other work
on the machine stretches least. Start-up: seconds until the structure stage begins, from the process's start, torch
included. Time left: the bar's clock is set to every moment noted; of those between a tenth and nine tenths of the run,
the share at which the seconds left are within 30 % of the truth. Scenes are the public ones; those that are not there
are left out.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from benchmarks.measure import Report, in_new_process

SCENES = Path(__file__).parents[1].parent / "shared/data/scenes"
Moment = tuple[float, str, int, int]
TOLERANCE = 0.3


def commands(out: str) -> dict[str, list[str]]:
    """The command line of each case."""
    pictures = {name: str(SCENES / "single" / name) for name in ("009", "010")}
    room, walk = SCENES / "pano/001", SCENES / "multiview/001"

    def single(name: str, system: str) -> list[str]:
        folder = pictures[name]
        given = [f"{folder}/rgb.jpg", "-m", f"{folder}/instances.png", "--system", system]
        return ["generate", *given, "-o", f"{out}/o.glb"]

    return {
        "demo": ["demo", "--out", out],
        "scenegen, six objects": single("009", "scenegen"),
        "iscene, four objects": single("010", "iscene"),
        "inspace, with distances": [
            *("generate", f"{room}/rgb.jpg", "--panorama", "--depth", f"{room}/depth_mm.png", "-o", f"{out}/o.glb")
        ],
        "genrecon, nine chunks": ["generate", str(walk), "--metres-per-unit", "1", "-o", f"{out}/o.glb"],
    }


class Noted:
    """A progress that notes every call with the processor's seconds."""

    def __init__(self, moments: list[Moment]) -> None:
        self._moments = moments

    def stage(self, name: str) -> Callable[[int, int], None]:
        def advance(done: int, total: int) -> None:
            self._moments.append((time.process_time(), name, done, total))

        advance(0, 0)
        return advance

    def say(self, line: str) -> None:
        """A line of what is being loaded is no stage of the run."""


def measure(case: str) -> dict[str, float]:
    """Start-up, seconds of the run, those expected, and the share of moments at which the time left was right."""
    from scenewright.cli import main, progress

    moments: list[Moment] = []
    bars: list[tuple[float, Mapping[str, float], int, Callable[[int], Mapping[str, float]] | None]] = []

    @contextmanager
    def plain(title: str = "") -> Iterator[Noted]:
        yield Noted([])

    @contextmanager
    def whole(
        expected: Mapping[str, float],
        objects: int = 1,
        title: str = "",
        again: Callable[[int], Mapping[str, float]] | None = None,
    ) -> Iterator[Noted]:
        bars.append((time.process_time(), expected, objects, again))
        yield Noted(moments)
        moments.append((time.process_time(), "end", 0, 0))

    with (
        tempfile.TemporaryDirectory() as out,
        mock.patch.multiple(progress, run_bar=whole, progress_bar=plain),
    ):
        sys.argv = ["scenewright", *commands(out)[case]]
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise RuntimeError(f"The command ended with {end.code}.") from end
    begin, expected, objects, again = bars[-1]
    end = moments.pop()[0]
    now = [begin]
    left = progress.TimeLeft(expected, objects, again=again, clock=lambda: now[0])
    last, right = "", []
    advance: Callable[[int, int], None] = lambda done, total: None  # noqa: E731
    for moment, name, done, total in moments:
        now[0] = moment
        if total == 0:
            last, advance = name, left.stage(name)
        elif name == last:
            advance(done, total)
        if 0.1 <= (moment - begin) / (end - begin) <= 0.9:
            right.append(abs(left.seconds_left / (end - moment) - 1) <= TOLERANCE)
    return {
        "first_step": next(moment for moment, name, *_ in moments if name == "structure"),
        "run": end - begin,
        "expected": sum(expected.values()),
        "right": sum(right) / max(len(right), 1),
        "moments": len(right),
    }


QUICK = {"cases": ("demo",)}


def section(report: Report, *, cases: tuple[str, ...] = tuple(commands(""))) -> None:
    """Prints a row for each case."""
    begun, right = "structure stage begins CPU s", "time left within 30 %"
    report.table("case", begun, "run CPU s", "expected s", "moments", right)
    for case in cases:
        if case != "demo" and not SCENES.is_dir():
            continue
        found = in_new_process(measure, case)
        seconds = (f"{found[key]:.1f}" for key in ("first_step", "run", "expected"))
        report.row(case, *seconds, f"{found['moments']:.0f}", f"**{found['right']:.0%}**")
        report.ratio(f"{case}: structure stage begins / 3 s", found["first_step"] / 3)
        report.ratio(f"{case}: moments / those right", 1 / max(found["right"], 0.01))
