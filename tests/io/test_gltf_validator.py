"""Every kind of scene we write passes the Khronos glTF validator with no error and no warning.

The validator is the npm package `gltf-validator`. It is installed once into a cache folder outside the repository;
without node, npm or a reachable npm registry these tests are skipped.
"""

import json
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scenewright.backbones.trellis2 import SPEC
from scenewright.backbones.trellis2.decoding import object_surface
from scenewright.backbones.trellis2.texture_vae import MATERIAL_CHANNELS
from scenewright.geometry.mesh.finish import finish_mesh
from scenewright.geometry.mesh.surface_color import VoxelField
from scenewright.geometry.ovoxel.voxelize_object import object_to_ovoxel, ovoxel_to_parts
from scenewright.io.glb import glb_bytes, load_glb
from scenewright.types import Mesh, OVoxel, PBRMaterial, Scene, SceneObject, SparseVoxels
from tests.io.scenes import camera, picture, placed, rich_scene, tetrahedron

_VERSION = "2.0.0-dev.3.10"
_CACHE = Path(tempfile.gettempdir()) / f"scenewright-gltf-validator-{_VERSION}"
_SCRIPT = """
const validator = require('gltf-validator');
const fs = require('fs');
validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[2]))).then(
  report => console.log(JSON.stringify(report.issues)),
  error => console.log(JSON.stringify({numErrors: 1, numWarnings: 0, messages: [String(error)]})));
"""


@pytest.fixture(scope="module")
def validate(tmp_path_factory):
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are needed to run the glTF validator")
    if not (_CACHE / "node_modules" / "gltf-validator").is_dir():
        _CACHE.mkdir(exist_ok=True)
        install = [npm, "install", "--no-save", "--no-audit", "--no-fund", f"gltf-validator@{_VERSION}"]
        try:
            result = subprocess.run(install, cwd=_CACHE, capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired:
            pytest.skip("npm did not answer")
        if result.returncode:
            pytest.skip(f"gltf-validator could not be installed: {result.stderr.strip()[-200:]}")
    script = _CACHE / "validate.js"
    script.write_text(_SCRIPT)
    path = tmp_path_factory.mktemp("validated") / "scene.glb"

    def run(scene: Scene) -> dict:
        path.write_bytes(glb_bytes(scene))
        output = subprocess.run([node, script, path], capture_output=True, text=True, timeout=60, check=True)
        return json.loads(output.stdout)

    return run


def plain(*parts: Mesh) -> Scene:
    return Scene((SceneObject("object", parts),))


def textured(channels: int, alpha_mode: str) -> Scene:
    material = PBRMaterial(base_color_texture=picture(3, 5, channels), alpha_mode=alpha_mode, name="painted")
    return plain(tetrahedron(uv=torch.rand(4, 2), material=material))


def degenerate() -> Scene:
    """Normals without direction, a face without area, and a normal map whose texture coordinates all agree."""
    mesh = tetrahedron(uv=torch.zeros(4, 2), material=PBRMaterial(normal_texture=picture(2, 2, 3)))
    return plain(
        replace(mesh, faces=torch.tensor([[0, 0, 0], [0, 1, 2]])), replace(mesh, vertex_normals=torch.zeros(4, 3))
    )


def furniture_voxels() -> OVoxel:
    """What TRELLIS.2's decoders make of an object, from the object itself."""
    path = Path(__file__).parents[1] / "data" / "furniture" / "b0_deckchair.glb"
    return object_to_ovoxel([part for item in load_glb(path).objects for part in item.parts], 48)


def finished_object() -> Scene:
    voxels = furniture_voxels()
    values = {name: value.float() / 255 for name, value in voxels.materials.items() if name in MATERIAL_CHANNELS}
    field = VoxelField(SparseVoxels(voxels.grid.coords, voxels.grid.resolution, values))
    surface = object_surface(voxels.grid)
    return plain(finish_mesh(surface, field, replace(SPEC.finish, max_faces=2000, texture_size=64)))


SCENES = {
    "everything": rich_scene,
    "empty": lambda: Scene(()),
    "camera only": lambda: Scene((), cameras={"camera": camera()}),
    "plain": lambda: plain(tetrahedron()),
    "object without geometry": lambda: plain(),
    "mirrored placement": lambda: Scene(
        (SceneObject("m", (tetrahedron(),), world_from_object=torch.diag(torch.tensor([-1.0, 2, 1, 1]))),)
    ),
    "tiny and far": lambda: Scene(
        (SceneObject("m", (tetrahedron(),), world_from_object=placed(3.0, [1e4, -1e4, 1e3], 1e-3)),)
    ),
    "grey texture": lambda: textured(1, "OPAQUE"),
    "rgb texture": lambda: textured(3, "OPAQUE"),
    "rgba texture": lambda: textured(4, "BLEND"),
    "degenerate": degenerate,
    "finished object": finished_object,
    "converted voxels": lambda: plain(ovoxel_to_parts(furniture_voxels())[0]),
    "many vertices": lambda: plain(Mesh(torch.rand(70_000, 3), torch.arange(69_999).reshape(-1, 3))),
    "names beyond ASCII": lambda: Scene(
        (SceneObject("große Küche 椅子", (tetrahedron(),), extras={"ü": [1, {"x": None}]}),)
    ),
}


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES.keys())
def test_no_errors_and_no_warnings(validate, scene):
    report = validate(scene())
    assert report["numErrors"] == 0, report["messages"]
    assert report["numWarnings"] == 0, report["messages"]
