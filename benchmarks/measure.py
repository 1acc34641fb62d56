"""Shared by the benchmarks: reports with the ratios that matter, fair timing, the machine and its measured peak.

A benchmark is a module with a function `section(report, *, size=default, ...)` and the sizes of a try in seconds,
`QUICK`. `python -m benchmarks` runs them, and its options of one benchmark are the arguments of that function.
"""

import math
import multiprocessing
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from types import MappingProxyType
from typing import Any, TypeVar

import torch

from scenewright.machine import available_cores, processor_name

__all__ = ["MissingError", "Report", "alternate", "in_new_process", "machine", "matmul_peak", "run_one", "seconds"]

Result = TypeVar("Result")


class MissingError(Exception):
    """Something that the benchmark needs is not on this machine."""


class Report:
    """The measured part of a section: lines are printed as soon as they are known, and kept.

    `ratios` holds what a benchmark is run for, by name. Smaller is better in all of them: ours over theirs, what was
    used over what is allowed.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ratios: dict[str, float] = {}

    def __call__(self, line: str = "") -> None:
        """Adds lines of Markdown."""
        print(line, flush=True)
        self.lines.append(line)

    def table(self, *columns: str) -> None:
        """Begins a table."""
        self(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")

    def row(self, *cells: object) -> None:
        """Adds a row to the table."""
        self(f"| {' | '.join(str(cell) for cell in cells)} |")

    def ratio(self, name: str, value: float) -> None:
        """Notes a ratio that matters; one that could not be taken (NaN) is left out."""
        if not math.isnan(value):
            self.ratios[name] = round(value, 4)


def run_one(
    name: str, is_quick: bool = False, sizes: Mapping[str, Any] = MappingProxyType({})
) -> tuple[list[str], dict[str, float], str]:
    """Lines and ratios of one benchmark, run in this process, and what it is that was missing, if anything."""
    report, module = Report(), import_module(f"benchmarks.{name}")
    try:
        module.section(report, **(dict(module.QUICK if is_quick else {}) | dict(sizes)))
    except MissingError as error:
        return [], {}, str(error)
    return report.lines, report.ratios, ""


def in_new_process(function: Callable[..., Result], *arguments: object) -> Result:
    """The result of a function of a module, called in a process of its own: its peak of memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def seconds(function: Callable[[], object], repeats: int = 5, warmup: int = 1) -> float:
    """Fastest of `repeats` calls: the others were disturbed."""
    return alternate([function], repeats, warmup)[0]


def alternate(
    functions: list[Callable[[], object]],
    repeats: int = 5,
    warmup: int = 1,
    clock: Callable[[], float] | None = None,
    pause: float = 0,
) -> list[float]:
    """Fastest call of each function, calls interleaved A B A B so that a drifting machine treats all alike.

    Args:
        pause: seconds before each call. Threads of one library spin for some milliseconds after their work, and would
            take a core from the next call of another.
        clock: by default the processors' seconds, which other work on the machine stretches least, or the clock's where
            there is a GPU.
    """
    clock = clock or (time.perf_counter if torch.cuda.is_available() else time.process_time)
    for _ in range(warmup):
        for function in functions:
            function()
    best = [float("inf")] * len(functions)
    for _ in range(repeats):
        for index, function in enumerate(functions):
            _synchronize()
            time.sleep(pause)
            begin = clock()
            function()
            _synchronize()
            best[index] = min(best[index], clock() - begin)
    return best


def matmul_peak(
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    size: int = 2048,
    clock: Callable[[], float] | None = None,
) -> float:
    """Operations per second of a large square matrix product, measured now by a clock as in `alternate`."""
    a = torch.randn(size, size, device=device, dtype=dtype)
    return 2 * size**3 / alternate([lambda: a @ a], repeats=10, clock=clock)[0]


def machine() -> str:
    """One line naming what the figures were taken on."""
    device = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    cores, threads = available_cores(), torch.get_num_threads()
    return f"{processor_name()}, {cores} cores{device}, torch {torch.__version__}, {threads} threads"


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
