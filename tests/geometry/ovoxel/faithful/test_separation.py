import numpy as np
import pytest
import torch

from scenewright.geometry.mesh.near_surface import far_pieces, surface_by_voxels
from scenewright.geometry.ovoxel.dual_grid import mesh_to_dual_grid
from scenewright.geometry.ovoxel.faithful.editing import EditableGrid
from scenewright.geometry.ovoxel.faithful.separation import separate_sheets
from scenewright.types import Mesh
from tests.geometry.shapes import box

RESOLUTION = 32
NOTHING = np.empty((0, 3))


def board(thickness: float, turn: tuple[float, float, float]) -> Mesh:
    """A closed board, `thickness` in voxels, turned about x, y and z."""
    mesh = box()
    span = mesh.vertices.max(0).values - mesh.vertices.min(0).values
    unit = (mesh.vertices - mesh.vertices.min(0).values) / span - 0.5
    vertices = (unit * torch.tensor([0.6, 0.6, thickness / RESOLUTION])).double()
    for axis, angle in enumerate(turn):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turned = vertices.clone()
        turned[:, a] = np.cos(angle) * vertices[:, a] - np.sin(angle) * vertices[:, b]
        turned[:, b] = np.sin(angle) * vertices[:, a] + np.cos(angle) * vertices[:, b]
        vertices = turned
    return Mesh(vertices.float(), mesh.faces)


def surface_of(mesh: Mesh):
    vertices = (mesh.vertices.double().numpy() + 0.5) * RESOLUTION
    return vertices, mesh.faces.numpy().astype(np.int32)


def odd_edges(state: EditableGrid) -> int:
    """Edges of the rebuilt surface that an odd number of its triangles share: 0 for a closed surface."""
    edges = np.sort(state.triangles()[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    return int((np.unique(edges, axis=0, return_counts=True)[1] % 2).sum())


@pytest.mark.parametrize("thickness", [1.1, 1.2, 1.35])
@pytest.mark.parametrize("turn", [(0.4, 0.3, 0.2), (0.7, 0.6, 0.5), (0.9, 0.1, 0.0)])
def test_the_two_faces_of_a_board_no_longer_share_vertices_between_them(thickness, turn):
    mesh = board(thickness, turn)
    vertices, faces = surface_of(mesh)
    surface = surface_by_voxels(vertices, faces, RESOLUTION)
    state = EditableGrid.of(mesh_to_dual_grid(mesh, RESOLUTION))
    strays = far_pieces(state.position, state.triangles(), surface, 0.5)
    lost = far_pieces(vertices, faces, state.surface(), 0.49)
    # Half of a board's thickness is beyond half a voxel, and vertices stand between its faces.
    assert strays[:, 3].max() > 0.52
    assert separate_sheets(state, NOTHING, surface, 0.49)
    after = far_pieces(state.position, state.triangles(), surface, 0.5)
    # A board's corner where three faces meet may be left; between the faces nothing is.
    assert len(after) <= 0.02 * len(strays)
    assert len(far_pieces(vertices, faces, state.surface(), 0.49)) <= len(lost) + 3
    assert (np.diff(state.keys(state.coords)) > 0).all()
    assert bool(((state.position >= state.coords) & (state.position <= state.coords + 1)).all())


def test_a_closed_surface_stays_closed():
    mesh = board(1.15, (0.7, 0.6, 0.5))
    surface = surface_by_voxels(*surface_of(mesh), RESOLUTION)
    state = EditableGrid.of(mesh_to_dual_grid(mesh, RESOLUTION))
    # At the board's rims a grid edge that both faces cross has one flag: the conversion itself opens it there.
    before = odd_edges(state)
    assert separate_sheets(state, NOTHING, surface, 0.49)
    assert odd_edges(state) <= before


def test_nothing_is_changed_where_nothing_strays():
    mesh = board(6.0, (0.4, 0.3, 0.2))
    surface = surface_by_voxels(*surface_of(mesh), RESOLUTION)
    state = EditableGrid.of(mesh_to_dual_grid(mesh, RESOLUTION))
    position, flags = state.position.copy(), state.flags.copy()
    assert not separate_sheets(state, NOTHING, surface, 0.49)
    assert np.array_equal(state.position, position)
    assert np.array_equal(state.flags, flags)


def test_only_touched_voxels_are_looked_at():
    mesh = board(1.2, (0.7, 0.6, 0.5))
    surface = surface_by_voxels(*surface_of(mesh), RESOLUTION)
    state = EditableGrid.of(mesh_to_dual_grid(mesh, RESOLUTION))
    state.is_touched[:] = False
    assert not separate_sheets(state, NOTHING, surface, 0.49)
