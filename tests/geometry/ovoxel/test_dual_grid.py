from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewright.errors import InputError
from scenewright.geometry.mesh.triangle_tree import closest_points
from scenewright.geometry.ovoxel.dual_grid import DualGridConfig, mesh_to_dual_grid, mesh_to_lattice
from scenewright.geometry.ovoxel.dual_grid_mesh import dual_grid_to_mesh
from scenewright.geometry.ovoxel.voxelize import Lattice, fit_unit_cube
from scenewright.io.glb import load_glb
from scenewright.types import Mesh
from tests.geometry.ovoxel import dual_grid_reference

FURNITURE = sorted((Path(__file__).parents[2] / "data" / "furniture").glob("*.glb"))


def sphere(radius: float = 0.4, subdivisions: int = 3, center=(0.0, 0.0, 0.0)) -> Mesh:
    ball = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return Mesh(torch.tensor(ball.vertices + np.array(center)).float(), torch.tensor(ball.faces))


def rows(grid) -> dict:
    lists = zip(grid.coords.tolist(), grid.dual_vertices.tolist(), grid.intersected.tolist(), strict=True)
    return {tuple(coord): (dual, flags) for coord, dual, flags in lists}


def test_horizontal_square_by_hand():
    # One rectangle at height z = 0.3 of a 4^3 grid over the unit cube: grid units 3.2, so layer 3, offset 0.2. It spans
    # grid units 0.8 to 3.2 by 0.6 to 3.4 and crosses the 3 x 3 vertical grid lines at 1, 2, 3 (none on its diagonal).
    corners = torch.tensor([[-0.3, -0.35, 0.3], [0.3, -0.35, 0.3], [0.3, 0.35, 0.3], [-0.3, 0.35, 0.3]])
    grid = mesh_to_dual_grid(Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]])), 4)
    assert grid.coords.tolist() == [[x, y, 3] for x in range(4) for y in range(4)]
    flagged = grid.coords[grid.intersected[:, 2]].tolist()
    assert flagged == [[x, y, 3] for x in range(3) for y in range(3)]
    assert not grid.intersected[:, :2].any()
    torch.testing.assert_close(grid.dual_vertices[:, 2], torch.full((16,), 0.2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_an_independent_statement_of_the_rules(seed):
    generator = np.random.default_rng(seed)
    vertices = generator.uniform(-0.45, 0.45, (7, 3)).astype(np.float32)
    faces = np.array([[0, 1, 2], [1, 2, 3], [3, 4, 5], [2, 1, 6]])
    expected = dual_grid_reference.dual_grid(vertices, faces, 7)
    actual = rows(mesh_to_dual_grid(Mesh(torch.tensor(vertices), torch.tensor(faces)), 7))
    assert actual.keys() == expected.keys()
    for voxel, (dual, flags) in expected.items():
        assert actual[voxel][1] == flags
        np.testing.assert_allclose(actual[voxel][0], dual, atol=1e-3, err_msg=str(voxel))


def test_result_does_not_depend_on_threads_or_triangle_order():
    mesh = sphere()
    grid = mesh_to_dual_grid(mesh, 48, DualGridConfig(num_threads=1))
    threaded = mesh_to_dual_grid(mesh, 48, DualGridConfig(num_threads=3))
    assert torch.equal(grid.dual_vertices, threaded.dual_vertices)
    order = torch.randperm(len(mesh.faces), generator=torch.Generator().manual_seed(0))
    shuffled = mesh_to_dual_grid(Mesh(mesh.vertices, mesh.faces[order]), 48)
    assert torch.equal(grid.coords, shuffled.coords)
    assert torch.equal(grid.intersected, shuffled.intersected)
    torch.testing.assert_close(grid.dual_vertices, shuffled.dual_vertices, atol=1e-4, rtol=0)


@settings(max_examples=10, deadline=None)
@given(st.tuples(*[st.integers(-3, 3)] * 3))
def test_moving_by_whole_voxels_moves_the_grid(shift):
    # Quarter-odd coordinates keep clear of ties; 32 cells make the shift exact in float32.
    mesh = sphere(0.301, 2, (0.0113, 0.0071, -0.0057))
    grid = mesh_to_dual_grid(mesh, 32)
    moved = mesh_to_dual_grid(Mesh(mesh.vertices + torch.tensor(shift) / 32, mesh.faces), 32)
    assert torch.equal(moved.coords, grid.coords + torch.tensor(shift, dtype=torch.int32))
    torch.testing.assert_close(moved.dual_vertices, grid.dual_vertices, atol=1e-3, rtol=0)


@pytest.mark.parametrize("axes", [(1, 2, 0), (2, 0, 1)])
def test_turning_the_axes_turns_the_grid(axes):
    mesh = sphere(0.307, 2, (0.0113, 0.0071, -0.0057))
    turned = Mesh(mesh.vertices[:, list(axes)].contiguous(), mesh.faces)
    expected, actual = rows(mesh_to_dual_grid(mesh, 24)), rows(mesh_to_dual_grid(turned, 24))
    assert {tuple(voxel[a] for a in axes) for voxel in expected} == actual.keys()
    for voxel, (dual, flags) in expected.items():
        dual_turned, flags_turned = actual[tuple(voxel[a] for a in axes)]
        assert [flags[a] for a in axes] == flags_turned
        np.testing.assert_allclose([dual[a] for a in axes], dual_turned, atol=1e-3)


def test_closed_surface_gives_a_closed_mesh_inside_the_voxels():
    grid = mesh_to_dual_grid(sphere(0.4, 4), 40)
    assert bool(((grid.dual_vertices >= 0) & (grid.dual_vertices <= 1)).all())
    mesh = dual_grid_to_mesh(grid)
    edges = mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).sort(1).values
    assert bool((torch.unique(edges, dim=0, return_counts=True)[1] % 2 == 0).all())


def test_nested_open_and_non_manifold_surfaces_are_kept():
    outer, inner = sphere(0.4), sphere(0.2)
    both = Mesh(
        torch.cat([outer.vertices, inner.vertices]), torch.cat([outer.faces, inner.faces + len(outer.vertices)])
    )
    assert len(mesh_to_dual_grid(both, 32).coords) == sum(len(mesh_to_dual_grid(m, 32).coords) for m in (outer, inner))
    # Three sheets that share one edge.
    angles = torch.tensor([0.1, 2.2, 4.3])
    rim = torch.stack([0.4 * angles.cos(), 0.4 * angles.sin(), torch.full((3,), -0.31)], 1)
    points = torch.cat([torch.tensor([[0.01, 0.02, -0.31], [0.01, 0.02, 0.33]]), rim, rim + torch.tensor([0, 0, 0.64])])
    faces = torch.tensor([f for k in range(3) for f in ([0, 2 + k, 1], [2 + k, 5 + k, 1])])
    fan = Mesh(points, faces)
    rebuilt = dual_grid_to_mesh(mesh_to_dual_grid(fan, 64))
    assert float(closest_points(rebuilt, fan.vertices).distance.max()) * 64 < 1


@pytest.mark.parametrize("path", FURNITURE, ids=lambda path: path.stem)
def test_furniture_survives_the_round_trip(path):
    parts = [part for scene_object in load_glb(path).objects for part in scene_object.parts]
    starts = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    faces = torch.cat([part.faces + int(start) for part, start in zip(parts, starts, strict=True)])
    mesh = Mesh(fit_unit_cube(torch.cat([part.vertices for part in parts]))[0], faces)
    resolution = 128
    rebuilt = dual_grid_to_mesh(mesh_to_dual_grid(mesh, resolution))
    for source, target in ((mesh, rebuilt), (rebuilt, mesh)):
        surface = trimesh.Trimesh(source.vertices.numpy(), source.faces.numpy(), process=False)
        points = torch.tensor(np.asarray(trimesh.sample.sample_surface(surface, 20000, seed=0)[0])).float()
        voxels = closest_points(target, points).distance * resolution
        # Half a voxel; only where a part is thinner than the grid can tell, up to half a voxel's diagonal.
        assert float(voxels.quantile(0.999)) < 0.5
        assert float(voxels.max()) < 0.5 * 3**0.5


def test_a_surface_inside_one_cell_leaves_nothing():
    tiny = Mesh(
        torch.tensor([[0.010, 0.012, 0.011], [0.013, 0.012, 0.011], [0.011, 0.016, 0.012]]), torch.tensor([[0, 1, 2]])
    )
    grid = mesh_to_dual_grid(tiny, 8)
    assert grid.coords.shape == (0, 3)
    assert dual_grid_to_mesh(grid).faces.shape == (0, 3)


def test_triangles_without_area_change_nothing():
    mesh = sphere(0.4, 2)
    extra = torch.tensor([[0, 0, 1], [5, 5, 5]])
    grid = mesh_to_dual_grid(mesh, 16, DualGridConfig(boundary_weight=0.0))
    padded = mesh_to_dual_grid(
        Mesh(mesh.vertices, torch.cat([mesh.faces, extra])), 16, DualGridConfig(boundary_weight=0.0)
    )
    assert torch.equal(grid.coords, padded.coords)
    torch.testing.assert_close(grid.dual_vertices, padded.dual_vertices)


def test_no_regulariser_still_places_every_vertex_in_its_voxel():
    grid = mesh_to_dual_grid(sphere(0.4, 2), 24, DualGridConfig(regularization_weight=0.0, boundary_weight=0.0))
    assert bool(((grid.dual_vertices >= 0) & (grid.dual_vertices <= 1)).all())


def test_what_sticks_out_of_a_lattice_is_cut_off():
    mesh = sphere(0.7)
    coords, dual, _ = mesh_to_lattice(mesh.vertices, mesh.faces, Lattice.cube(16))
    assert len(coords) > 0
    assert int(coords.min()) >= 0
    assert int(coords.max()) < 16
    assert bool(((dual >= 0) & (dual <= 1)).all())


def test_lattices_need_not_be_cubes():
    lattice = Lattice.of_bounds(((-0.5, -0.25, -0.5), (0.5, 0.25, 0.5)), cells=(16, 24, 40))
    mesh = sphere(0.2)
    coords, dual, _ = mesh_to_lattice(mesh.vertices, mesh.faces, lattice)
    world = (coords + dual) * torch.tensor(lattice.voxel_size) + torch.tensor(lattice.low_corner)
    assert float((world.norm(dim=1) - 0.2).abs().max()) < 0.02


def test_progress_reaches_one():
    seen = []
    mesh_to_dual_grid(sphere(), 128, progress=lambda done, total: seen.append(done / total))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        ([[0.0, 0, 0]], torch.empty(0, 3, dtype=torch.long), "at least one triangle"),
        ([[0.0, 0, 0], [float("nan"), 0, 0], [0, 0.1, 0]], torch.tensor([[0, 1, 2]]), "finite vertices"),
        ([[0.0, 0, 0], [0.1, 0, 0], [0, 0.1, 0]], torch.tensor([[0, 1, 3]]), r"faces that name vertices 0\.\.2"),
        ([[0.0, 0, 0], [900.0, 0, 0], [0, 0.1, 0]], torch.tensor([[0, 1, 2]]), "fit_unit_cube"),
    ],
)
def test_bad_meshes_are_refused_with_a_reason(vertices, faces, message):
    with pytest.raises(InputError, match=message):
        mesh_to_dual_grid(Mesh(torch.tensor(vertices), faces), 16)


