"""Baking: exact constants and gradients, closed gutters, colour sources, normal maps, materials."""

import pytest
import torch

from scenewright.errors import InputError
from scenewright.geometry.color import linear_from_srgb, srgb_from_linear
from scenewright.geometry.mesh.bake import BakedTexture, bake, fill_gutters, texel_surface
from scenewright.geometry.mesh.material_bake import material_from_bake
from scenewright.geometry.mesh.normal_map import bake_normal_map, smooth_vertex_normals
from scenewright.geometry.mesh.surface_color import SplatField, VoxelField
from scenewright.geometry.mesh.tangents import vertex_tangents
from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.geometry.mesh.uv import unwrap
from scenewright.types import Gaussians, Mesh, SparseVoxels
from tests.geometry.shapes import all_voxels, icosphere
from tests.support.color_fields import VertexColorField


def square() -> Mesh:
    """The unit square in the plane z = 0, seen from +z, texture up = +y: v runs down."""
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    uv = torch.stack([vertices[:, 0], 1 - vertices[:, 1]], 1)
    normals = torch.tensor([[0.0, 0, 1]]).expand(4, 3).clone()
    return Mesh(vertices, torch.tensor([[0, 1, 2], [0, 2, 3]]), vertex_normals=normals, uv=uv)


@pytest.fixture(scope="module")
def sphere() -> Mesh:
    return unwrap(icosphere(3), texture_size=128, method="boxes")


class TestBake:
    def test_texel_centres_of_a_square_are_half_a_texel_from_the_border(self):
        baked = bake(square(), lambda points: points, 4)
        assert baked.coverage.all()
        steps = (torch.arange(4) + 0.5) / 4
        torch.testing.assert_close(baked.values[..., 0], steps.expand(4, 4))
        torch.testing.assert_close(baked.values[..., 1], 1 - steps[:, None].expand(4, 4))

    def test_constant_colour_is_constant_everywhere(self, sphere):
        color = torch.tensor([0.2, 0.4, 0.6, 0.8])
        baked = bake(sphere, lambda points: color.expand(len(points), 4), 128)
        torch.testing.assert_close(baked.values, color.expand(128, 128, 4))
        assert 0.2 < baked.coverage.float().mean() < 1

    def test_linear_gradient_is_exact_on_covered_texels(self, sphere):
        direction = torch.tensor([0.3, -0.5, 0.7])
        baked = bake(sphere, lambda points: (points @ direction)[:, None], 128)
        surface = texel_surface(sphere, 128)
        expected = surface.interpolate(sphere, (sphere.vertices @ direction)[:, None])
        torch.testing.assert_close(baked.values.reshape(-1, 1)[surface.texels], expected, atol=1e-6, rtol=0)

    def test_gutter_continues_the_nearest_chart(self, sphere):
        """One texel outside a chart the colour stays within the chart's neighbourhood, so filtering sees no seam."""
        baked = bake(sphere, lambda points: points, 128)
        covered = baked.coverage
        right = ~covered[:, 1:] & covered[:, :-1]
        difference = (baked.values[:, 1:] - baked.values[:, :-1]).abs().amax(2)[right]
        assert difference.max() < 0.06

    def test_points_can_be_projected_before_sampling(self):
        baked = bake(square(), lambda points: points[:, 2:], 8, project=lambda points, normals: points + 3)
        torch.testing.assert_close(baked.values, torch.full((8, 8, 1), 3.0))

    def test_progress_ends_at_one(self):
        seen = []
        bake(square(), lambda points: points, 8, progress=lambda done, total: seen.append((done, total)))
        assert seen[-1] == (64, 64)

    def test_first_of_overlapping_triangles_wins(self):
        mesh = square()
        doubled = Mesh(mesh.vertices, mesh.faces.repeat(2, 1), uv=mesh.uv)
        assert texel_surface(doubled, 8).faces.max() < 2

    def test_missing_or_empty_texture_coordinates_are_refused(self):
        with pytest.raises(InputError, match="unwrap"):
            bake(icosphere(), lambda points: points, 8)
        flat = Mesh(square().vertices, square().faces, uv=torch.zeros(4, 2))
        with pytest.raises(InputError, match="cover"):
            bake(flat, lambda points: points, 8)

    @pytest.mark.parametrize("size", [1, 5, 16])
    def test_far_texels_get_a_blend(self, size):
        mesh = Mesh(square().vertices, square().faces[:1], uv=square().uv)
        surface = texel_surface(mesh, size)
        baked = fill_gutters(surface, torch.ones(len(surface.texels), 2), margin=0)
        torch.testing.assert_close(baked.values, torch.ones(size, size, 2))


