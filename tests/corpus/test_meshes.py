"""OBJ, PLY and STL as people's tools write them."""

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from scenewright.data.catalogue import find_models, read_entry
from scenewright.errors import InputError
from scenewright.io.formats import readable
from tests.corpus.gltf import picture

OBJ = """# {comment}
mtllib m.mtl
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 0 0 2
v 1 0 2
v 1 1 2
vt 0 0
vt 1 0
vt 1 1
vt 0 1
{first}
usemtl red
f 1/1 2/2 3/3 4/4
{second}
usemtl grün
f 5/1 6/2 7/3
"""
MTL = "newmtl red\nKd 0.1 0.1 0.1\nmap_Kd t.png\nNs 250\nnewmtl grün\nKd 0 1 0\n"


def write(folder, encoding, first="o first", second="o second"):
    text = OBJ.format(comment="Möbel von früher", first=first, second=second)
    (folder / "m.obj").write_bytes(text.encode(encoding))
    (folder / "m.mtl").write_text(MTL, encoding="utf-8")
    (folder / "t.png").write_bytes(picture())
    return folder / "m.obj"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_encoding_with_materials_and_textures_in_every_command(tmp_path, encoding):
    path = write(tmp_path, encoding)
    first, second = readable(path).read(path).objects
    assert (first.name, second.name) == ("first", "second")
    material = first.parts[0].material
    assert (material.base_color_texture[0, 0].int() - torch.tensor([200, 40, 20])).abs().max() <= 1
    assert material.base_color_factor[:3] == (1.0, 1.0, 1.0)  # the texture replaces Kd
    assert material.roughness_factor == pytest.approx(0.5)
    assert second.parts[0].material.base_color_factor[:3] == (0.0, 1.0, 0.0)
    parts = read_entry(find_models(path)[0]).parts
    assert len(parts) == 2
    assert any(part.material.base_color_texture is not None for part in parts)


def test_a_comment_in_latin_1_is_no_reason_to_refuse(tmp_path):
    path = write(tmp_path, "utf-8")
    path.write_bytes(path.read_bytes().replace("ö".encode(), b"\xf6").replace("ü".encode(), b"\xfc"))
    assert len(readable(path).read(path).objects) == 2


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [("g first", "g second", ["first", "second"]), ("", "", ["m"]), ("o a\ng x", "o a\ng y", ["a"])],
)
def test_groups_are_objects_where_no_object_is_named(tmp_path, first, second, names):
    path = write(tmp_path, "utf-8", first, second)
    assert [item.name for item in readable(path).read(path).objects] == names


def test_what_an_obj_names_and_is_not_there_is_named_and_left_out(tmp_path, caplog):
    path = write(tmp_path, "utf-8")
    (tmp_path / "t.png").unlink()
    first, _ = readable(path).read(path).objects
    assert first.parts[0].material.base_color_texture is None
    assert "t.png" in caplog.text
    (tmp_path / "m.mtl").unlink()
    assert sum(len(part.faces) for item in readable(path).read(path).objects for part in item.parts) == 3
    assert "m.mtl" in caplog.text


def test_a_texture_that_is_another_file_is_left_out(tmp_path, caplog):
    path = write(tmp_path, "utf-8")
    Image.new("RGB", (8, 8)).save(tmp_path / "t.png", "PPM")
    first, _ = readable(path).read(path).objects
    assert first.parts[0].material.base_color_texture is None
    assert "t.png" in caplog.text


@pytest.mark.parametrize(
    ("suffix", "options"), [(".ply", {"encoding": "ascii"}), (".ply", {}), (".stl", {}), (".stl", {"ascii": True})]
)
def test_single_meshes_in_text_and_binary(tmp_path, suffix, options):
    box = trimesh.creation.box()
    if suffix == ".ply":
        box.visual.vertex_colors = np.tile(np.array([[255, 0, 0, 255]], np.uint8), (8, 1))
    kind = "stl_ascii" if options.pop("ascii", False) else suffix[1:]
    path = tmp_path / f"box{suffix}"
    content = box.export(file_type=kind, **options)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    (part,) = readable(path).read(path).objects[0].parts
    assert len(part.faces) == 12
    if suffix == ".ply":
        assert part.vertex_colors[0].tolist() == pytest.approx([1, 0, 0, 1])


def test_points_and_lines_alone_are_refused_as_such(tmp_path):
    obj, ply = tmp_path / "points.obj", tmp_path / "points.ply"
    obj.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\np 1 2 3\nl 1 2\n")
    ply.write_text(
        "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
        "end_header\n0 0 0\n"
    )
    for path in (obj, ply):
        with pytest.raises(InputError, match="holds no triangles"):
            readable(path).read(path)


def test_points_beside_a_mesh_are_left_out(tmp_path):
    path = tmp_path / "m.obj"
    path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 5 5 5\no points\np 4\no mesh\nf 1 2 3\n")
    assert [len(item.parts[0].faces) for item in readable(path).read(path).objects] == [1]
