from pathlib import Path

import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewright.errors import InputError
from scenewright.geometry.mesh.triangle_tree import closest_points
from scenewright.geometry.ovoxel.dual_grid import mesh_to_dual_grid
from scenewright.geometry.ovoxel.dual_grid_mesh import dual_grid_to_mesh
from scenewright.geometry.ovoxel.faithful.fidelity import faithful_dual_grid
from scenewright.geometry.ovoxel.voxelize import fit_unit_cube
from scenewright.io.glb import load_glb
from scenewright.types import DualGrid, Mesh
from tests.geometry.shapes import box, icosphere

FURNITURE = Path(__file__).parents[3] / "data" / "furniture"


def rod(start, end, radius: float, resolution: int) -> Mesh:
    """A square rod between two points, all in voxels from the grid's low corner."""
    a, b = torch.tensor(start, dtype=torch.float64), torch.tensor(end, dtype=torch.float64)
    along = torch.nn.functional.normalize(b - a, dim=0)
    side = torch.linalg.cross(along, torch.eye(3, dtype=torch.float64)[along.abs().argmin()])
    side = radius * torch.nn.functional.normalize(side, dim=0)
    other = torch.linalg.cross(along, side)
    ring = torch.stack([side + other, side - other, -side - other, other - side])
    vertices = torch.cat([a + ring, b + ring])
    faces = [[k, (k + 1) % 4, k + 4] for k in range(4)] + [[(k + 1) % 4, (k + 1) % 4 + 4, k + 4] for k in range(4)]
    faces += [[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]]
    return Mesh((vertices / resolution - 0.5).float(), torch.tensor(faces))


def together(*meshes: Mesh) -> Mesh:
    starts = torch.tensor([0, *(len(mesh.vertices) for mesh in meshes[:-1])]).cumsum(0).tolist()
    faces = torch.cat([mesh.faces + start for mesh, start in zip(meshes, starts, strict=True)])
    return Mesh(torch.cat([mesh.vertices for mesh in meshes]), faces)


def dense_points(mesh: Mesh, count: int) -> torch.Tensor:
    """The vertices in use and random points of the surface."""
    surface = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    points = torch.from_numpy(trimesh.sample.sample_surface(surface, count, seed=0)[0]).float()
    return torch.cat([mesh.vertices[mesh.faces.long().unique()], points])


def both_ways(mesh: Mesh, grid: DualGrid, count: int = 10_000) -> tuple[float, float]:
    """Largest distance in voxels, mesh to rebuilt and rebuilt to mesh."""
    rebuilt = dual_grid_to_mesh(grid)
    there = closest_points(rebuilt, dense_points(mesh, count)).distance.max()
    back = closest_points(mesh, dense_points(rebuilt, count)).distance.max()
    return float(there) * grid.resolution, float(back) * grid.resolution


def faithful(mesh: Mesh, resolution: int, **options) -> tuple[DualGrid, DualGrid]:
    grid = mesh_to_dual_grid(mesh, resolution)
    return grid, faithful_dual_grid(grid, mesh, **options)


@pytest.mark.parametrize("end", [(8.5, 8.5, 13.2), (3.1, 12.2, 6.3)])
def test_a_rod_between_the_grid_lines_leaves_nothing_as_published_and_a_ribbon_here(end):
    mesh = rod((8.5, 8.5, 2.7), end, 0.02, 16)
    grid, more = faithful(mesh, 16)
    if end[:2] == (8.5, 8.5):
        assert len(grid.coords) == 0
    there, back = both_ways(mesh, more)
    assert there <= 0.5
    assert back <= 0.5
    # One piece from end to end, joined at the voxels' vertices.
    edges = trimesh.Trimesh(more.coords.numpy(), dual_grid_to_mesh(more).faces.numpy(), process=False).edges_unique
    assert len(trimesh.graph.connected_components(edges)) == 1


def test_what_was_there_keeps_its_place_where_nothing_strays_and_the_rest_ascends():
    mesh = together(icosphere(3, 0.3), rod((1.3, 1.4, 1.2), (1.6, 1.5, 13.7), 0.05, 16))
    grid, more = faithful(mesh, 16)
    assert len(more.coords) > len(grid.coords)
    keys = (more.coords.long() * torch.tensor([256, 16, 1])).sum(1)
    assert bool((keys[1:] > keys[:-1]).all())
    row = torch.searchsorted(keys, (grid.coords.long() * torch.tensor([256, 16, 1])).sum(1))
    assert torch.equal(more.coords[row], grid.coords)
    assert torch.equal(more.dual_vertices[row], grid.dual_vertices)
    assert bool((more.intersected[row] | ~grid.intersected).all())
    assert bool(((more.dual_vertices >= 0) & (more.dual_vertices <= 1)).all())
    assert more.coords.dtype == grid.coords.dtype
    there, back = both_ways(mesh, more)
    assert there <= 0.5
    assert back <= 0.5


def test_a_surface_that_lost_nothing_is_given_back_as_it_was():
    grid, more = faithful(icosphere(3), 32)
    assert more is grid


