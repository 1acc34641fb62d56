import pytest
import torch

from scenewright.errors import InputError
from scenewright.geometry.ovoxel.dual_grid_quantize import dequantize_dual_grid, quantize_dual_grid
from scenewright.types import DualGrid
from tests.geometry.ovoxel.test_dual_grid_mesh import random_grid


def test_flags_survive_and_vertices_lose_less_than_one_step():
    grid = random_grid(0)
    stored = quantize_dual_grid(grid)
    back = dequantize_dual_grid(grid.coords, *stored, grid.resolution)
    assert torch.equal(back.intersected, grid.intersected)
    error = grid.dual_vertices - back.dual_vertices
    assert float(error.min()) >= -1e-6
    assert float(error.max()) < 1 / 255
    assert all(torch.equal(once, again) for once, again in zip(stored, quantize_dual_grid(back), strict=True))


def test_bytes_by_hand():
    grid = DualGrid(torch.tensor([[0, 0, 0]]), torch.tensor([[0.0, 0.5, 1.0]]), torch.tensor([[True, False, True]]), 4)
    vertices, flags = quantize_dual_grid(grid)
    assert vertices.tolist() == [[0, 127, 255]]
    assert flags.tolist() == [[5]]


def test_vertices_that_left_their_voxel_are_refused():
    outside = DualGrid(torch.tensor([[0, 0, 0]]), torch.tensor([[0.0, 1.3, 1.0]]), torch.tensor([[True] * 3]), 4)
    with pytest.raises(InputError, match="inside their voxels"):
        quantize_dual_grid(outside)
