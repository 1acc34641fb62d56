import pytest
import torch

from scenewright.errors import InputError
from scenewright.geometry.ovoxel.dual_grid_mesh import QUAD_STEPS, _quads_by_sorting, dual_grid_quads, dual_grid_to_mesh
from scenewright.types import DualGrid


def four_voxels(axis: int, **changes) -> DualGrid:
    """The four voxels round one edge along `axis`, the first one flagged, vertices at voxel centres."""
    coords = torch.tensor([(1, 1, 1), *[tuple(1 + s for s in step) for step in QUAD_STEPS[axis]]])
    intersected = torch.zeros(4, 3, dtype=torch.bool)
    intersected[0, axis] = True
    fields = {"coords": coords, "dual_vertices": torch.full((4, 3), 0.5), "intersected": intersected, "resolution": 4}
    return DualGrid(**(fields | changes))


def random_grid(seed: int, resolution: int = 9, num: int = 400) -> DualGrid:
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randperm(resolution**3, generator=generator)[:num]
    coords = torch.stack([cells // resolution**2, cells // resolution % resolution, cells % resolution], 1)
    return DualGrid(
        coords,
        torch.rand(num, 3, generator=generator),
        torch.rand(num, 3, generator=generator) > 0.5,
        resolution,
        torch.rand(num, generator=generator),
    )


@pytest.mark.parametrize("axis", range(3))
def test_one_crossed_edge_is_one_quad_facing_down_its_axis(axis):
    mesh = dual_grid_to_mesh(four_voxels(axis))
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    # The centre of voxel 1 of 4 lies at -0.125.
    assert mesh.vertices[0].tolist() == [-0.125] * 3
    a, b, c = mesh.vertices[mesh.faces[0]]
    normal = torch.linalg.cross(b - a, c - a)
    expected = torch.zeros(3)
    expected[axis] = -1
    torch.testing.assert_close(normal / normal.norm(), expected)


def test_quads_with_a_missing_voxel_are_dropped():
    grid = four_voxels(2)
    for row in (1, 2, 3):
        keep = [r for r in range(4) if r != row]
        partial = DualGrid(grid.coords[keep], grid.dual_vertices[keep], grid.intersected[keep], 4)
        mesh = dual_grid_to_mesh(partial)
        assert mesh.faces.shape == (0, 3)
        assert mesh.vertices.shape == (3, 3)


def test_the_larger_product_of_opposite_weights_chooses_the_diagonal():
    for weight, faces in (
        ([2.0, 1, 1, 1], [[0, 1, 2], [0, 2, 3]]),
        ([1.0, 2, 1, 1], [[0, 1, 3], [3, 1, 2]]),
        ([1.0, 1, 1, 1], [[0, 1, 3], [3, 1, 2]]),  # a tie
    ):
        assert dual_grid_to_mesh(four_voxels(1, split_weight=torch.tensor(weight))).faces.tolist() == faces


def test_fan_blends_the_diagonals_and_carries_gradients():
    grid = four_voxels(0)
    dual = grid.dual_vertices.clone().requires_grad_()
    weight = torch.tensor([3.0, 1, 1, 1], requires_grad=True)
    mesh = dual_grid_to_mesh(four_voxels(0, dual_vertices=dual, split_weight=weight), fan=True)
    assert mesh.faces.tolist() == [[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]]
    v = mesh.vertices
    torch.testing.assert_close(v[4], (3 * (v[0] + v[2]) / 2 + (v[1] + v[3]) / 2) / 4)
    v[4].pow(2).sum().backward()
    assert dual.grad is not None
    assert weight.grad is not None
    assert float(dual.grad.abs().sum()) > 0


def test_vertices_are_differentiable_without_the_fan():
    dual = torch.full((4, 3), 0.5, requires_grad=True)
    dual_grid_to_mesh(four_voxels(0, dual_vertices=dual)).vertices.sum().backward()
    torch.testing.assert_close(dual.grad, torch.full((4, 3), 0.25))


@pytest.mark.parametrize("seed", range(3))
def test_compiled_and_plain_paths_agree(seed):
    grid = random_grid(seed)
    fast = dual_grid_quads(grid.coords, grid.intersected)
    assert len(fast) > 50
    assert torch.equal(fast, _quads_by_sorting(grid.coords, grid.intersected))


def test_empty_and_single_voxel():
    nothing = DualGrid(torch.empty(0, 3, dtype=torch.int32), torch.empty(0, 3), torch.empty(0, 3, dtype=torch.bool), 8)
    assert dual_grid_to_mesh(nothing).faces.shape == (0, 3)
    assert dual_grid_to_mesh(nothing, fan=True).vertices.shape == (0, 3)
    one = DualGrid(torch.tensor([[7, 7, 7]]), torch.rand(1, 3), torch.ones(1, 3, dtype=torch.bool), 8)
    assert dual_grid_to_mesh(one).faces.shape == (0, 3)


def test_a_wrong_resolution_is_named():
    with pytest.raises(InputError, match="from 0 to 1, got 1 to 2"):
        dual_grid_to_mesh(four_voxels(0, resolution=2))
