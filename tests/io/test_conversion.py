"""Every pair of formats that makes sense: geometry there and back, and materials, names and colours where they fit."""

import contextlib
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scenewright.errors import InputError
from scenewright.io.conversion import convert
from scenewright.io.formats import FORMATS, check_target, contents, readable, readable_suffixes, suffixes, writable
from scenewright.io.gaussian_ply import load_gaussian_ply
from scenewright.io.scene_file import load_scene, save_scene
from scenewright.io.voxel_file import load_ovoxel
from scenewright.types import PBRMaterial, Scene, SceneObject
from tests.io.scenes import gaussians, picture, placed, rich_scene, tetrahedron

MESHES = (".glb", ".gltf", ".obj", ".ply", ".stl")
USD = (".usda", ".usdc", ".usdz")
WITH_OBJECTS = (".glb", ".gltf", ".obj")


def two_objects() -> Scene:
    """A box-like solid with a textured material, and a placed one of plain red with a space in its name."""
    uv = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    oak = PBRMaterial(
        metallic_factor=0.25,
        roughness_factor=0.5,
        base_color_texture=picture(8, 16, 3),
        metallic_roughness_texture=picture(4, 4, 3, seed=1),
        name="oak",
    )
    red = PBRMaterial((1.0, 0.0, 0.0, 1.0), roughness_factor=0.75, name="red paint")
    return Scene(
        (
            SceneObject("table", (tetrahedron(uv=uv, material=oak),)),
            SceneObject("red lamp", (tetrahedron(material=red),), world_from_object=placed(0.5, [2.0, 0.0, 1.0], 0.5)),
        )
    )


def triangles(scene: Scene) -> torch.Tensor:
    """Corners of all triangles in the world, sorted, so that files may order them as they like."""
    mesh = scene.to_mesh()
    corners = mesh.vertices[mesh.faces].double().reshape(-1, 3, 3)
    first = (corners * torch.tensor([1e6, 1e3, 1.0])).sum(2).argmin(1)
    rolled = torch.stack([torch.roll(corner, -int(start), 0) for corner, start in zip(corners, first, strict=True)])
    rows = sorted(rolled.flatten(1).round(decimals=4).tolist())
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("source", MESHES)
@pytest.mark.parametrize("target", MESHES)
def test_meshes_keep_their_triangles(tmp_path: Path, source: str, target: str) -> None:
    scene = two_objects()
    first = save_scene(scene, tmp_path / f"a{source}")
    loaded = load_scene(convert(first, tmp_path / f"b{target}"))
    torch.testing.assert_close(triangles(loaded), triangles(scene), atol=2e-4, rtol=0)


@pytest.mark.parametrize("source", WITH_OBJECTS)
@pytest.mark.parametrize("target", WITH_OBJECTS)
def test_objects_and_materials_survive_where_formats_hold_them(tmp_path: Path, source: str, target: str) -> None:
    scene = two_objects()
    table, lamp = load_scene(convert(save_scene(scene, tmp_path / f"a{source}"), tmp_path / f"b{target}")).objects
    assert (table.name, lamp.name.replace("_", " ")) == ("table", "red lamp")
    oak, red = table.parts[0].material, lamp.parts[0].material
    assert oak is not None
    assert red is not None
    expected = scene.objects[0].parts[0].material
    assert expected is not None
    assert torch.equal(oak.base_color_texture, expected.base_color_texture)
    assert torch.equal(oak.metallic_roughness_texture[..., 1:], expected.metallic_roughness_texture[..., 1:])
    assert (oak.metallic_factor, oak.roughness_factor, red.roughness_factor) == (0.25, 0.5, 0.75)
    assert red.base_color_factor == pytest.approx((1.0, 0.0, 0.0, 1.0), abs=1e-5)
    corner = table.parts[0].vertices.argmax(0)[0]  # the corner at x = 1 has u, v = 1, 0
    assert table.parts[0].uv is not None
    assert table.parts[0].uv[corner].tolist() == [1.0, 0.0]


def test_everything_glb_holds_survives_gltf(tmp_path: Path) -> None:
    glb = save_scene(rich_scene(), tmp_path / "a.glb")
    again = convert(convert(glb, tmp_path / "b.gltf"), tmp_path / "c.glb")
    assert (tmp_path / "b.bin").is_file()
    assert again.read_bytes() == glb.read_bytes()


def test_an_obj_keeps_normals_colours_and_parts(tmp_path: Path) -> None:
    scene = rich_scene()
    loaded = load_scene(save_scene(scene, tmp_path / "a.obj"))
    table = loaded.objects[0]
    assert [part.material.name for part in table.parts if part.material] == ["glass", "oak"]
    (oak,) = [part for part in table.parts if part.uv is not None]
    (placed_oak, _) = scene.objects[0].placed_parts()
    order = (oak.vertices[:, None] - placed_oak.vertices).norm(dim=2).argmin(1)
    torch.testing.assert_close(oak.vertex_normals, placed_oak.vertex_normals[order], atol=1e-5, rtol=0)
    plain = save_scene(Scene((SceneObject("a", (tetrahedron(vertex_colors=torch.eye(4)),)),)), tmp_path / "colours.obj")
    (part,) = load_scene(plain).objects[0].parts
    assert part.vertex_colors is not None
    assert sorted(part.vertex_colors[:, :3].sum(1).tolist()) == [0.0, 1.0, 1.0, 1.0]


