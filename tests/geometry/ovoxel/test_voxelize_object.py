from pathlib import Path

import pytest
import torch

from scenewright.errors import InputError
from scenewright.geometry.color import srgb_from_linear
from scenewright.geometry.ovoxel.voxelize_object import object_to_ovoxel, ovoxel_to_parts, placed_to_ovoxel
from scenewright.io.glb import load_glb
from scenewright.io.voxel_file import load_ovoxel, save_ovoxel
from scenewright.types import DualGrid, Mesh, OVoxel, PBRMaterial
from tests.geometry.ovoxel.test_volumetric_attributes import square
from tests.support.progress import Recorder

DECKCHAIR = Path(__file__).parents[2] / "data" / "furniture" / "b0_deckchair.glb"


def test_an_object_of_flat_colour_keeps_it_there_and_back():
    material = PBRMaterial((0.5, 0.1, 0.0, 1.0), metallic_factor=0.2, roughness_factor=0.6)
    part = square(material)
    scaled = Mesh(part.vertices * 40 + 7, part.faces, material=material)
    (mesh,) = ovoxel_to_parts(object_to_ovoxel([scaled], 32))
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
    progress = Recorder()
    voxels = object_to_ovoxel(parts, 64, progress=progress)
    widths = {name: tuple(value.shape[1:]) for name, value in voxels.materials.items()}
    assert widths == {"base_color": (3,), "metallic": (1,), "roughness": (1,), "alpha": (1,)}
    assert progress.stages == ["surface", "materials"]
    # Blue and white stripes on the seat, brown wood elsewhere.
    colors = voxels.materials["base_color"].int()
    assert int((colors[:, 2] - colors[:, 0] > 60).sum()) > 200
    assert int((colors[:, 0] - colors[:, 2] > 30).sum()) > 200


def test_a_smooth_texture_comes_back_within_quantisation(tmp_path):
    """Through bytes, a file and vertex colours: what a voxel says is the texture at its centre, to one step of 255."""
    # Texels larger than voxels: no level of detail in between. Voxel bytes are truncated, as published.
    ramp = (20 + 210 * (torch.arange(32) + 0.5) / 32).round().byte()
    image = torch.stack([ramp[None].expand(32, 32), ramp[:, None].expand(32, 32), ramp.flip(0).expand(32, 32)], 2)
    part = square(PBRMaterial(base_color_texture=image.contiguous()))
    voxels = load_ovoxel(save_ovoxel(object_to_ovoxel([part], 64), tmp_path / "square.vxz"))
    centre = (voxels.grid.coords + 0.5) / 64 - 0.5
    u, v = (centre[:, 0] + 0.5).clamp(0, 1), (0.5 - centre[:, 1]).clamp(0, 1)
    inside = ((u - 0.5).abs() < 0.47) & ((v - 0.5).abs() < 0.47)
    expected = torch.stack([20 + 210 * u, 20 + 210 * v, 230 - 210 * u], 1)
    error = (voxels.materials["base_color"].float() - expected)[inside].abs()
    assert len(error) > 3000
    assert float(error.max()) < 1.7  # half a step for the texel, one for the voxel, 0.2 for the square's side of 0.801
    (mesh,) = ovoxel_to_parts(voxels)
    assert float((srgb_from_linear(mesh.vertex_colors[:, :3]) * 255).max()) <= 231


def test_surfaces_without_area_alone_are_refused_and_beside_others_ignored():
    point = Mesh(torch.full((3, 3), 0.3), torch.tensor([[0, 1, 2]]))
    with pytest.raises(InputError, match="extent"):
        object_to_ovoxel([point], 16)
    part = square(PBRMaterial((0.5, 0.5, 0.5, 1.0)))
    degenerate = Mesh(part.vertices, torch.tensor([[0, 0, 1], [2, 2, 2]]), material=PBRMaterial((1.0, 0.0, 0.0, 1.0)))
    both, alone = object_to_ovoxel([part, degenerate], 32), object_to_ovoxel([part], 32)
    assert torch.equal(both.grid.coords, alone.grid.coords)
    assert torch.equal(both.materials["base_color"], alone.materials["base_color"])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_vertices_that_are_not_numbers_are_refused(bad):
    part = square()
    part.vertices[1, 2] = bad
    with pytest.raises(InputError, match="finite"):
        object_to_ovoxel([part], 16)


def test_objects_that_make_no_voxels_and_foreign_voxels_are_refused():
    with pytest.raises(InputError, match="at least one triangle"):
        object_to_ovoxel([], 16)
    line = Mesh(torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), torch.tensor([[0, 1, 2]]))
    with pytest.raises(InputError, match="higher resolution"):
        object_to_ovoxel([line], 16)
    single = DualGrid(torch.tensor([[0, 0, 0]]), torch.full((1, 3), 0.5), torch.ones(1, 3, dtype=torch.bool), 4)
    with pytest.raises(InputError, match="no surface"):
        ovoxel_to_parts(OVoxel(single))


def test_a_part_of_a_room_keeps_its_place_and_ends_at_the_cube():
    part = square(PBRMaterial((0.5, 0.1, 0.0, 1.0)))
    shift = torch.tensor([0.3, -0.2, 0.1])
    moved = Mesh(part.vertices * 0.25 + shift, part.faces, material=part.material)
    voxels = placed_to_ovoxel([moved], 64)
    points = (voxels.grid.coords + voxels.grid.dual_vertices) / 64 - 0.5
    low, high = moved.vertices.amin(0), moved.vertices.amax(0)
    assert bool((points >= low - 1 / 64).all())
    assert bool((points <= high + 1 / 64).all())
    beyond = Mesh(part.vertices + torch.tensor([0.4, 0.0, 0.0]), part.faces, material=part.material)
    cut = placed_to_ovoxel([beyond], 64)
    assert int(cut.grid.coords[:, 0].max()) == 63
    whole = placed_to_ovoxel([part], 64)
    assert len(cut.grid.coords) < len(whole.grid.coords)
