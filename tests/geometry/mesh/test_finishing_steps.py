"""Clean-up steps: holes, simplification, components, smoothing, invisible faces, checks."""

import math

import pytest
import torch
import trimesh

from scenewright.errors import InputError
from scenewright.geometry.camera.visibility import face_visibility
from scenewright.geometry.mesh.closing import close_surface
from scenewright.geometry.mesh.components import remove_floaters
from scenewright.geometry.mesh.edges import boundary_loops, edge_table, face_components
from scenewright.geometry.mesh.holes import fill_holes
from scenewright.geometry.mesh.invisible_faces import invisible_faces, remove_invisible_faces
from scenewright.geometry.mesh.manifold import orient_faces, part_touching, split_non_manifold
from scenewright.geometry.mesh.parts import (
    check_mesh,
    face_areas,
    remove_degenerate_faces,
    remove_duplicate_faces,
    select_faces,
    vertex_normals,
    weld_vertices,
)
from scenewright.geometry.mesh.simplify import simplify
from scenewright.geometry.mesh.smoothing import smooth
from scenewright.metrics.mesh_quality import mesh_quality
from scenewright.types import Mesh
from tests.geometry.shapes import box, empty_mesh, from_trimesh, icosphere, to_trimesh
from tests.support.meshes import split_components


def nested_spheres(*radii: float) -> Mesh:
    spheres = [trimesh.creation.icosphere(subdivisions=3, radius=radius) for radius in radii]
    return from_trimesh(trimesh.util.concatenate(spheres))


def distance_from_origin(mesh: Mesh) -> torch.Tensor:
    return mesh.vertices[mesh.faces].mean(1).norm(dim=1)


def without_faces(mesh: Mesh, *rows: int) -> Mesh:
    keep = torch.ones(len(mesh.faces), dtype=torch.bool)
    keep[list(rows)] = False
    return select_faces(mesh, keep)


def test_nan_vertices_and_bad_indices_are_refused():
    mesh = icosphere()
    vertices = mesh.vertices.clone()
    vertices[7, 1] = torch.nan
    with pytest.raises(InputError, match="vertex 7"):
        check_mesh(Mesh(vertices, mesh.faces))
    with pytest.raises(InputError, match=r"faces that name vertices 0\.\.161"):
        check_mesh(Mesh(mesh.vertices, mesh.faces + 1))


def test_every_step_passes_an_empty_mesh_through():
    for step in (fill_holes, smooth, remove_floaters, remove_invisible_faces, weld_vertices, remove_degenerate_faces,
                 remove_duplicate_faces, lambda m: simplify(m, 100)):  # fmt: skip
        assert len(step(empty_mesh()).faces) == 0
    assert split_components(empty_mesh()) == []
    assert boundary_loops(empty_mesh().faces) == []


class TestHoles:
    def test_punched_sphere_is_closed_again(self):
        sphere = icosphere(3)
        vertex = 100
        punched = select_faces(sphere, ~(sphere.faces == vertex).any(1))
        assert not to_trimesh(punched).is_watertight
        closed = fill_holes(punched, max_perimeter=1.0)
        mesh = to_trimesh(closed)
        assert mesh.is_watertight
        assert mesh.is_winding_consistent
        assert mesh.euler_number == 2
        assert mesh.volume == pytest.approx(to_trimesh(sphere).volume, rel=1e-2)
        assert len(closed.faces) == len(sphere.faces)

    def test_missing_triangle_gets_one_triangle(self):
        closed = fill_holes(without_faces(icosphere(3), 5), max_perimeter=1.0)
        assert to_trimesh(closed).is_watertight
        assert len(closed.vertices) == len(icosphere(3).vertices)

    def test_long_openings_stay_open(self):
        sphere = icosphere(3)
        dome = select_faces(sphere, (sphere.vertices[sphere.faces][..., 2] > 0).all(1))
        assert fill_holes(dome, max_perimeter=0.5) is dome
        assert fill_holes(dome, max_perimeter=10.0, max_edges=4) is dome
        assert to_trimesh(fill_holes(dome, max_perimeter=10.0)).is_watertight

    def test_openings_that_touch_in_a_vertex_stay_open(self):
        sphere = icosphere(3)
        vertex = 100
        around = (sphere.faces == vertex).any(1).nonzero()[:, 0]
        first = sphere.faces[around[0]].tolist()
        opposite = next(int(f) for f in around if len(set(sphere.faces[f].tolist()) & set(first)) == 1)
        bowtie = without_faces(sphere, int(around[0]), opposite)
        assert fill_holes(bowtie, max_perimeter=1.0) is bowtie

    def test_colours_of_the_new_vertex_are_the_loops_mean(self):
        sphere = icosphere(3)
        coloured = Mesh(sphere.vertices, sphere.faces, vertex_colors=torch.full((len(sphere.vertices), 4), 0.25))
        closed = fill_holes(select_faces(coloured, ~(sphere.faces == 100).any(1)), max_perimeter=1.0)
        torch.testing.assert_close(closed.vertex_colors, torch.full((len(closed.vertices), 4), 0.25))


