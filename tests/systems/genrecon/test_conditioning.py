"""Conditioning does not depend on its blocks, and geometry holds at the frustum's edges."""

from dataclasses import replace

import pytest
import torch

from scenewright.errors import InputError
from scenewright.geometry.camera.patches import patch_of_points
from scenewright.systems.genrecon.aggregator import seen_pairs
from scenewright.systems.genrecon.conditioning import EncodedViews, condition_points
from scenewright.systems.genrecon.lattice import ChunkLattice
from tests.systems.genrecon.test_aggregator import WIDTH, perturbed


def views(count: int = 4, patches: int = 3) -> EncodedViews:
    generator = torch.Generator().manual_seed(5)
    cameras = torch.eye(4).repeat(count, 1, 1)
    cameras[:, :3, 3] = torch.tensor([0.0, 0.0, 1.2]) + 0.2 * torch.randn(count, 3, generator=generator)
    intrinsics = torch.tensor([[0.8, 0.0, 0.5], [0.0, 0.9, 0.5], [0.0, 0.0, 1.0]]).repeat(count, 1, 1)
    return EncodedViews(torch.randn(count, patches**2 + 5, WIDTH, generator=generator), cameras, intrinsics)


@pytest.mark.parametrize("memory", [1, 2000, 30_000])
def test_blocks_do_not_change_the_result(memory: int) -> None:
    lattice = ChunkLattice.from_translations(torch.tensor([[0.0, 0, 0], [0.5, -0.25, 0]]), 4)
    points, network = lattice.centres(lattice.all_cells()), perturbed()
    whole = condition_points(network, views(), points)
    torch.testing.assert_close(condition_points(network, views(), points, memory_bytes=memory), whole)
    assert (whole.abs().sum(1) == 0).any()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 5e-3)])
def test_on_a_processor_it_is_the_aggregator_of_the_pairs(dtype: torch.dtype, tolerance: float) -> None:
    points, network, given = torch.rand(60, 3) - 0.5, perturbed(), views()
    found = condition_points(network, given, points, dtype=dtype)
    patch, seen = patch_of_points(points, given.cam_from_joint, given.intrinsics_unit, given.patches)
    expected = network(given.tokens.flatten(0, 1), seen_pairs(patch, seen, given.tokens.shape[1], skipped=5))
    assert (found - expected).norm() < tolerance * expected.norm()


def test_statistics_keep_their_digits_far_from_zero() -> None:
    given, points = views(), torch.rand(60, 3) - 0.5
    far = replace(given, tokens=given.tokens + 1000)
    network = perturbed()
    with torch.no_grad():
        for layer in (network.feature_mlp[0], network.weight_mlp[0]):
            assert isinstance(layer, torch.nn.Linear)
            layer.weight[:, : 2 * WIDTH] = 0  # only the variance is read
    # The rest of what is added to the mean depends on the variance alone.
    near, moved = (condition_points(network, views, points) for views in (given, far))
    torch.testing.assert_close(moved[near.any(1)] - 1000, near[near.any(1)], rtol=0, atol=2e-3)


def test_no_view_and_no_point() -> None:
    empty = views(0)
    assert condition_points(perturbed(), empty, torch.rand(3, 3)).abs().max() == 0
    assert condition_points(perturbed(), views(), torch.rand(0, 3)).shape == (0, WIDTH)


def test_tokens_that_are_no_square_are_refused() -> None:
    wrong = EncodedViews(torch.randn(1, 12, WIDTH), torch.eye(4)[None], torch.eye(3)[None])
    with pytest.raises(InputError, match="square of patches"):
        condition_points(perturbed(), wrong, torch.rand(1, 3))


def test_lattice_covers_negative_translations() -> None:
    lattice = ChunkLattice.from_translations(torch.tensor([[0.0, 0, 0], [-0.75, 0.5, 0]]), 16)
    assert lattice.offsets.tolist() == [[12, 0, 0], [0, 8, 0]]
    assert lattice.size == (28, 24, 16)
    first = lattice.centres(lattice.scene_cells(0, torch.zeros(1, 3, dtype=torch.long)))
    torch.testing.assert_close(first, torch.full((1, 3), 0.5 / 16 - 0.5))


def test_lattice_without_chunks_is_refused() -> None:
    with pytest.raises(InputError, match="at least one chunk"):
        ChunkLattice.from_translations(torch.zeros(0, 3), 16)
