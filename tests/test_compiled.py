"""Kernels that numba compiles when they are first called."""

import numpy as np

from scenewright.compiled import njit, prange


@njit(nogil=True)
def halved(value: float) -> float:
    return value / 2


@njit(parallel=True)
def sum_of_halves(values: np.ndarray) -> float:
    total = 0.0
    for index in prange(len(values)):
        total += halved(values[index])
    return total


def test_a_kernel_compiles_with_those_that_it_calls_and_runs_in_parallel():
    kernel = sum_of_halves
    assert kernel.__name__ == "sum_of_halves"
    assert kernel(np.arange(100.0)) == 2475
    # Its module now holds numba's own form of both.
    assert sum_of_halves.signatures
    assert halved.signatures
    assert sum_of_halves(np.ones(4)) == 2
