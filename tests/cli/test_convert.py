import base64
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from scenewright.cli.app import app
from scenewright.errors import InputError
from scenewright.io.glb import load_glb, save_glb
from scenewright.io.voxel_file import load_ovoxel
from scenewright.types import Scene, SceneObject
from tests.io.test_rigid_bodies import box

TABLE = Path(__file__).parents[1] / "data" / "furniture" / "b0_technicaltable1.glb"


def run(*arguments) -> str:
    result = CliRunner().invoke(app, ["convert", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_mesh_becomes_voxels_and_comes_back(tmp_path):
    voxels, back = tmp_path / "table.vxz", tmp_path / "back.glb"
    assert f"wrote {voxels}" in run(TABLE, voxels, "--resolution", 48, "--compression", "zstd")
    assert load_ovoxel(voxels).grid.resolution == 48
    with pytest.raises(InputError, match="no separate objects, so --settle"):
        run(voxels, tmp_path / "table.npz", "--settle")
    run(voxels, back)
    (part,) = load_glb(back).objects[0].parts
    assert part.vertex_colors is not None
    assert len(part.faces) > 500


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("missing.glb", "b.vxz", "missing.glb"),
        ("missing.vxz", "b.glb", "missing.vxz"),
        ("a.blend", "b.glb", "Expected a scene as"),
        (str(TABLE), "b.fbx", "Cannot write"),
    ],
)
def test_what_cannot_be_converted_is_named(tmp_path, source, target, message):
    with pytest.raises(InputError, match=message):
        CliRunner().invoke(app, ["convert", source, str(tmp_path / target)], catch_exceptions=False)


def test_a_file_cut_short_is_named_and_nothing_is_written(tmp_path):
    whole, cut = tmp_path / "table.vxz", tmp_path / "cut.vxz"
    run(TABLE, whole, "--resolution", 16)
    cut.write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"cut\.vxz"):
        run(cut, tmp_path / "back.glb")
    assert not (tmp_path / "back.glb").exists()


def test_a_missing_texture_is_named(tmp_path):
    triangle = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes()
    document = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "textures": [{"source": 0}],
        "images": [{"uri": "wood.png"}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "buffers": [{"byteLength": 36, "uri": "data:;base64," + base64.b64encode(triangle).decode()}],
    }
    (tmp_path / "table.gltf").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"wood\.png"):
        run(tmp_path / "table.gltf", tmp_path / "table.vxz", "--resolution", 16)
    assert not (tmp_path / "table.vxz").exists()


def test_a_scene_is_settled_before_it_is_written(tmp_path):
    place = torch.eye(4)
    place[2, 3] = 0.03
    scene = Scene((SceneObject("crate", (box(0.4, 0.4, 0.4),), world_from_object=place),), is_metric=True)
    said = run(save_glb(scene, tmp_path / "floating.glb"), tmp_path / "standing.glb", "--settle", "--colliders", "hull")
    assert "settled in MuJoCo: 1 objects moved" in said
    (crate,) = load_glb(tmp_path / "standing.glb").objects
    assert float(crate.world_bounds()[0, 2]) == pytest.approx(0, abs=1e-3)


def test_the_file_that_is_read_is_not_replaced(tmp_path):
    source = tmp_path / "table.glb"
    source.write_bytes(TABLE.read_bytes())
    (tmp_path / "link.glb").symlink_to(source)
    for target in (source, tmp_path / "link.glb"):
        with pytest.raises(InputError, match="would replace a file that is read"):
            CliRunner().invoke(app, ["convert", str(source), str(target)], catch_exceptions=False)
    assert source.read_bytes() == TABLE.read_bytes()
