import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from scenewright.errors import InputError
from scenewright.geometry.ovoxel.dual_grid import mesh_to_dual_grid
from scenewright.geometry.ovoxel.volumetric_attributes import (
    SurfaceMaterial,
    TexturedTriangles,
    voxelize_textured_triangles,
)
from scenewright.geometry.ovoxel.volumetric_attributes_texture import WRAPS, lookup, mip_level, pack_textures
from scenewright.geometry.ovoxel.voxelize import Lattice
from scenewright.types import Mesh, PBRMaterial
from tests.support.voxel_attributes import mesh_to_voxel_attributes


def square(material: PBRMaterial | None = None, **changes) -> Mesh:
    """A horizontal square of side 0.8 at z = 0.1; u runs along x, v (down) along -y."""
    vertices = torch.tensor([[-0.4, -0.4, 0.1], [0.4, -0.4, 0.1], [0.4, 0.401, 0.1], [-0.4, 0.401, 0.1]])
    uv = torch.tensor([[0.0, 1], [1, 1], [1, 0], [0, 0]])
    fields = {"vertices": vertices, "faces": torch.tensor([[0, 1, 2], [0, 2, 3]]), "uv": uv, "material": material}
    return Mesh(**(fields | changes))


def quadrants(side: int = 64) -> torch.Tensor:
    """Red, green / blue, white; row 0 is the top."""
    image = torch.zeros(side, side, 3, dtype=torch.uint8)
    half = side // 2
    image[:half, :half, 0] = 255
    image[:half, half:, 1] = 255
    image[half:, :half, 2] = 255
    image[half:, half:] = 255
    return image


def test_voxels_are_those_of_the_dual_grid():
    mesh = square()
    assert torch.equal(mesh_to_voxel_attributes([mesh], 32).coords, mesh_to_dual_grid(mesh, 32).coords)


def test_flat_factors_come_back_within_a_byte():
    material = PBRMaterial(base_color_factor=(1.0, 0.214, 0.0, 1.0), metallic_factor=0.3, roughness_factor=0.7)
    voxels = mesh_to_voxel_attributes([square(material)], 32)
    # 0.214 linear is 0.5 display encoded.
    expected = {"base_color": [255, 127, 0], "metallic": [76], "roughness": [178], "alpha": [255]}
    for name, value in expected.items():
        error = (voxels.attributes[name].int() - torch.tensor(value)).abs()
        assert int(error.max()) <= 1, name


def test_a_texture_lands_the_right_way_round():
    voxels = mesh_to_voxel_attributes([square(PBRMaterial(base_color_texture=quadrants()))], 64)
    center = (voxels.coords + 0.5) / 64 - 0.5
    inside = (center[:, :2].abs() > 0.05).all(1) & (center[:, :2].abs() < 0.38).all(1)
    colors, x, y = voxels.attributes["base_color"][inside], center[inside, 0], center[inside, 1]
    for is_right, is_top, color in ((0, 1, [255, 0, 0]), (1, 1, [0, 255, 0]), (0, 0, [0, 0, 255]), (1, 0, [255] * 3)):
        region = colors[((x > 0) == bool(is_right)) & ((y > 0) == bool(is_top))]
        assert len(region) > 50
        assert int((region.int() - torch.tensor(color)).abs().max()) <= 1


@pytest.mark.parametrize(("mode", "expected"), [("OPAQUE", 255), ("MASK", 0), ("BLEND", 102)])
def test_alpha_modes(mode, expected):
    image = torch.full((4, 4, 4), 255, dtype=torch.uint8)
    image[..., 3] = 204
    material = PBRMaterial((1.0, 1.0, 1.0, 0.5), base_color_texture=image, alpha_mode=mode, alpha_cutoff=0.45)
    alpha = mesh_to_voxel_attributes([square(material)], 16).attributes["alpha"]
    assert int((alpha.int() - expected).abs().max()) <= 1


def test_metallic_and_roughness_read_blue_and_green():
    image = torch.zeros(8, 8, 3, dtype=torch.uint8)
    image[..., 1], image[..., 2] = 51, 204
    material = PBRMaterial(metallic_factor=0.5, roughness_factor=1.0, metallic_roughness_texture=image)
    attributes = mesh_to_voxel_attributes([square(material)], 16).attributes
    assert int((attributes["metallic"].int() - 102).abs().max()) <= 1
    assert int((attributes["roughness"].int() - 51).abs().max()) <= 1


