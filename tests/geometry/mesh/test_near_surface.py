import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewright.geometry.mesh.near_surface import NearSurface, far_pieces, surface_by_voxels, surface_distance
from scenewright.geometry.mesh.triangle_tree import closest_points
from scenewright.geometry.ovoxel.dual_grid import mesh_to_dual_grid
from scenewright.geometry.ovoxel.faithful.editing import EditableGrid
from scenewright.types import Mesh
from tests.geometry.shapes import icosphere

RESOLUTION = 16


def in_voxels(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    vertices = (mesh.vertices.double() + 0.5) * RESOLUTION
    return vertices.numpy(), mesh.faces.numpy().astype(np.int32)


def sheet(height: float) -> tuple[np.ndarray, np.ndarray]:
    vertices = np.array([[2.0, 2, height], [14, 2, height], [14, 14, height], [2, 14, height]])
    return vertices, np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def surfaces_of_a_sphere() -> list[tuple[NearSurface, Mesh]]:
    """The sphere itself by voxels, and its rebuilt surface by vertices."""
    sphere = icosphere(3)
    edited = EditableGrid.of(mesh_to_dual_grid(sphere, RESOLUTION))
    rebuilt = Mesh(torch.from_numpy(edited.position), torch.from_numpy(edited.triangles()))
    vertices, faces = in_voxels(sphere)
    given_surface = surface_by_voxels(vertices, faces, RESOLUTION)
    return [(given_surface, Mesh(torch.from_numpy(vertices), torch.from_numpy(faces))), (edited.surface(), rebuilt)]


@pytest.mark.parametrize("which", [0, 1])
def test_distances_up_to_a_voxel_are_those_of_the_whole_surface(which):
    surface, mesh = surfaces_of_a_sphere()[which]
    points = np.random.default_rng(0).uniform(1, 15, (4000, 3))
    exact = closest_points(mesh, torch.from_numpy(points)).distance.numpy()
    found = surface_distance(points, surface, 0.1)
    is_within = exact < 1
    assert is_within.sum() > 500
    # Nearer than the tolerance any distance below it will do.
    np.testing.assert_allclose(found[is_within].clip(0.1), exact[is_within].clip(0.1), atol=1e-5)
    assert (found[~is_within] >= exact[~is_within] - 1e-5).all()


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.floats(0.02, 0.95), st.floats(3.0, 12.0))
def test_all_of_a_sheet_is_far_or_none(gap, height):
    vertices, faces = sheet(height)
    other = surface_by_voxels(*sheet(height + gap), RESOLUTION)
    pieces = far_pieces(vertices, faces, other, 0.5)
    if gap <= 0.5:
        assert len(pieces) == 0
    else:
        np.testing.assert_allclose(pieces[:, 3], gap, atol=1e-9)
        assert set(pieces[:, 4]) == {0, 1}
        # Pieces are everywhere on the sheet of 12 x 12 cells, on its border too.
        assert len(np.unique(np.floor(pieces[:, :2]), axis=0)) >= 144


def test_only_chosen_triangles_are_looked_at_on_any_number_of_threads():
    vertices, faces = in_voxels(icosphere(4, 0.4))
    other = surface_by_voxels(*in_voxels(icosphere(3, 0.35)), RESOLUTION)
    chosen = np.arange(0, len(faces), 3)
    seen: list[float] = []
    once = far_pieces(vertices, faces, other, 0.5, chosen=chosen, num_threads=1, progress=seen.append)
    again = far_pieces(vertices, faces, other, 0.5, chosen=chosen, num_threads=3)
    assert np.array_equal(once, again)
    assert set(once[:, 4]) == set(chosen.astype(float))
    assert seen == sorted(seen)


def test_with_no_other_surface_everything_is_far():
    vertices, faces = sheet(5.5)
    nothing = surface_by_voxels(vertices, faces[:0], RESOLUTION)
    assert float(far_pieces(vertices, faces, nothing, 0.5)[:, 3].min()) > 1e4
    assert len(far_pieces(vertices, faces[:0], nothing, 0.5)) == 0