def test_an_obj_cannot_make_us_read_elsewhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "secret.mtl").write_text("newmtl x\nKd 1 0 0\n")
    triangle = "v 0 1 0\nv 1 0 0\nv 0 0 1\nusemtl x\nf 1 2 3\n"
    (folder / "a.obj").write_text("mtllib ../secret.mtl\n" + triangle)
    (part,) = load_scene(folder / "a.obj").objects[0].parts
    assert part.material is None
    assert part.vertices.tolist() == [[0, 0, 1], [1, 0, 0], [0, -1, 0]]  # y up
    (folder / "b.obj").write_text("mtllib b.mtl\n" + triangle)
    (folder / "b.mtl").write_text("newmtl x\nmap_Kd ../picture.png\n")
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.png")
    (part,) = load_scene(folder / "b.obj").objects[0].parts
    assert part.material is not None
    assert part.material.base_color_texture is None
    assert "'../picture.png' outside its own folder, which is not read" in caplog.text


@pytest.mark.parametrize("content", [b"", b"v 0 0 0\n", b"\x00\xff\xfe garbage", b"v a b c\nf 1 2 3\n", b"f 1 2 9\n"])
def test_bad_obj_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.obj").write_bytes(content)
    with pytest.raises(InputError, match="bad"):
        load_scene(tmp_path / "bad.obj")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_fuzzed_obj_files_only_raise_input_errors(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    path = save_scene(two_objects(), folder / "a.obj")
    file = data.draw(st.sampled_from([path, path.with_suffix(".mtl")]))
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    with contextlib.suppress(InputError):
        load_scene(path)


def test_plain_colours_become_vertex_colours_in_ply(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        path = save_scene(two_objects(), tmp_path / "a.ply")
    assert "does not keep: materials, objects, textures" in caplog.text
    (part,) = load_scene(path).objects[0].parts
    assert part.vertex_colors is not None
    assert part.vertex_colors[-1].tolist() == [1.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("source", MESHES)
def test_meshes_become_voxels_and_come_back(tmp_path: Path, source: str) -> None:
    scene = Scene((SceneObject("a", (tetrahedron(),)),))
    first = save_scene(scene, tmp_path / f"a{source}")
    voxels = convert(first, tmp_path / "a.vxz", resolution=24)
    assert load_ovoxel(voxels).grid.resolution == 24
    back = load_scene(convert(voxels, tmp_path / f"b{source}")).to_mesh()
    low, high = back.vertices.amin(0), back.vertices.amax(0)
    assert (high - low).tolist() == pytest.approx([1.0, 1.0, 1.0], abs=1.5 / 24)


def test_voxels_stay_the_same_between_their_files(tmp_path: Path) -> None:
    first = convert(save_scene(two_objects(), tmp_path / "a.glb"), tmp_path / "a.vxz", resolution=16)
    again = convert(convert(first, tmp_path / "b.npz"), tmp_path / "c.vxz")
    assert again.read_bytes() == first.read_bytes()


def test_splats_are_copied_and_are_no_meshes(tmp_path: Path) -> None:
    splats = replace(gaussians(5), sh=torch.randn(5, 9, 3))
    path = save_scene(Scene((SceneObject("cloud", splats=splats),)), tmp_path / "a.ply")
    torch.testing.assert_close(load_gaussian_ply(convert(path, tmp_path / "b.ply")).sh, splats.sh, atol=1e-5, rtol=1e-4)
    for target in ("b.glb", "b.obj", "b.vxz"):
        with pytest.raises(InputError, match=r"has splats only, which '.*' cannot hold; write \.ply"):
            convert(path, tmp_path / target)


def test_the_table_says_what_formats_hold() -> None:
    assert suffixes("splats") == (".ply",)
    assert suffixes("meshes") == (".glb", ".gltf", ".obj", ".ply", ".stl", ".vxz", ".npz", ".xml", ".urdf") + USD
    assert readable_suffixes("meshes") == (".glb", ".gltf", ".obj", ".ply", ".stl", ".vxz", ".npz")
    assert contents(rich_scene()) == {"meshes", "objects", "materials", "textures", "colors", "cameras"}
    assert len({entry.name for entry in FORMATS}) == len(FORMATS)
    both = Scene((SceneObject("a", (tetrahedron(),), splats=gaussians(1)),))
    assert writable("a.ply", both).holds == {"splats"}
    assert "cameras" in writable("a.glb", both).holds
    with pytest.raises(InputError, match="Expected a scene as"):
        readable("a.blend")


def test_targets_are_checked_before_the_work(tmp_path: Path) -> None:
    check_target(tmp_path / "a.glb", "--out", ".glb")
    with pytest.raises(InputError, match=r"--out to end in \.glb or \.gltf, got 'a\.ply'"):
        check_target(tmp_path / "a.ply", "--out", ".glb", ".gltf")
    with pytest.raises(InputError, match="does not exist"):
        check_target(tmp_path / "none" / "a.glb", "--out", ".glb")
