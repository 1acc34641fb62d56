import contextlib
import logging
import sys

import numpy as np
import pytest
import torch

from scenewright.data.catalogue import find_models, read_entry
from scenewright.errors import InputError, MissingExtraError
from scenewright.geometry.ovoxel.voxelize_object import object_to_ovoxel, ovoxel_to_parts
from scenewright.io.glb import glb_bytes, load_glb, parse_glb
from scenewright.rendering.triangles import pack_scene
from scenewright.types import Scene, SceneObject
from tests.corpus.gltf import CASES, Gltf, picture, write_beside

SQUARE = torch.tensor([[0.0, 0, 0], [0, -1, 0], [1, -1, 0], [1, 0, 0]])  # z up
PACKED = {"draco", "meshopt", "ktx2"}


def scene_of(name: str) -> Scene:
    return parse_glb(CASES[name]().glb())


def area(scene: Scene) -> float:
    corners = scene.to_mesh().vertices[scene.to_mesh().faces.long()].double()
    return float(torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=1).sum()) / 2


@pytest.mark.parametrize("name", CASES)
def test_every_reader_loads_it_and_it_is_what_it_should_be(name, tmp_path):
    scene = scene_of(name)
    assert area(scene) == pytest.approx({"instanced": 3.0}.get(name, 1.0), rel=1e-3)
    low, high = pack_scene(scene).bounds()
    assert float((high - low).max()) == pytest.approx({"instanced": 5.0}.get(name, 1.0), rel=1e-3)
    again = parse_glb(glb_bytes(scene))
    assert area(again) == pytest.approx(area(scene))
    (tmp_path / f"{name}.glb").write_bytes(CASES[name]().glb())
    parts = read_entry(find_models(tmp_path)[0]).parts
    assert sum(len(part.faces) for part in parts) >= 2


@pytest.mark.parametrize("name", ["sparse", "sparse_alone", "strip", "fan", "meshopt", "quantised", "lines_beside"])
def test_geometry_however_it_is_stored(name):
    (part,) = scene_of(name).objects[0].parts
    order = [0, 1, 2, 3]
    assert torch.equal(part.vertices[order], SQUARE)
    a, b, c = part.vertices[part.faces.long()].unbind(1)
    assert (torch.linalg.cross(b - a, c - a)[:, 2] > 0).all()  # all triangles face up, in strips and fans, too


def test_what_is_not_drawn_is_named(caplog):
    scene_of("lines_beside")
    assert "has lines, which are skipped" in caplog.text


@pytest.mark.parametrize("name", ["webp", "ktx2", "texture_moved"])
def test_pictures_and_where_they_lie(name):
    (part,) = scene_of(name).objects[0].parts
    assert part.material is not None
    texture = part.material.base_color_texture
    assert (texture[0, 0].int() - torch.tensor([200, 40, 20])).abs().max() <= 1
    assert float(part.uv[:, 0].max()) == (0.5 if name == "texture_moved" else 1.0)


def test_a_turned_texture_is_turned_counter_clockwise_as_one_sees_it():
    turned = {"KHR_texture_transform": {"rotation": np.pi / 2, "offset": [0, 1]}}
    gltf = Gltf(TEXCOORD_0=np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32))
    (part,) = parse_glb(gltf.textured(picture(), extensions=turned).glb()).objects[0].parts
    # What lay along u, to the right, now lies along -v, which is up.
    torch.testing.assert_close(part.uv, torch.tensor([[0.0, 1], [0, 0], [1, 1], [1, 0]]), atol=1e-6, rtol=0)


def test_a_texture_of_other_coordinates_is_drawn_for_those_of_the_base_colour():
    (part,) = scene_of("second_coordinates").objects[0].parts
    glow = part.material.emissive_texture.int()
    # The black half is outside of what the square shows; the last column blends with it.
    assert (glow[:, :7] - torch.tensor([0, 250, 0])).abs().max() <= 1
    assert (part.material.base_color_texture[0, 0].int() - torch.tensor([200, 40, 20])).abs().max() <= 1


def test_a_texture_without_coordinates_becomes_its_mean(caplog):
    (part,) = scene_of("missing_coordinates").objects[0].parts
    assert part.material.base_color_texture is None
    assert part.material.base_color_factor[0] == pytest.approx(((200 / 255 + 0.055) / 1.055) ** 2.4, abs=1e-3)
    assert "its mean is used" in caplog.text


def test_continuation_of_textures_is_kept_in_files():
    (part,) = scene_of("clamped").objects[0].parts
    assert part.material.wrap == ("clamp", "mirror")
    (again,) = parse_glb(glb_bytes(scene_of("clamped"))).objects[0].parts
    assert again.material.wrap == ("clamp", "mirror")


