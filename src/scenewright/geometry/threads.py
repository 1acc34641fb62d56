"""The number of torch's threads: kept round compiled kernels, and one for work that threads only slow down."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

__all__ = ["free_threads", "one_torch_thread", "torch_threads_kept"]

_taken: ContextVar[int] = ContextVar("taken", default=0)


@contextmanager
def torch_threads_kept() -> Iterator[None]:
    """Round numba's parallel kernels: they set OpenMP's number of threads, which is torch's as well.

    Without it the same call would give other last bits after such a kernel than before.
    """
    kept = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(kept)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """For networks of so few channels that sharing an operation between threads costs more than it brings.

    Threads that wait for each other after every operation spin; beside other load, one of them is always late, and the
    work takes ten times as long. The bytes of the result do not depend on the machine's cores, either.
    """
    with torch_threads_kept():
        before = _taken.set(free_threads())
        torch.set_num_threads(1)
        try:
            yield
        finally:
            _taken.reset(before)


def free_threads() -> int:
    """Threads that independent pieces of work may take side by side: those that `one_torch_thread` took from torch.

    Outside of it they are torch's own. Pieces wait for each other once, at their end, so that load beside them does
    not slow them down more than others.
    """
    return _taken.get() or torch.get_num_threads()