class TestColorSources:
    def test_voxels_are_interpolated_trilinearly(self):
        coords = all_voxels(8)
        centres = (coords + 0.5) / 8
        voxels = SparseVoxels(
            coords, 8, {"base_color": centres, "metallic": centres[:, :1], "roughness": centres[:, 1:2]}
        )
        field = VoxelField(voxels)
        assert field.channels == ("red", "green", "blue", "metallic", "roughness")
        points = torch.rand(100, 3) * 0.8 - 0.4
        expected = torch.cat([points + 0.5, points[:, :2] + 0.5], 1)
        torch.testing.assert_close(field.at(points), expected, atol=1e-5, rtol=0)

    def test_points_away_from_the_shell_take_the_nearest_voxel(self):
        voxels = SparseVoxels(
            torch.tensor([[1, 1, 1], [6, 6, 6]]), 8, {"base_color": torch.tensor([[1.0, 0, 0], [0, 0, 1]])}
        )
        colors = VoxelField(voxels).at(torch.tensor([[-0.1, -0.1, -0.1], [0.1, 0.1, 0.1]]))
        torch.testing.assert_close(colors, torch.tensor([[1.0, 0, 0], [0, 0, 1]]))

    def test_vertex_colours_are_interpolated_linearly_and_stored_encoded(self):
        mesh = square()
        linear = torch.cat([mesh.vertices[:, :1].expand(4, 3), torch.ones(4, 1)], 1)
        field = VertexColorField(Mesh(mesh.vertices, mesh.faces, vertex_colors=linear))
        color = field.at(torch.tensor([[0.25, 0.5, 0.3]]))
        torch.testing.assert_close(linear_from_srgb(color[:, :3]), torch.full((1, 3), 0.25), atol=1e-6, rtol=0)
        assert float(color[0, 3]) == 1.0

    def test_gaussians_colour_the_points_they_cover(self):
        means = torch.tensor([[0.0, 0, 0], [1, 0, 0]])
        sh = torch.tensor([[[1.0, 0, 0]], [[0, 0, 1.0]]]) * 0.5 / 0.28209479177387814
        gaussians = Gaussians(means, torch.full((2, 3), 0.05), torch.tensor([[1.0, 0, 0, 0]] * 2), torch.ones(2), sh)
        colors = SplatField(gaussians).at(torch.tensor([[0.01, 0, 0], [0.99, 0, 0], [0.2, 0, 0], [0.5, 0, 0]]))
        torch.testing.assert_close(colors[0], torch.tensor([1.0, 0.5, 0.5]), atol=1e-3, rtol=0)
        torch.testing.assert_close(colors[1], torch.tensor([0.5, 0.5, 1.0]), atol=1e-3, rtol=0)
        assert colors[2, 0] > colors[2, 2], "outside every Gaussian the nearest one still decides"
        torch.testing.assert_close(colors[3], torch.tensor([0.75, 0.5, 0.75]), atol=1e-3, rtol=0)

    def test_a_long_gaussian_reaches_farther_along_its_axis(self):
        means = torch.tensor([[0.0, 0, 0], [0, 0.3, 0]])
        scales = torch.tensor([[0.01, 0.2, 0.01], [0.02, 0.02, 0.02]])
        sh = torch.tensor([[[1.0, 0, 0]], [[0, 0, 1.0]]])
        gaussians = Gaussians(means, scales, torch.tensor([[1.0, 0, 0, 0]] * 2), torch.ones(2), sh)
        color = SplatField(gaussians).at(torch.tensor([[0.0, 0.2, 0.0]]))[0]
        assert color[0] > color[2]

    def test_missing_sources_are_refused(self):
        with pytest.raises(InputError, match="base_color"):
            VoxelField(SparseVoxels(torch.zeros(1, 3, dtype=torch.int64), 8))
        with pytest.raises(InputError, match="vertex colours"):
            VertexColorField(icosphere())
        none = Gaussians(torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, 1, 3))
        with pytest.raises(InputError, match="none"):
            SplatField(none)


