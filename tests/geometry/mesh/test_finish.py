"""The whole finishing: a raw double shell in, a textured asset within its budget out."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import scipy
import torch

from scenewright.errors import InputError
from scenewright.geometry.isosurface.mesh_extraction import extract_mesh
from scenewright.geometry.mesh.bake import texel_surface
from scenewright.geometry.mesh.edges import edge_table
from scenewright.geometry.mesh.finish import clean_surface, finish_mesh, reduce_surface
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.geometry.mesh.holes import fill_holes
from scenewright.geometry.mesh.manifold import split_non_manifold
from scenewright.geometry.mesh.simplify import simplify
from scenewright.systems.mini.surface import voxel_surface
from scenewright.types import Mesh
from tests.geometry.shapes import all_voxels, corner_positions, empty_mesh, features_of_distance, icosphere, to_trimesh
from tests.support.color_fields import VertexColorField
from tests.support.progress import Recorder


@dataclass(frozen=True)
class ColorOf:
    """A field whose colour is a function of the point."""

    color: Callable[[torch.Tensor], torch.Tensor]
    channels: tuple[str, ...] = ("red", "green", "blue")

    def at(self, points: torch.Tensor) -> torch.Tensor:
        return self.color(points)


COLOR_BY_POSITION = ColorOf(lambda points: points + 0.5)


@pytest.fixture(scope="module")
def decoded() -> Mesh:
    """What a mesh decoder gives: a shell of voxels round a sphere, hence an outer and an inner sheet."""
    resolution = 32
    coords = all_voxels(resolution)
    distance = corner_positions(coords, resolution).norm(dim=-1) - 0.4
    shell = distance.abs().amin(1) < 2.0 / resolution
    feats = features_of_distance(distance[shell], resolution, 101)
    feats[:, 53::6] = 2.0
    return extract_mesh(coords[shell], feats, resolution).to_mesh()


def test_decoder_output_becomes_a_closed_textured_sphere(decoded):
    assert to_trimesh(decoded).body_count == 2
    progress = Recorder()
    options = FinishOptions(max_faces=1500, texture_size=128, remove_invisible=True, num_views=60, view_size=256)
    result = finish_mesh(decoded, VertexColorField(decoded), options, progress)
    assert len(result.faces) <= 1500
    sphere = to_trimesh(result)
    sphere.merge_vertices(merge_tex=True, merge_norm=True)
    assert sphere.is_watertight
    assert sphere.body_count == 1
    assert sphere.volume == pytest.approx(4 / 3 * torch.pi * 0.4**3, rel=0.03)
    red = result.material.base_color_texture[..., 0].float() / 255
    torch.testing.assert_close(red.mean(), torch.tensor(2.0).sigmoid(), atol=0.01, rtol=0)
    assert result.vertex_colors is None
    torch.testing.assert_close(result.vertex_normals.norm(dim=1), torch.ones(len(result.vertices)), atol=1e-5, rtol=0)
    assert progress.stages == ["clean", "simplify", "unwrap", "bake"]


def test_colours_come_from_the_fine_surface():
    """Eight coarse faces cut deep into the ball, yet their texels show what is on the ball itself."""
    radius = ColorOf(lambda points: points.norm(dim=1, keepdim=True).expand(-1, 3))
    result = finish_mesh(icosphere(4, 0.4), radius, FinishOptions(max_faces=20, texture_size=64, unwrap_method="boxes"))
    texture = result.material.base_color_texture.float() / 255
    torch.testing.assert_close(texture, torch.full_like(texture, 0.4), atol=0.01, rtol=0)


def test_no_colour_comes_through_a_thin_board() -> None:
    """A wavy board of 4 mm, red above and blue below, of which simplification moves the two sides by more than that."""
    u = torch.linspace(-0.5, 0.5, 41)
    x, y = (side.reshape(-1) for side in torch.meshgrid(u, u, indexing="ij"))
    height = 0.012 * torch.sin(25 * x) * torch.sin(25 * y)
    top, bottom = torch.stack([x, y, height + 0.002], 1), torch.stack([x, y, height - 0.002], 1)
    row, column = torch.meshgrid(torch.arange(40), torch.arange(40), indexing="ij")
    a = (row * 41 + column).reshape(-1)
    faces = torch.cat([torch.stack([a, a + 41, a + 42], 1), torch.stack([a, a + 42, a + 1], 1)])
    upper, lower = torch.tensor([1.0, 0, 0, 1]), torch.tensor([0.0, 0, 1, 1])
    n = len(x)
    board = Mesh(
        torch.cat([top, bottom]),
        torch.cat([faces, faces.flip(1) + n]),
        vertex_colors=torch.cat([upper.expand(n, 4), lower.expand(n, 4)]),
    )
    result = finish_mesh(board, VertexColorField(board), FinishOptions(max_faces=200, texture_size=128))
    surface = texel_surface(result, 128)
    seen = result.material.base_color_texture.reshape(-1, 3)[surface.texels].float()
    corners = result.vertices[result.faces[surface.faces]]
    up = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2]
    is_wrong = torch.where(up > 0, seen[:, 2] > 128, seen[:, 0] > 128)
    assert is_wrong.float().mean() < 0.01


def test_faces_wound_both_ways_are_unified_before_they_are_simplified() -> None:
    """A dual grid leaves the winding open; simplification of such a sphere tears it."""
    sphere = icosphere(4)
    flip = torch.rand(len(sphere.faces), generator=torch.Generator().manual_seed(0)) < 0.17
    mixed = replace(sphere, faces=torch.where(flip[:, None], sphere.faces.flip(1), sphere.faces))
    result = to_trimesh(finish_mesh(mixed, None, FinishOptions(max_faces=500, orient=True)))
    assert result.is_watertight
    assert result.is_winding_consistent
    assert result.volume == pytest.approx(4 / 3 * torch.pi * 0.4**3, rel=0.03)


@pytest.mark.parametrize(("seed", "faces"), [(1, 1200), (16, 2500)])
def test_a_closed_surface_that_simplification_tears_is_closed_again(seed: int, faces: int) -> None:
    noise = np.random.default_rng(seed).normal(size=(24, 24, 24))
    winding = voxel_surface(scipy.ndimage.gaussian_filter(noise, 2.2) > 0.03)
    fine = clean_surface(winding, FinishOptions())
    assert to_trimesh(fine).is_watertight
    torn = simplify(fine, faces)
    assert (edge_table(fill_holes(split_non_manifold(torn)).faces).count != 2).any()
    coarse = reduce_surface(fine, FinishOptions(max_faces=faces, smooth_steps=2))
    assert to_trimesh(coarse).is_watertight
    assert len(coarse.faces) < 1.01 * faces


def test_seams_are_filled_without_dark_chips() -> None:
    """No texel of a bright surface, covered or not, is darker than the surface."""
    result = finish_mesh(
        icosphere(3), ColorOf(lambda points: 0.6 + 0.4 * points.abs()), FinishOptions(texture_size=128)
    )
    assert int(result.material.base_color_texture.min()) >= 152


def test_same_input_gives_the_same_asset(decoded):
    options = FinishOptions(max_faces=800, texture_size=64)
    first, second = (finish_mesh(decoded, COLOR_BY_POSITION, options) for _ in range(2))
    assert torch.equal(first.uv, second.uv)
    assert torch.equal(first.material.base_color_texture, second.material.base_color_texture)


def test_remeshing_closes_an_open_shell():
    sphere = icosphere(3)
    open_shell = Mesh(sphere.vertices, sphere.faces[40:])
    result = finish_mesh(open_shell, None, FinishOptions(remesh_resolution=32, max_faces=5000))
    assert len(result.faces) <= 5000
    count = edge_table(result.faces).count
    assert count.max() == 2
    assert (count == 1).mean() < 0.005, "only where sheets cross in a single edge may a slit remain"
    assert result.material is None


def test_normal_map_is_baked_on_request():
    options = FinishOptions(max_faces=100, texture_size=64, normal_map=True)
    material = finish_mesh(icosphere(4), COLOR_BY_POSITION, options).material
    blue = material.normal_texture[..., 2].float()
    assert blue.min() > 128
    assert blue.mean() > 220


def test_floaters_go_on_request():
    ball, speck = icosphere(3, 0.4), icosphere(1, 0.01)
    both = Mesh(
        torch.cat([ball.vertices, speck.vertices + 0.45]), torch.cat([ball.faces, speck.faces + len(ball.vertices)])
    )
    result = finish_mesh(both, None, FinishOptions(min_floater_area=0.01))
    assert to_trimesh(result).body_count == 1


def test_bad_meshes_are_refused():
    with pytest.raises(InputError, match="surface"):
        finish_mesh(empty_mesh(), None)
    line = Mesh(torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), torch.tensor([[0, 1, 2]]))
    with pytest.raises(InputError, match="none has an area"):
        finish_mesh(line, None)
    broken = Mesh(torch.full((3, 3), torch.nan), torch.tensor([[0, 1, 2]]))
    with pytest.raises(InputError, match="NaN"):
        finish_mesh(broken, None)