def test_absurd_scale_and_resolution_are_refused():
    mesh = sphere(1e6)
    with pytest.raises(InputError, match="times as large"):
        mesh_to_lattice(mesh.vertices, mesh.faces, Lattice.cube(16))
    with pytest.raises(InputError, match="grid cells"):
        mesh_to_dual_grid(sphere(), 100_000)


def test_ten_million_faces_are_taken_in_stride():
    """Memory and time stay linear: a sheet of 10 M triangles far smaller than a voxel."""
    side = 2237
    x, y = np.meshgrid(*[np.linspace(-0.4, 0.4, side, dtype=np.float32)] * 2, indexing="ij")
    height = np.full_like(x, 0.11) + 0.01 * x
    vertices = torch.from_numpy(np.stack([x, y, height], -1).reshape(-1, 3))
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).reshape(-1).astype(np.int32)
    faces = np.empty((2 * len(corner), 3), np.int32)
    faces[::2] = corner[:, None] + np.array([0, side, side + 1])
    faces[1::2] = corner[:, None] + np.array([0, side + 1, 1])
    assert len(faces) > 9.9e6
    grid = mesh_to_dual_grid(Mesh(vertices, torch.from_numpy(faces)), 32)
    assert len(grid.coords) == 26 * 26
    surface = (grid.coords[:, 2] + grid.dual_vertices[:, 2]) / 32 - 0.5
    assert float((surface - 0.11).abs().max()) < 0.006
