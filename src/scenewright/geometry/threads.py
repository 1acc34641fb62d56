"""Threads: bands of rows for compiled kernels, and one thread of torch for work that more of them only slow down."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

import torch

from scenewright.machine import available_cores

__all__ = ["free_threads", "one_torch_thread", "run_bands"]

_taken: ContextVar[int] = ContextVar("taken", default=0)


def run_bands(work: Callable[[int, int], None], rows: int, threads: int | None = None) -> None:
    """Call `work(first, last)` over bands of rows, on `threads` threads (default: all cores this process may use).

    Threads run side by side in kernels with `nogil`. They compile in a third of the time of numba's `parallel` ones,
    which also change torch's number of threads.
    """
    count = min(available_cores() if threads is None else max(threads, 1), rows)
    if count <= 1:
        work(0, rows)
        return
    pieces = min(4 * count, rows)  # more bands than threads: rows near the horizon cost more than the sky
    edges = [rows * i // pieces for i in range(pieces + 1)]
    list(_pool(count).map(work, edges[:-1], edges[1:]))


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="scenewright-bands")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a fork has the pools, but none of their threads


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """For networks of so few channels that sharing an operation between threads costs more than it brings.

    Threads that wait for each other after every operation spin; beside other load, one of them is always late, and the
    work takes ten times as long. The bytes of the result do not depend on the machine's cores, either.
    """
    kept, before = torch.get_num_threads(), _taken.set(free_threads())
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _taken.reset(before)
        torch.set_num_threads(kept)


def free_threads() -> int:
    """Threads that independent pieces of work may take side by side: those that `one_torch_thread` took from torch.

    Outside of it they are torch's own. Pieces wait for each other once, at their end, so that load beside them does
    not slow them down more than others.
    """
    return _taken.get() or torch.get_num_threads()
