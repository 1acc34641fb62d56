from pathlib import Path

import pytest
import torch

from scenewright.errors import InputError
from scenewright.geometry.color import srgb_from_linear
from scenewright.geometry.voxelize_object import object_to_voxels, voxels_to_mesh
from scenewright.io.glb import load_glb
from scenewright.types import Mesh, PBRMaterial, SparseVoxels
from tests.geometry.test_volumetric_attributes import square

DECKCHAIR = Path(__file__).parents[1] / "data" / "furniture" / "b0_deckchair.glb"


def test_an_object_of_flat_colour_keeps_it_there_and_back():
    material = PBRMaterial((0.5, 0.1, 0.0, 1.0), metallic_factor=0.2, roughness_factor=0.6)
    part = square(material)
    scaled = Mesh(part.vertices * 40 + 7, part.faces, material=material)
    mesh = voxels_to_mesh(object_to_voxels([scaled], 32))
    assert mesh.material is not None
    assert mesh.material.double_sided
    assert mesh.material.alpha_mode == "OPAQUE"
    assert mesh.material.metallic_factor == pytest.approx(0.2, abs=1 / 255)
    assert mesh.material.roughness_factor == pytest.approx(0.6, abs=1 / 255)
    encoded, expected = srgb_from_linear(mesh.vertex_colors[:, :3]), srgb_from_linear(torch.tensor([0.5, 0.1, 0.0]))
    assert float((encoded - expected).abs().max()) <= 1.01 / 255
    assert float(mesh.vertices.abs().max()) == pytest.approx(0.5, abs=1 / 32)


def test_furniture_becomes_one_set_of_voxels():
    parts = [part for scene_object in load_glb(DECKCHAIR).objects for part in scene_object.parts]
    seen: list[float] = []
    voxels = object_to_voxels(parts, 64, progress=seen.append)
    widths = {name: tuple(value.shape[1:]) for name, value in voxels.attributes.items()}
    assert widths == {
        "vertices": (3,),
        "intersected": (1,),
        "base_color": (3,),
        "metallic": (1,),
        "roughness": (1,),
        "alpha": (1,),
    }
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    # Blue and white stripes on the seat, brown wood elsewhere.
    colors = voxels.attributes["base_color"].int()
    assert int((colors[:, 2] - colors[:, 0] > 60).sum()) > 200
    assert int((colors[:, 0] - colors[:, 2] > 30).sum()) > 200


def test_objects_that_make_no_voxels_and_foreign_voxels_are_refused():
    with pytest.raises(InputError, match="at least one triangle"):
        object_to_voxels([], 16)
    line = Mesh(torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), torch.tensor([[0, 1, 2]]))
    with pytest.raises(InputError, match="higher resolution"):
        object_to_voxels([line], 16)
    with pytest.raises(InputError, match="'vertices' and 'intersected'"):
        voxels_to_mesh(SparseVoxels(torch.tensor([[0, 0, 0]]), 4))
