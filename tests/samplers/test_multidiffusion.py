"""Synchronised chunks: the composer equals averaging the states after every step."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from scenewright.errors import InputError
from scenewright.samplers.euler import euler
from scenewright.samplers.multidiffusion import Overlap, interior_rows, synchronised
from scenewright.samplers.schedule import rescaled_times

GRID = torch.cartesian_prod(*[torch.arange(4)] * 3)


def overlap(width: int = 0) -> Overlap:
    cells = [GRID, GRID + torch.tensor([2, 0, 0]), GRID + torch.tensor([2, 3, 0])]
    return Overlap.of_chunks(cells, [interior_rows(GRID, 4, width)] * 3 if width else None)


@pytest.mark.parametrize("width", [0, 1, 2])
def test_equals_averaging_states(width: int) -> None:
    shared = overlap(width)
    generator = torch.Generator().manual_seed(0)
    noise = shared.copied(torch.randn(len(shared.cells), 2, generator=generator, dtype=torch.float64))
    own = torch.randn(len(noise), 2, generator=generator, dtype=torch.float64)

    def velocity(x: Tensor, t: float, step: int) -> Tensor:
        return 0.5 * x + own * t

    times = rescaled_times(5, 3.0)
    state = noise
    for step, (t, t_next) in enumerate(pairwise(times)):
        state = shared.agreed(state - (t - t_next) * velocity(state, t, step))
    torch.testing.assert_close(euler(synchronised(velocity, shared), noise, times), state)


def test_copies_stay_equal_and_cells_without_a_say_stay_apart() -> None:
    rows = torch.randn(3 * 64, 1)
    everyone = overlap().agreed(rows)
    assert everyone.unique().numel() == len(overlap().cells)
    # With a border as wide as the chunk nobody contributes.
    torch.testing.assert_close(overlap(2).agreed(rows), rows)


def test_one_chunk_is_left_alone_and_an_empty_one_takes_no_part() -> None:
    rows = torch.randn(64, 3)
    torch.testing.assert_close(Overlap.of_chunks([GRID]).agreed(rows), rows)
    torch.testing.assert_close(Overlap.of_chunks([GRID, GRID[:0]]).agreed(rows), rows)


def test_dense_chunks_equal_their_rows() -> None:
    dense = torch.randn(3, 2, 4, 4, 4)
    rows = overlap().agreed(dense.flatten(2).transpose(1, 2).flatten(0, 1))
    grids = synchronised(lambda x, t, step: x, overlap())(dense, 1.0, 0)
    torch.testing.assert_close(grids.flatten(2).transpose(1, 2).flatten(0, 1), rows)


def test_a_cell_listed_twice_is_refused() -> None:
    with pytest.raises(InputError, match="lists a cell twice"):
        Overlap.of_chunks([torch.zeros(2, 3, dtype=torch.long)])
