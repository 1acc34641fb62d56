"""Texture coordinates: inside the unit square, no overlap, nothing stretched to nothing, deterministic."""

import pytest
import torch
import trimesh
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.mesh.bake import texel_surface
from scenewright.geometry.mesh.parts import face_areas
from scenewright.geometry.mesh.uv import unwrap
from scenewright.types import Mesh
from tests.geometry.shapes import box, empty_mesh, from_trimesh, icosphere


def uv_areas(mesh: Mesh) -> Tensor:
    flat = torch.nn.functional.pad(mesh.uv, (0, 1))
    return face_areas(Mesh(flat, mesh.faces))


def folded_strip() -> Mesh:
    """A helix of two turns seen from above: every face looks up and the turns lie on top of each other."""
    angle = torch.linspace(0, 4 * torch.pi, 81)
    inner = torch.stack([0.2 * angle.cos(), 0.2 * angle.sin(), 0.03 * angle], 1)
    outer = torch.stack([0.4 * angle.cos(), 0.4 * angle.sin(), 0.03 * angle], 1)
    row = torch.arange(80)
    faces = torch.cat([torch.stack([row, row + 81, row + 1], 1), torch.stack([row + 1, row + 81, row + 82], 1)])
    return Mesh(torch.cat([inner, outer]), faces)


@pytest.mark.parametrize("method", ["charts", "boxes"])
@pytest.mark.parametrize("make", [box, lambda: icosphere(3), folded_strip])
class TestUnwrap:
    def test_every_face_keeps_its_corners_and_gets_room(self, method, make):
        mesh = make()
        result = unwrap(mesh, texture_size=512, method=method)
        torch.testing.assert_close(result.vertices[result.faces], mesh.vertices[mesh.faces])
        assert result.uv.min() >= 0
        assert result.uv.max() <= 1
        assert (uv_areas(result) > 0).all()

    def test_charts_do_not_overlap(self, method, make):
        """If no two triangles share a texel, the covered texels add up to the triangles' area."""
        result = unwrap(make(), texture_size=512, method=method)
        covered = len(texel_surface(result, 512).texels)
        assert covered == pytest.approx(float(uv_areas(result).sum()) * 512**2, rel=0.03)

    def test_same_input_gives_the_same_coordinates(self, method, make):
        first, second = unwrap(make(), texture_size=512, method=method), unwrap(make(), texture_size=512, method=method)
        assert torch.equal(first.uv, second.uv)
        assert torch.equal(first.faces, second.faces)


def test_box_projection_keeps_proportions():
    """All six sides of a cube are equal, so are their areas in the texture."""
    areas = uv_areas(unwrap(box(), method="boxes"))
    torch.testing.assert_close(areas, areas.mean().expand_as(areas), rtol=1e-3, atol=0)


def test_attributes_follow_split_vertices():
    sphere = icosphere(2)
    colored = Mesh(sphere.vertices, sphere.faces, vertex_colors=torch.rand(len(sphere.vertices), 4))
    result = unwrap(colored, method="boxes")
    assert len(result.vertices) > len(sphere.vertices)
    torch.testing.assert_close(result.vertex_colors[result.faces], colored.vertex_colors[sphere.faces])


def test_large_pieces_are_cut_for_speed():
    result = unwrap(icosphere(4), method="charts")
    assert (uv_areas(result) > 0).all()


def test_faces_without_area_do_not_break_it():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [2, 0, 0]])
    mesh = Mesh(vertices, torch.tensor([[0, 1, 2], [0, 1, 3], [2, 2, 2]]))
    for method in ("charts", "boxes"):
        result = unwrap(mesh, method=method, texture_size=128)
        assert torch.isfinite(result.uv).all()
        assert len(result.faces) == 3


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="with faces"):
        unwrap(empty_mesh())
    crowd = from_trimesh(trimesh.util.concatenate([trimesh.creation.box((0.01,) * 3)] * 60))
    with pytest.raises(InputError, match="larger texture"):
        unwrap(crowd, texture_size=16, method="boxes")
