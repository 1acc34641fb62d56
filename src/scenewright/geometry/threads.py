"""Compiled kernels with threads of their own beside torch."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["torch_threads_kept"]


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
