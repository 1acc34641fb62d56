"""Threads change how long it takes, and nothing else."""

import pytest
import torch

from scenewright.sparse.conv import sparse_conv
from scenewright.sparse.kernel_map import submanifold_map
from scenewright.sparse.side_by_side import run_side_by_side
from scenewright.sparse.tensor import VoxelSet


@pytest.mark.parametrize("width", [8, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_convolution_has_the_same_bits_on_two_threads(dtype: torch.dtype, width: int, two_threads: None) -> None:
    # Rows of half precision are in two blocks, one a thread, from this many cells up; its products are slow on a CPU.
    side = 24 if dtype == torch.float32 else 16
    cells = torch.cartesian_prod(*[torch.arange(side)] * 3)
    kernel_map = submanifold_map(VoxelSet(torch.nn.functional.pad(cells, (1, 0)).int()))
    feats, weight = torch.randn(len(cells), 2 * width).to(dtype), torch.randn(27, 2 * width, width).to(dtype)
    with torch.inference_mode():
        threaded = [sparse_conv(feats, weight, None, kernel_map) for _ in range(5)]
    torch.set_num_threads(1)
    alone = sparse_conv(feats, weight, None, kernel_map)
    assert all(torch.equal(alone, out) for out in threaded)


@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_every_piece_runs_once_without_recording_and_torch_keeps_its_threads(num_threads: int) -> None:
    counts = torch.zeros(7, requires_grad=True)
    before = torch.get_num_threads()

    def work(piece: int) -> None:
        counts[piece : piece + 1] += piece + 1  # would raise on a leaf if it were recorded

    run_side_by_side(work, range(7), num_threads=num_threads)
    assert counts.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert torch.get_num_threads() == before


def test_an_error_in_a_piece_reaches_the_caller() -> None:
    def work(piece: int) -> None:
        raise ValueError(f"piece {piece}")

    before = torch.get_num_threads()
    with pytest.raises(ValueError, match="piece 0"):
        run_side_by_side(work, [0, 1, 2], num_threads=2)
    assert torch.get_num_threads() == before
