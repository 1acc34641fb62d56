"""Closest points on a mesh, and remeshing through the distance field."""

import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewright.errors import InputError
from scenewright.geometry.mesh.parts import select_faces
from scenewright.geometry.mesh.remesh import remesh_narrow_band
from scenewright.geometry.mesh.triangle_tree import TriangleTree, closest_points
from scenewright.types import Mesh
from tests.geometry.shapes import empty_mesh, from_trimesh, icosphere, to_trimesh


def brute_force_distance(mesh: Mesh, points: torch.Tensor) -> torch.Tensor:
    """Distance to a dense sampling of every triangle, an upper bound that is close."""
    steps = torch.cartesian_prod(torch.linspace(0, 1, 60), torch.linspace(0, 1, 60))
    steps = steps[steps.sum(1) <= 1]
    weights = torch.cat([1 - steps.sum(1, keepdim=True), steps], 1)
    samples = torch.einsum("sk,fkd->fsd", weights, mesh.vertices[mesh.faces]).reshape(-1, 3)
    return torch.cdist(points, samples).amin(1)


class TestClosestPoints:
    def test_agrees_with_brute_force(self):
        mesh = from_trimesh(trimesh.creation.icosphere(subdivisions=1, radius=0.4))
        points = torch.rand(200, 3, generator=torch.Generator().manual_seed(0)) - 0.5
        hits = closest_points(mesh, points)
        brute = brute_force_distance(mesh, points)
        assert (hits.distance <= brute + 1e-6).all()
        assert (brute - hits.distance).max() < 5e-3
        torch.testing.assert_close((points - hits.points).norm(dim=1), hits.distance, atol=1e-6, rtol=1e-5)
        rebuilt = (mesh.vertices[mesh.faces[hits.faces]] * hits.barycentric[..., None]).sum(1)
        torch.testing.assert_close(rebuilt, hits.points, atol=1e-6, rtol=0)

    @pytest.mark.parametrize(
        ("point", "expected"),
        [
            ((0.2, 0.2, 1.0), (0.2, 0.2, 0.0)),
            ((-1.0, -1.0, 0.0), (0.0, 0.0, 0.0)),
            ((0.5, -2.0, 0.0), (0.5, 0.0, 0.0)),
            ((1.0, 1.0, 0.0), (0.5, 0.5, 0.0)),
        ],
    )
    def test_triangle_by_hand(self, point, expected):
        triangle = Mesh(torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), torch.tensor([[0, 1, 2]]))
        torch.testing.assert_close(closest_points(triangle, torch.tensor([point])).points, torch.tensor([expected]))

    def test_triangles_without_area_count_as_segments(self):
        mesh = Mesh(torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [5, 5, 5]]), torch.tensor([[0, 1, 2], [3, 3, 3]]))
        hits = closest_points(mesh, torch.tensor([[1.5, 1.0, 0.0], [5.0, 5.0, 6.0]]))
        torch.testing.assert_close(hits.distance, torch.tensor([1.0, 1.0]))

    @settings(deadline=None, max_examples=20)
    @given(st.integers(0, 10_000))
    def test_order_of_queries_does_not_matter(self, seed):
        generator = torch.Generator().manual_seed(seed)
        points = torch.rand(64, 3, generator=generator) - 0.5
        order = torch.randperm(64, generator=generator)
        tree = TriangleTree(icosphere(1))
        torch.testing.assert_close(tree.query(points).distance[order], tree.query(points[order]).distance)

    def test_no_queries_and_no_faces(self):
        assert len(closest_points(icosphere(), torch.zeros(0, 3)).distance) == 0
        with pytest.raises(InputError, match="with faces"):
            closest_points(empty_mesh(), torch.zeros(1, 3))


class TestRemesh:
    def test_sphere_becomes_two_closed_shells_one_band_away(self):
        result = remesh_narrow_band(icosphere(4), resolution=64)
        mesh = to_trimesh(result)
        assert mesh.is_watertight
        assert mesh.is_winding_consistent
        step = (64 + 3) / 64 / 64
        offset = (result.vertices.norm(dim=1) - 0.4).abs()
        torch.testing.assert_close(offset, torch.full_like(offset, step), atol=0.3 * step, rtol=0)
        assert mesh.body_count == 2
        assert mesh.volume > 0, "the shell encloses the band between both spheres"

    def test_open_sheet_becomes_one_closed_shell(self):
        sphere = icosphere(3)
        dome = select_faces(sphere, (sphere.vertices[sphere.faces][..., 2] > 0).all(1))
        shell = to_trimesh(remesh_narrow_band(dome, resolution=32))
        assert shell.is_watertight
        assert shell.body_count == 1
        assert shell.euler_number == 2

    def test_winding_of_the_input_does_not_matter(self):
        sphere = icosphere(2)
        flipped = Mesh(sphere.vertices, sphere.faces.flip(1))
        first, second = remesh_narrow_band(sphere, resolution=32), remesh_narrow_band(flipped, resolution=32)
        assert torch.equal(first.faces, second.faces)

    def test_projecting_back_lands_on_the_surface(self):
        result = remesh_narrow_band(icosphere(4), resolution=32, project_back=1.0)
        assert (result.vertices.norm(dim=1) - 0.4).abs().max() < 2e-3

    def test_bad_input_is_refused(self):
        with pytest.raises(InputError, match="power of two"):
            remesh_narrow_band(icosphere(), resolution=99)
        with pytest.raises(InputError, match="with faces"):
            remesh_narrow_band(empty_mesh(), resolution=32)