class TestSimplify:
    @pytest.mark.parametrize("budget", [2000, 500, 100])
    def test_meets_the_budget_and_keeps_the_shape(self, budget):
        sphere = icosphere(4)
        simple = simplify(sphere, budget)
        assert 0.9 * budget <= len(simple.faces) <= budget
        assert to_trimesh(simple).is_watertight
        assert to_trimesh(simple).volume == pytest.approx(to_trimesh(sphere).volume, rel=0.1)

    def test_small_meshes_are_returned_as_they_are(self):
        sphere = icosphere(1)
        assert simplify(sphere, 80) is sphere

    def test_seams_are_welded_before_collapsing(self):
        sphere = icosphere(3)
        soup = Mesh(sphere.vertices[sphere.faces].reshape(-1, 3), torch.arange(3 * len(sphere.faces)).reshape(-1, 3))
        assert to_trimesh(simplify(soup, 300)).is_watertight

    def test_colours_follow_the_nearest_vertex(self):
        sphere = icosphere(4)
        colors = torch.cat([(sphere.vertices[:, :1] > 0).float().expand(-1, 3), torch.ones(len(sphere.vertices), 1)], 1)
        simple = simplify(Mesh(sphere.vertices, sphere.faces, vertex_colors=colors), 400)
        clear = simple.vertices[:, 0].abs() > 0.05
        assert torch.equal(simple.vertex_colors[clear, 0] > 0.5, simple.vertices[clear, 0] > 0)

    def test_a_budget_below_a_tetrahedron_is_refused(self):
        with pytest.raises(InputError, match="at least 4"):
            simplify(icosphere(), 3)


class TestComponents:
    def test_floaters_go_and_the_body_stays(self):
        mesh = from_trimesh(
            trimesh.util.concatenate(
                [
                    trimesh.creation.icosphere(radius=0.4),
                    trimesh.creation.box((0.02,) * 3).apply_translation((0.5, 0, 0)),
                ]
            )
        )
        assert [len(piece.faces) for piece in split_components(mesh)] == [1280, 12]
        assert len(remove_floaters(mesh).faces) == 1280
        assert len(remove_floaters(mesh, min_area_fraction=0.0).faces) == 1292

    def test_seams_do_not_cut_a_piece(self):
        sphere = icosphere(1)
        soup = Mesh(sphere.vertices[sphere.faces].reshape(-1, 3), torch.arange(3 * len(sphere.faces)).reshape(-1, 3))
        assert len(split_components(soup)) == 1
        assert face_components(soup.faces)[0] == len(sphere.faces)


