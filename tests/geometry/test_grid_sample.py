import pytest
import torch

from scenewright.geometry.grid_sample import _sample_by_sorting, sample_sparse_grid
from scenewright.types import SparseVoxels
from tests.support.voxel_attributes import sample_voxels


def full_grid(side: int = 4) -> torch.Tensor:
    axis = torch.arange(side, dtype=torch.int32)
    return torch.nn.functional.pad(torch.cartesian_prod(axis, axis, axis), (1, 0))


def test_a_linear_field_is_reproduced_between_centres():
    coords = full_grid()
    feats = (coords[:, 1:].float() + 0.5) @ torch.tensor([[1.0, 0], [10, 0], [0, 3]])
    query = torch.rand(1, 50, 3) * 3 + 0.5
    expected = query[0] @ torch.tensor([[1.0, 0], [10, 0], [0, 3]])
    torch.testing.assert_close(sample_sparse_grid(coords, feats, query)[0], expected, atol=1e-4, rtol=0)


def test_missing_voxels_are_left_out_and_far_points_are_zero():
    coords, feats = torch.tensor([[0, 1, 1, 1]]), torch.tensor([[7.0]])
    query = torch.tensor([[[1.5, 1.5, 1.5], [1.9, 1.2, 1.7], [2.4, 2.4, 2.4], [3.0, 1.5, 1.5], [-9.0, 0, 0]]])
    assert sample_sparse_grid(coords, feats, query)[0, :, 0].tolist() == pytest.approx([7, 7, 7, 0, 0])
    assert sample_sparse_grid(coords, feats, query, "nearest")[0, :, 0].tolist() == [7, 7, 0, 0, 0]


@pytest.mark.parametrize("mode", ["trilinear", "nearest"])
def test_compiled_and_plain_paths_agree(mode):
    generator = torch.Generator().manual_seed(1)
    keep = torch.rand(2 * 12**3, generator=generator) < 0.4
    coords = torch.cat([full_grid(12), full_grid(12) + torch.tensor([1, 0, 0, 0], dtype=torch.int32)])[keep]
    feats = torch.rand(len(coords), 5, generator=generator)
    query = torch.rand(2, 300, 3, generator=generator) * 16 - 2
    fast, plain = sample_sparse_grid(coords, feats, query, mode), _sample_by_sorting(coords, feats, query, mode)
    torch.testing.assert_close(fast, plain, atol=2e-5, rtol=1e-5)


def test_gradients_reach_values_and_positions():
    coords = full_grid()
    feats = torch.rand(len(coords), 2, dtype=torch.float64, requires_grad=True)
    query = (torch.rand(1, 6, 3, dtype=torch.float64) * 2.8 + 0.6).requires_grad_()
    assert torch.autograd.gradcheck(lambda f, q: sample_sparse_grid(coords, f, q), (feats, query))


def test_nothing_to_sample_or_nowhere_to_sample():
    nothing = torch.empty(0, 4, dtype=torch.int32)
    assert sample_sparse_grid(nothing, torch.empty(0, 3), torch.rand(2, 5, 3)).tolist() == torch.zeros(2, 5, 3).tolist()
    assert _sample_by_sorting(nothing, torch.empty(0, 3), torch.rand(2, 5, 3), "nearest").abs().sum() == 0
    assert sample_sparse_grid(full_grid(), torch.rand(64, 3), torch.empty(1, 0, 3)).shape == (1, 0, 3)


def test_attributes_are_found_in_the_cube():
    voxels = SparseVoxels(
        torch.tensor([[0, 0, 0], [3, 3, 3]]), 4, {"roughness": torch.tensor([10, 200]).to(torch.uint8)}
    )
    points = torch.tensor([[-0.375, -0.375, -0.375], [0.4, 0.4, 0.4]])
    assert sample_voxels(voxels, "roughness", points)[:, 0].tolist() == pytest.approx([10, 200])


@pytest.mark.parametrize("mode", ["trilinear", "nearest"])
def test_points_that_are_not_numbers_find_nothing(mode):
    query = torch.tensor([[[float("nan"), 1.0, 1.0], [float("inf"), 1.0, 1.0], [1.0, 1.0, -float("inf")]]])
    values = sample_sparse_grid(full_grid(), torch.ones(64, 1), query, mode)
    assert values.nan_to_num().tolist() == [[[0.0]] * 3]


def test_many_points_on_threads_give_what_few_do():
    coords, generator = full_grid(8), torch.Generator().manual_seed(0)
    feats = torch.rand(len(coords), 3, generator=generator)
    query = 8 * torch.rand(1, 150_000, 3, generator=generator)
    together = sample_sparse_grid(coords, feats, query)
    apart = [sample_sparse_grid(coords, feats, piece) for piece in query.split(40_000, 1)]
    assert torch.equal(together, torch.cat(apart, 1))