class TestNormalMap:
    def test_flat_on_flat_is_straight_up(self):
        mesh = square()
        baked = bake_normal_map(mesh, texel_surface(mesh, 8), mesh, TriangleTree(mesh))
        torch.testing.assert_close(baked.values, torch.tensor([0.0, 0, 1]).expand(8, 8, 3))

    @pytest.mark.parametrize(("lean", "expected"), [((1.0, 0, 1), (1, 0, 1)), ((0, 1.0, 1), (0, 1, 1))])
    def test_lean_to_the_right_is_red_and_up_is_green(self, lean, expected):
        mesh = square()
        unit = torch.nn.functional.normalize(torch.tensor(lean), dim=0)
        detailed = Mesh(mesh.vertices, mesh.faces, vertex_normals=unit.expand(4, 3).clone())
        baked = bake_normal_map(mesh, texel_surface(mesh, 8), detailed, TriangleTree(detailed))
        wanted = torch.nn.functional.normalize(torch.tensor(expected).float(), dim=0)
        torch.testing.assert_close(baked.values, wanted.expand(8, 8, 3), atol=1e-6, rtol=0)

    def test_mirrored_texture_turns_the_frame(self):
        mesh = square()
        mirrored = Mesh(
            mesh.vertices, mesh.faces, mesh.vertex_normals, uv=torch.stack([1 - mesh.uv[:, 0], mesh.uv[:, 1]], 1)
        )
        torch.testing.assert_close(vertex_tangents(mesh), torch.tensor([[1.0, 0, 0, 1]]).expand(4, 4))
        torch.testing.assert_close(vertex_tangents(mirrored), torch.tensor([[-1.0, 0, 0, -1]]).expand(4, 4))

    def test_coarse_sphere_gets_the_normals_of_the_fine_one(self):
        coarse = unwrap(icosphere(1), texture_size=64, method="boxes")
        coarse = Mesh(coarse.vertices, coarse.faces, smooth_vertex_normals(coarse), uv=coarse.uv)
        fine = icosphere(4)
        surface = texel_surface(coarse, 64)
        baked = bake_normal_map(coarse, surface, fine, TriangleTree(fine))
        local = baked.values.reshape(-1, 3)[surface.texels]
        # Back to the object's frame, by the definition a renderer uses.
        normal = torch.nn.functional.normalize(surface.interpolate(coarse, coarse.vertex_normals), dim=1)
        tangents = vertex_tangents(coarse)
        tangent = surface.interpolate(coarse, tangents[:, :3])
        tangent = torch.nn.functional.normalize(tangent - (tangent * normal).sum(1, keepdim=True) * normal, dim=1)
        bitangent = tangents[coarse.faces[surface.faces, 0], 3:] * torch.linalg.cross(normal, tangent)
        world = local[:, :1] * tangent + local[:, 1:2] * bitangent + local[:, 2:] * normal
        points = torch.nn.functional.normalize(surface.interpolate(coarse, coarse.vertices), dim=1)
        assert (world * points).sum(1).min() > 0.99

    def test_seams_do_not_show_in_smooth_normals(self, sphere):
        cosine = (smooth_vertex_normals(sphere) * torch.nn.functional.normalize(sphere.vertices)).sum(1)
        assert cosine.min() > 0.999


class TestMaterial:
    def baked(self, **values: float) -> tuple[tuple[str, ...], BakedTexture]:
        image = torch.tensor(list(values.values())).expand(4, 4, len(values)).clone()
        return tuple(values), BakedTexture(image, torch.ones(4, 4, dtype=torch.bool))

    def test_channels_land_where_gltf_wants_them(self):
        names, baked = self.baked(red=1.0, green=0.5, blue=0.0, metallic=0.2, roughness=0.6, alpha=1.0)
        material = material_from_bake(names, baked)
        assert material.base_color_texture[0, 0].tolist() == [255, 128, 0]
        assert material.metallic_roughness_texture[0, 0].tolist() == [0, 153, 51]
        assert material.metallic_factor == material.roughness_factor == 1.0
        assert material.alpha_mode == "OPAQUE"

    def test_see_through_texels_make_the_material_blend(self):
        names, baked = self.baked(red=1.0, green=0.5, blue=0.0, alpha=1.0)
        baked.values[0, 0, 3] = 0.5
        material = material_from_bake(names, baked)
        assert material.alpha_mode == "BLEND"
        assert material.base_color_texture[0, 0].tolist() == [255, 128, 0, 128]
        opaque = material_from_bake(names, baked, alpha_mode="OPAQUE")
        assert opaque.base_color_texture.shape[2] == 3

    def test_colour_alone_is_rough_and_not_metallic(self):
        names, baked = self.baked(red=1.0, green=0.5, blue=0.0)
        material = material_from_bake(names, baked)
        assert material.metallic_roughness_texture is None
        assert (material.metallic_factor, material.roughness_factor) == (0.0, 1.0)


def test_srgb_round_trip_and_known_value():
    values = torch.linspace(0, 1, 101)
    torch.testing.assert_close(srgb_from_linear(linear_from_srgb(values)), values, atol=1e-6, rtol=0)
    assert float(srgb_from_linear(torch.tensor(0.2140))) == pytest.approx(0.5, abs=1e-3)