class TestParts:
    def test_zero_area_and_repeated_faces_are_dropped(self):
        vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [2, 0, 0]])
        faces = torch.tensor([[0, 1, 2], [0, 1, 3], [1, 1, 2], [2, 0, 1], [0, 2, 1]])
        cleaned = remove_duplicate_faces(remove_degenerate_faces(Mesh(vertices, faces)))
        assert cleaned.faces.tolist() == [[0, 1, 2]]
        assert float(face_areas(cleaned)) == pytest.approx(0.5)

    def test_vertex_normals_of_a_sphere_point_outwards(self):
        sphere = icosphere(3)
        cosine = (vertex_normals(sphere) * torch.nn.functional.normalize(sphere.vertices)).sum(1)
        assert cosine.min() > 0.999

    def test_normal_of_an_unused_vertex_is_still_a_unit_vector(self):
        mesh = Mesh(torch.zeros(4, 3), torch.tensor([[0, 1, 2]]))
        torch.testing.assert_close(vertex_normals(mesh).norm(dim=1), torch.ones(4))


class TestSmoothing:
    def test_removes_noise_but_keeps_the_volume(self):
        sphere = icosphere(4)
        noise = 0.01 * torch.randn(len(sphere.vertices), 1, generator=torch.Generator().manual_seed(0))
        noisy = Mesh(sphere.vertices * (1 + noise), sphere.faces)
        calm = smooth(noisy, steps=5)
        assert (calm.vertices.norm(dim=1) - 0.4).std() < 0.5 * (noisy.vertices.norm(dim=1) - 0.4).std()
        assert to_trimesh(calm).volume == pytest.approx(to_trimesh(sphere).volume, rel=0.01)

    def test_open_boundaries_do_not_move(self):
        sphere = icosphere(3)
        dome = select_faces(sphere, (sphere.vertices[sphere.faces][..., 2] > 0).all(1))
        rim = boundary_loops(dome.faces)[0]
        assert torch.equal(smooth(dome).vertices[rim], dome.vertices[rim])


class TestInvisibleFaces:
    def test_inner_sheet_of_a_double_shell_is_removed_and_nothing_else(self):
        shell = nested_spheres(0.4, 0.385)
        visible = remove_invisible_faces(shell, num_views=60, size=256)
        assert (distance_from_origin(visible) > 0.39).all()
        assert len(visible.faces) == len(shell.faces) // 2
        assert to_trimesh(visible).is_watertight

    def test_convex_mesh_is_returned_as_it_is(self):
        sphere = icosphere(3)
        assert remove_invisible_faces(sphere, num_views=60, size=256) is sphere

    def test_visibility_of_a_box_is_the_share_of_views_in_front_of_each_side(self):
        """A face is seen from half the directions less a little, as the views stand at a finite distance."""
        seen = face_visibility(box(), num_views=400, size=128)
        assert ((seen > 0.25) & (seen < 0.5)).all()

    def test_patch_whose_removal_opens_a_large_hole_is_kept(self):
        """A ball with its lower half declared invisible: deleting that half would open the whole equator."""
        sphere = icosphere(3)
        below = sphere.vertices[sphere.faces].mean(1)[:, 2] < 0
        upper, lower = torch.linspace(0.3, 0.6, int((~below).sum())), 0.0
        seen = torch.full((len(below),), lower).masked_scatter(~below, upper)
        assert not invisible_faces(sphere, seen, max_hole_area=0.04).any()
        hidden = invisible_faces(sphere, seen, max_hole_area=math.inf)
        assert (hidden == below).float().mean() > 0.9