def test_emission_is_kept_in_files_and_voxels():
    for scene in (scene_of("emissive"), parse_glb(glb_bytes(scene_of("emissive")))):
        material = scene.objects[0].parts[0].material
        assert material.emissive_factor == (2.0, 2.0, 2.0)
        assert material.emissive_texture[0, 0].tolist() == [0, 0, 250]
        assert material.emissive_texture[0, 7].tolist() == [0, 0, 0]
    voxels = object_to_ovoxel(scene.objects[0].parts, 32)
    x, glow = voxels.grid.coords[:, 0], voxels.materials["emissive"].int()
    assert (glow[x < 14] - torch.tensor([0, 0, 250])).abs().max() <= 1
    assert glow[x > 18].max() == 0
    dark, lit = ovoxel_to_parts(voxels)
    assert dark.material.emissive_factor == (0.0, 0.0, 0.0)
    assert lit.material.emissive_factor[2] > 0.9
    assert float(lit.vertices[:, 0].max()) < 0.05 < float(dark.vertices[:, 0].max())


def test_opaque_stays_opaque_whatever_vertices_say():
    parts = scene_of("opaque_with_vertex_alpha").objects[0].parts
    voxels = object_to_ovoxel(parts, 16)
    assert voxels.materials["alpha"].min() >= 254
    assert ovoxel_to_parts(voxels)[0].material.alpha_mode == "OPAQUE"


def test_materials_that_fall_back_say_so(caplog):
    (part,) = scene_of("glossy").objects[0].parts
    assert part.material.base_color_factor == pytest.approx((0.1, 0.6, 0.1, 1.0))
    assert part.material.roughness_factor == pytest.approx(0.75)
    assert part.material.metallic_factor == 0
    assert "specular-glossy" in caplog.text
    scene_of("transmission")
    assert "KHR_materials_transmission is not kept" in caplog.text


def test_instances_are_objects_that_share_their_mesh():
    scene = scene_of("instanced")
    assert [item.name for item in scene.objects] == ["square_0", "square_1", "square_2"]
    assert [float(item.world_from_object[0, 3]) for item in scene.objects] == [0.0, 2.0, 4.0]
    assert scene.objects[0].parts is scene.objects[2].parts


def test_morph_targets_have_their_default_weight():
    (part,) = scene_of("morphed").objects[0].parts
    torch.testing.assert_close(part.vertices, SQUARE + torch.tensor([0, 0, 1.5]))


def test_a_skin_stands_where_its_joints_are_and_has_their_size():
    (item,) = scene_of("skinned").objects
    assert torch.equal(item.world_from_object, torch.eye(4))
    torch.testing.assert_close(item.parts[0].vertices, SQUARE + torch.tensor([0, 0, 2.0]))


def test_what_has_no_area_does_not_count_for_the_size():
    parts = [part for item in scene_of("hidden_by_scale").objects for part in item.placed_parts()]
    alone = object_to_ovoxel(parts[:1], 32)
    assert torch.equal(object_to_ovoxel(parts, 32).grid.coords, alone.grid.coords)


def test_damaged_decoration_is_left_out_and_named(caplog):
    (part,) = scene_of("damaged_normals").objects[0].parts
    assert part.vertex_normals is None
    assert part.uv is None
    assert "Mesh 'square' has a NORMAL that is not finite" in caplog.text


@pytest.mark.parametrize("name", sorted(PACKED))
def test_without_the_extra_one_sentence_says_what_to_install(name, monkeypatch):
    content = CASES[name]().glb()
    for module in ("DracoPy", "meshopt", "opengl_basisu"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'scenewright\[gltf\]'"):
        parse_glb(content)


@pytest.mark.parametrize("name", sorted(PACKED))
def test_damaged_packed_data_raises_nothing_foreign(name):
    content = bytearray(CASES[name]().glb())
    for place in range(60):
        content[-1 - 4 * place] ^= 0xFF
    with contextlib.suppress(InputError):
        parse_glb(bytes(content))


@pytest.mark.parametrize(("bom", "escaped"), [(False, False), (True, False), (False, True)])
def test_numbers_beside_the_file_are_read_the_same_everywhere(tmp_path, bom, escaped):
    path = write_beside(Gltf(), tmp_path, bom=bom, escaped=escaped)
    assert area(load_glb(path)) == pytest.approx(1.0)
    asset = read_entry(find_models(path)[0])
    assert sum(len(part.faces) for part in asset.parts) == 2


def test_an_object_of_a_hundred_instances_is_written_once(caplog):
    caplog.set_level(logging.WARNING)
    scene = scene_of("instanced")
    many = Scene(tuple(SceneObject(f"copy_{i}", scene.objects[0].parts) for i in range(100)))
    assert len(glb_bytes(many)) < 2 * len(glb_bytes(scene)) + 100 * 200
