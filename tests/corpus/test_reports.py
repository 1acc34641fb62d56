"""Models after public bug reports, where they are at hand: they look as a user expects."""

from pathlib import Path

import numpy as np
import pytest

from scenewright.data.catalogue import find_models, read_entry
from scenewright.errors import InputError, MissingExtraError
from scenewright.geometry.ovoxel.voxelize_object import object_to_ovoxel, ovoxel_to_parts
from scenewright.io.scene_file import load_scene
from scenewright.rendering.still import render

REPORTS = Path(__file__).parents[3] / "shared" / "faults" / "reports"
pytestmark = pytest.mark.skipif(not REPORTS.is_dir(), reason="the files of the reports are not here")


def test_numbers_beside_a_model_are_imported() -> None:
    parts = read_entry(find_models(REPORTS / "02_import_gltf" / "box.gltf")[0]).parts
    assert sum(len(part.faces) for part in parts) == 12


def test_a_model_with_an_emissive_texture_does_not_glow_all_over() -> None:
    scene = load_scene(REPORTS / "03_emissive" / "emissive_texture.glb")
    pixels = np.asarray(render(scene, size=96, ground=False)).astype(int)[..., :3]
    background = pixels[0, 0]
    body = pixels[np.abs(pixels - background).max(-1) > 20]
    assert len(body) > 200
    assert np.median(body.max(-1)) < 200  # the body is dark, a strip of it lit
    material = scene.objects[0].parts[0].material
    assert material is not None
    assert material.emissive_texture is not None


def test_clamped_textures_do_not_repeat() -> None:
    (part,) = load_scene(REPORTS / "08_texture_wrap" / "clamp.glb").objects[0].parts
    assert part.material is not None
    assert part.material.wrap == ("clamp", "clamp")


def test_opaque_objects_are_seen_whatever_their_vertices_say() -> None:
    parts = load_scene(REPORTS / "09_vertex_alpha" / "vcol_alpha0_opaque.glb").objects[0].placed_parts()
    voxels = object_to_ovoxel(parts, 24)
    assert int(voxels.materials["alpha"].min()) >= 254
    assert ovoxel_to_parts(voxels)[0].material.alpha_mode == "OPAQUE"  # type: ignore[union-attr]


def test_obj_of_any_encoding_with_its_materials() -> None:
    folder = REPORTS / "12_obj_latin1"
    assert len(load_scene(folder / "obj_latin1.obj").to_mesh().faces) > 0
    (item, *_) = load_scene(folder / "obj_mtl.obj").objects
    material = item.parts[0].material
    assert material is not None
    assert material.base_color_factor != (1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize(("name", "message"), [("ktx2_stub", "KTX"), ("meshopt_stub", "meshopt|buffer")])
def test_packed_files_that_are_damaged_say_what_they_are(name: str, message: str) -> None:
    with pytest.raises((InputError, MissingExtraError), match=message) as caught:
        load_scene(REPORTS / "21_messages" / f"{name}.glb")
    assert "\n" not in str(caught.value)
