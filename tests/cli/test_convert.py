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
from scenewright.types import Mesh, PBRMaterial, Scene, SceneObject

TABLE = Path(__file__).parents[1] / "data" / "furniture" / "b0_technicaltable1.glb"


def run(*arguments) -> str:
    result = CliRunner().invoke(app, ["convert", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_mesh_becomes_voxels_and_comes_back(tmp_path):
    voxels, back = tmp_path / "table.vxz", tmp_path / "back.glb"
    assert f"wrote {voxels}" in run(TABLE, voxels, "--resolution", 48, "--compression", "zstd")
    assert load_ovoxel(voxels).grid.resolution == 48
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


def test_a_thin_textured_rod_is_kept_when_asked_for(tmp_path):
    """An orange rod stands between the grid's lines, so that it makes no voxel by itself."""
    image = torch.zeros(8, 8, 3, dtype=torch.uint8)
    image[:] = torch.tensor([250, 120, 10])
    low, high, wide = torch.tensor([0.26, 0.26, 0.05]), torch.tensor([0.26, 0.26, 0.8]), torch.tensor([0.002, 0.0, 0.0])
    corners, uv = [[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], torch.tensor([[0.0, 1], [0, 0], [1, 0], [1, 1]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    floor = Mesh(torch.tensor(corners), faces, material=PBRMaterial((0.0, 0.0, 1.0, 1.0)))
    rod = Mesh(
        torch.stack([low, low + wide, high + wide, high]), faces, uv=uv, material=PBRMaterial(base_color_texture=image)
    )
    save_glb(Scene((SceneObject("pin", (floor, rod)),)), tmp_path / "pin.glb")
    as_published, kept = tmp_path / "published.vxz", tmp_path / "kept.vxz"
    run(tmp_path / "pin.glb", as_published, "--resolution", 16)
    run(tmp_path / "pin.glb", kept, "--resolution", 16, "--faithful")
    # As published there is the floor alone; what stands two voxels above it is the rod.
    flat, standing = load_ovoxel(as_published), load_ovoxel(kept)
    above = int(flat.grid.coords[:, 2].max()) + 2
    is_rod = standing.grid.coords[:, 2] >= above
    assert len(standing.grid.coords[is_rod, 2].unique()) >= 9
    difference = standing.materials["base_color"][is_rod].int() - torch.tensor([250, 120, 10])
    assert int(difference.abs().max()) <= 1
    run(kept, tmp_path / "back.glb")
    (part,) = load_glb(tmp_path / "back.glb").objects[0].parts
    extent = part.vertices.max(0).values - part.vertices.min(0).values
    assert float(extent[2]) == pytest.approx(0.8, abs=1 / 16)


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
