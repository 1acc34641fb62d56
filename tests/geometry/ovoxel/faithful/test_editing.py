import numpy as np
import torch

from scenewright.geometry.ovoxel.dual_grid import mesh_to_dual_grid
from scenewright.geometry.ovoxel.dual_grid_mesh import dual_grid_to_mesh
from scenewright.geometry.ovoxel.faithful.editing import EditableGrid
from tests.geometry.shapes import icosphere


def test_an_unedited_grid_comes_back_bit_for_bit():
    grid = mesh_to_dual_grid(icosphere(3), 16)
    same = EditableGrid.of(grid).result(grid)
    for name in ("coords", "dual_vertices", "intersected"):
        assert torch.equal(getattr(same, name), getattr(grid, name))
        assert getattr(same, name).dtype == getattr(grid, name).dtype


def test_voxels_are_made_once_inside_the_grid_and_in_order():
    grid = mesh_to_dual_grid(icosphere(3, 0.3), 16)
    state = EditableGrid.of(grid)
    wanted = np.array([[15, 15, 15], [0, 0, 0], [16, 0, 0], [0, 0, 0], grid.coords[5].tolist()])
    state.add(wanted, wanted + np.array([[0.5], [0.25], [0.5], [0.75], [0.5]]))
    assert len(state.coords) == len(grid.coords) + 2
    assert (np.diff(state.keys(state.coords)) > 0).all()
    assert state.rows(wanted).tolist()[2] == -1
    # Of two for one voxel the first counts, and one that was there stays as it was.
    assert state.position[0].tolist() == [0.25] * 3
    edited = state.result(grid)
    row = state.rows(grid.coords.numpy())
    assert torch.equal(edited.dual_vertices[row], grid.dual_vertices)


def test_a_part_gives_back_flags_and_only_the_voxels_in_use():
    grid = mesh_to_dual_grid(icosphere(3, 0.3), 16)
    state = EditableGrid.of(grid)
    state.is_touched[:] = False
    part = state.part(np.arange(len(grid.coords)))
    # A quad of four new voxels round an edge along x, and a voxel that no quad uses.
    corners = np.array([[1, 1, 1], [1, 1, 2], [1, 2, 2], [1, 2, 1]])
    part.add(np.concatenate([corners, [[14, 14, 14]]]), np.full((5, 3), 1.5))
    part.flags[part.rows(corners[:1]), 0] = True
    before = len(dual_grid_to_mesh(grid).faces)
    state.merge(part)
    assert len(state.coords) == len(grid.coords) + 4
    assert len(dual_grid_to_mesh(state.result(grid)).faces) == before + 2
    assert state.is_touched.sum() == 4