def test_parts_keep_their_own_materials_and_vertex_colours_tint():
    red = square(PBRMaterial((1.0, 0.0, 0.0, 1.0)))
    colors = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(4, 4)
    blue = replace(red, vertices=red.vertices - torch.tensor([0, 0, 0.3]), material=None, vertex_colors=colors)
    voxels = mesh_to_voxel_attributes([red, blue], 32)
    is_upper = voxels.coords[:, 2] > 16
    assert voxels.attributes["base_color"][is_upper].unique(dim=0).tolist() == [[255, 0, 0]]
    assert voxels.attributes["base_color"][~is_upper].int().sub(torch.tensor([0, 0, 255])).abs().max() <= 1


def test_odd_sizes_are_resized_and_missing_uvs_are_reported(caplog):
    wide = torch.full((100, 200, 3), 60, dtype=torch.uint8)
    voxels = mesh_to_voxel_attributes([square(PBRMaterial(base_color_texture=wide))], 16)
    assert int((voxels.attributes["base_color"].int() - 60).abs().max()) <= 1
    with caplog.at_level(logging.WARNING):
        voxels = mesh_to_voxel_attributes([square(PBRMaterial(base_color_texture=wide, name="oak"), uv=None)], 16)
    assert "'oak' has textures but its mesh has no UVs" in caplog.text
    assert voxels.attributes["base_color"].min() == 255


@pytest.mark.parametrize(
    ("wrap", "positions"),
    [
        ("repeat", {-1: 3, 0: 0, 3: 3, 4: 0, 5: 1, 9: 1}),
        ("clamp", {-5: 0, -1: 0, 3: 3, 4: 3, 9: 3}),
        ("mirror", {-1: 0, -2: 1, 3: 3, 4: 3, 5: 2, 8: 0}),
    ],
)
def test_wrap_modes_by_hand(wrap, positions):
    row = np.array([10, 60, 110, 160], np.uint8)
    buffer, table = pack_textures([np.tile(row[None, :, None], (4, 1, 1))])
    for texel, expected in positions.items():
        value = lookup(buffer, table[0], 0, (texel + 0.5) / 4, 0.4, False, WRAPS[wrap], 0, 0.0)
        assert value * 255 == pytest.approx(row[expected])


def test_linear_filter_blends_texels_and_levels():
    image = np.array([[[0], [100]], [[0], [100]]], np.uint8)
    buffer, table = pack_textures([image])
    assert buffer.tolist() == [0, 100, 0, 100, 50]

    def read(u, level):
        return 255 * lookup(buffer, table[0], 0, u, 0.5, True, WRAPS["clamp"], WRAPS["clamp"], level)

    assert [read(u, 0.0) for u in (0.25, 0.5, 0.75)] == pytest.approx([0, 50, 100])
    assert [read(0.25, level) for level in (-3.0, 0.5, 1.0, 7.0, np.nan)] == pytest.approx([0, 25, 50, 50, 0])


def test_the_level_grows_by_one_when_the_texture_doubles():
    triangle = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    uv = np.array([[0.0, 0], [1, 0], [0, 1]])
    assert mip_level(triangle, uv, 1 / 64, 64, 0.0) == pytest.approx(0)
    assert mip_level(triangle, uv, 1 / 64, 128, 0.0) == pytest.approx(1)
    assert mip_level(triangle, np.zeros((3, 2)), 1 / 64, 128, 0.0) < 0


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="at least one triangle"):
        mesh_to_voxel_attributes([], 16)
    with pytest.raises(InputError, match="finite vertices"):
        mesh_to_voxel_attributes([replace(square(), vertices=square().vertices * float("nan"))], 16)
    one = TexturedTriangles(torch.rand(1, 3, 3) - 0.5, torch.zeros(1, 3, 2), torch.zeros(1, dtype=torch.long))
    odd = SurfaceMaterial(base_color_texture=torch.zeros(6, 6, 3, dtype=torch.uint8))
    with pytest.raises(InputError, match="power-of-two"):
        voxelize_textured_triangles(replace(one, materials=(odd,)), Lattice.cube(8))
    narrow = SurfaceMaterial(base_color_texture=torch.zeros(8, 8, 1, dtype=torch.uint8))
    with pytest.raises(InputError, match="at least 3 channels"):
        voxelize_textured_triangles(replace(one, materials=(narrow,)), Lattice.cube(8))
