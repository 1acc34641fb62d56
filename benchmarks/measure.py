"""Shared by the benchmarks: fair alternating timing, the machine's name, and its measured matmul peak."""

import time
from collections.abc import Callable

import torch

from scenewright.machine import available_cores, processor_name

__all__ = ["alternate", "machine", "matmul_peak", "seconds"]


def seconds(function: Callable[[], object], repeats: int = 5, warmup: int = 1) -> float:
    """Fastest of `repeats` calls: the others were disturbed."""
    return alternate([function], repeats, warmup)[0]


def alternate(functions: list[Callable[[], object]], repeats: int = 5, warmup: int = 1) -> list[float]:
    """Fastest call of each function, calls interleaved A B A B so that a drifting machine treats all alike."""
    for _ in range(warmup):
        for function in functions:
            function()
    best = [float("inf")] * len(functions)
    for _ in range(repeats):
        for index, function in enumerate(functions):
            _synchronize()
            begin = time.perf_counter()
            function()
            _synchronize()
            best[index] = min(best[index], time.perf_counter() - begin)
    return best


def matmul_peak(device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32, size: int = 2048) -> float:
    """Operations per second of a large square matrix product, measured now."""
    a = torch.randn(size, size, device=device, dtype=dtype)
    return 2 * size**3 / seconds(lambda: a @ a, repeats=10)


def machine() -> str:
    """One line naming what the figures were taken on."""
    device = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    cores, threads = available_cores(), torch.get_num_threads()
    return f"{processor_name()}, {cores} cores{device}, torch {torch.__version__}, {threads} threads"


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