class TestManifold:
    def test_two_boxes_on_one_edge_fall_apart(self):
        """Two boxes that share one edge: that edge has four faces until each box gets its own."""
        boxes = [trimesh.creation.box((1, 1, 1)), trimesh.creation.box((1, 1, 1)).apply_translation((1, 1, 0))]
        joined = weld_vertices(from_trimesh(trimesh.util.concatenate(boxes)))
        assert edge_table(joined.faces).count.max() == 4
        split = split_non_manifold(joined)
        assert (edge_table(split.faces).count == 2).all()
        assert to_trimesh(split).body_count == 2
        torch.testing.assert_close(split.vertices[split.faces], joined.vertices[joined.faces])

    def test_boxes_that_touch_are_closed_for_who_welds_by_position(self):
        boxes = [trimesh.creation.box((1, 1, 1)), trimesh.creation.box((1, 1, 1)).apply_translation((1, 1, 0))]
        split = split_non_manifold(weld_vertices(from_trimesh(trimesh.util.concatenate(boxes))))
        assert not mesh_quality(split).is_watertight
        parted = part_touching(split)
        assert mesh_quality(parted).is_watertight
        assert 0 < float((parted.vertices - split.vertices).norm(dim=1).max()) < 3e-4
        assert part_touching(parted) is parted

    def test_manifold_mesh_is_returned_as_it_is(self):
        sphere = icosphere(2)
        assert split_non_manifold(sphere) is sphere

    def test_random_winding_becomes_outward(self):
        sphere = icosphere(3)
        flip = torch.rand(len(sphere.faces), generator=torch.Generator().manual_seed(0)) < 0.5
        mixed = Mesh(sphere.vertices, torch.where(flip[:, None], sphere.faces.flip(1), sphere.faces))
        result = to_trimesh(orient_faces(mixed))
        assert result.is_winding_consistent
        assert result.volume > 0

    def test_a_bowl_faces_outwards(self):
        sphere = icosphere(3)
        bowl = select_faces(sphere, (sphere.vertices[sphere.faces][..., 2] < 0).all(1))
        oriented = orient_faces(Mesh(bowl.vertices, bowl.faces.flip(1)))
        assert torch.equal(oriented.faces.sort(1).values, bowl.faces.sort(1).values)
        normals = vertex_normals(oriented)
        assert (normals * oriented.vertices).sum(1).mean() > 0

    def test_moebius_strip_keeps_its_winding(self):
        angle = torch.arange(12) * (2 * math.pi / 12)
        ring = torch.stack([angle.cos(), angle.sin(), torch.zeros(12)], 1)
        lean = torch.stack([angle.cos() * (angle / 2).cos(), angle.sin() * (angle / 2).cos(), (angle / 2).sin()], 1)
        vertices = torch.cat([ring + 0.2 * lean, ring - 0.2 * lean])
        row, following = torch.arange(12), (torch.arange(12) + 1) % 12
        top, bottom = torch.where(following == 0, 12, following), torch.where(following == 0, 0, following + 12)
        faces = torch.cat([torch.stack([row, row + 12, top], 1), torch.stack([top, row + 12, bottom], 1)])
        assert torch.equal(orient_faces(Mesh(vertices, faces)).faces, faces)


def test_small_faults_of_a_thin_board_are_mended_and_the_board_stays_thin() -> None:
    """A board of 1 x 1 x 0.002 with a face missing, a flap on an edge, and corners that are not joined."""
    board = trimesh.creation.box((1.0, 1.0, 0.002)).subdivide().subdivide().subdivide().subdivide()
    mesh = without_faces(from_trimesh(board), 700)
    a, b = mesh.vertices[mesh.faces[40, 0]], mesh.vertices[mesh.faces[40, 1]]
    flap = torch.cat([mesh.vertices, ((a + b) / 2 + torch.tensor([0.0, 0.0, 0.004]))[None]])
    faces = torch.cat([mesh.faces, torch.tensor([[*mesh.faces[40, :2].tolist(), len(mesh.vertices)]])])
    broken = Mesh(flap[faces].reshape(-1, 3), torch.arange(3 * len(faces)).reshape(-1, 3))
    before = mesh_quality(broken)
    assert (before.num_boundary_edges, before.num_nonmanifold_edges) == (5, 1)
    closed = close_surface(broken)
    assert mesh_quality(closed).is_watertight
    assert mesh_quality(closed).num_components == 1
    assert to_trimesh(closed).is_winding_consistent
    assert to_trimesh(closed).volume == pytest.approx(0.002, rel=1e-3)
    torch.testing.assert_close(closed.vertices[:, 2].abs().amax(), torch.tensor(0.001))


def test_a_bag_keeps_its_mouth_and_what_has_no_inside_is_left() -> None:
    sheet = Mesh(torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]), torch.tensor([[0, 1, 2], [0, 2, 3]]))
    lid_off = without_faces(box(), 0, 1)
    for mesh in (sheet, lid_off, empty_mesh(), Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]]))):
        assert close_surface(mesh) is None