def test_two_sheets_that_cross_in_one_voxel_are_both_kept():
    # A quarter-voxel-thin blade stands across a floor: one vertex cannot lie on both.
    floor = Mesh(
        torch.tensor([[1.0, 1, 7.1], [15, 1, 7.1], [15, 15, 7.1], [1, 15, 7.1]]) / 16 - 0.5,
        torch.tensor([[0, 1, 2], [0, 2, 3]]),
    )
    mesh = together(floor, rod((8.5, 3.2, 7.85), (8.5, 12.7, 7.85), 0.05, 16))
    grid, more = faithful(mesh, 16)
    assert both_ways(mesh, grid)[0] > 0.6
    there, back = both_ways(mesh, more)
    assert there <= 0.5
    assert back <= 0.5


@pytest.mark.parametrize("centre", [(5.5, 5.5, 5.5), (0.5, 0.5, 7.3), (7.98, 7.98, 7.98)])
def test_a_crumb_inside_one_cell_leaves_something(centre):
    cell = torch.tensor(centre)
    crumb = Mesh((cell + 0.01 * torch.eye(3)) / 8 - 0.5, torch.tensor([[0, 1, 2]]))
    grid, more = faithful(crumb, 8)
    assert len(grid.coords) == 0
    assert len(more.coords) == 4
    there, back = both_ways(crumb, more)
    assert there <= 0.1
    # In the grid's last corner there are only the neighbours on the far side.
    assert back <= (0.72 if max(centre) < 7.9 else 1.42)


def test_rods_on_the_border_of_the_grid_stay_inside_it():
    # Along the grid's own edge there are neighbours on the far side only, and the rod's ends are farther off.
    side = 15.99
    along_the_edge = rod((side, 0.02, 0.02), (side, side, 0.02), 0.005, 16)
    on_a_face = rod((0.4, 12.6, 1.3), (0.4, 12.6, 14.2), 0.02, 16)
    for mesh, most_there, most_back in ((along_the_edge, 0.6, 1.42), (on_a_face, 0.5, 0.72)):
        _, more = faithful(mesh, 16)
        assert int(more.coords.min()) >= 0
        assert int(more.coords.max()) < 16
        there, back = both_ways(mesh, more)
        assert there <= most_there
        assert back <= most_back


def test_the_result_does_not_depend_on_threads_and_comes_again():
    mesh = together(*(rod((2.3, 2 + k, 3.1), (13.4, 1.5 + k, 11 + k / 3), 0.03, 16) for k in range(8)))
    _, once = faithful(mesh, 16, num_threads=1)
    seen: list[float] = []
    _, again = faithful(mesh, 16, num_threads=3, progress=seen.append)
    for a, b in zip(
        (once.coords, once.dual_vertices, once.intersected),
        (again.coords, again.dual_vertices, again.intersected),
        strict=True,
    ):
        assert torch.equal(a, b)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_two_sheets_farther_apart_than_a_voxel_but_in_one_are_parted():
    # A slanted board 1.2 voxels thick: as published, vertices stand between its faces, beyond half a voxel from both.
    mesh = rod((3.2, 4.1, 3.3), (11.6, 12.4, 11.1), 3.0, 16)
    along = torch.nn.functional.normalize(mesh.vertices[1] - mesh.vertices[0], dim=0)
    middle = mesh.vertices.mean(0)
    side = (mesh.vertices - middle) @ along
    mesh = Mesh(mesh.vertices - side[:, None] * along * (1 - 0.2), mesh.faces)
    grid, more = faithful(mesh, 16)
    assert both_ways(mesh, grid)[1] > 0.52
    there, back = both_ways(mesh, more)
    assert there <= 0.5
    assert back <= 0.5


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.tuples(*[st.floats(0.3, 7.7)] * 6), st.floats(0.005, 0.2))
def test_any_thin_rod_is_kept(ends, radius):
    start, end = torch.tensor(ends[:3]), torch.tensor(ends[3:])
    if float((end - start).norm()) < 0.3:
        return
    mesh = rod(ends[:3], ends[3:], radius, 8)
    _, more = faithful(mesh, 8)
    there, back = both_ways(mesh, more)
    # An end in the middle of a voxel: a quad that reaches it reaches half a face's diagonal beyond it.
    assert there <= 0.6
    assert back <= 0.72


@pytest.mark.parametrize("name", ["b0_bedsidetable2", "b0_deckchair", "b0_technicaltable1"])
def test_furniture_stays_within_half_a_voxel(name):
    parts = [part for scene_object in load_glb(FURNITURE / f"{name}.glb").objects for part in scene_object.parts]
    mesh = together(*(Mesh(part.vertices, part.faces.long()) for part in parts))
    mesh = Mesh(fit_unit_cube(mesh.vertices)[0], mesh.faces)
    _, more = faithful(mesh, 64)
    there, back = both_ways(mesh, more, 50_000)
    assert there <= 0.5
    assert back <= 0.5


def test_what_cannot_be_kept_is_refused():
    mesh = box()
    grid = mesh_to_dual_grid(mesh, 8)
    with pytest.raises(InputError, match="tolerance"):
        faithful_dual_grid(grid, mesh, tolerance=0.0)
    with pytest.raises(InputError, match="finite"):
        faithful_dual_grid(grid, Mesh(mesh.vertices * float("nan"), mesh.faces))
    decoded = DualGrid(grid.coords, grid.dual_vertices, grid.intersected, 8, torch.ones(len(grid.coords)))
    with pytest.raises(InputError, match="split weights"):
        faithful_dual_grid(decoded, mesh)


def test_triangles_without_area_leave_nothing():
    line = Mesh(torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0.2, 0, 0]]), torch.tensor([[0, 1, 2]]))
    _, more = faithful(line, 8)
    assert len(more.coords) == 0
