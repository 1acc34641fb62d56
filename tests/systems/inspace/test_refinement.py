"""Assets in cubes of their own: there and back, cells, crops, the gate, and a whole refined room with tiny networks."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from scenewright.errors import InputError
from scenewright.geometry.mesh.finish_options import FinishOverride
from scenewright.io.data_file import data_fingerprint
from scenewright.systems.inspace import stage_pictures
from scenewright.systems.inspace.asset_views import box_corners
from scenewright.systems.inspace.panorama import Panorama, PanoramaSettings, room_input
from scenewright.systems.inspace.parts import Part
from scenewright.systems.inspace.refinement import (
    AssetFrame,
    RefineSettings,
    agreement,
    asset_cells,
    asset_crop,
    coarse_cells,
)
from scenewright.systems.inspace.room_frame import depth_rays
from scenewright.systems.inspace.system import InSpaceSettings
from scenewright.systems.options import GenerateOptions
from scenewright.types import Mesh, View
from tests.systems.inspace.test_panorama_depth import furnished
from tests.systems.inspace.test_system import folder, system, view  # noqa: F401

BOX = torch.tensor([0.2, -0.1, -0.3, 0.2, 0.1, 0.15, 0.6])


def filled(box: torch.Tensor) -> torch.Tensor:
    """Coarse cells whose centre lies in the box."""
    cells = torch.cartesian_prod(*[torch.arange(64)] * 3).int()
    frame = AssetFrame.around(box, 1.0)
    local = frame.from_room((cells + 0.5) / 64 - 0.5)
    return cells[(local.abs() <= box[3:6] / 2 / frame.side).all(1)]


def test_a_box_fills_its_own_cube_but_for_the_margin() -> None:
    frame = AssetFrame.around(BOX, 1.05)
    own = frame.from_room(box_corners(BOX[None])[0])
    assert own.abs().amax(0).tolist() == pytest.approx([0.5 / 1.05, 0.25 / 1.05, 0.375 / 1.05], abs=1e-5)
    points = torch.rand(20, 3) - 0.5
    assert torch.allclose(frame.from_room(frame.to_room(points)), points, atol=1e-5)
    normals = torch.nn.functional.normalize(torch.rand(3, 3), dim=1)
    placed = frame.placed(Mesh(points[:3], torch.tensor([[0, 1, 2]]), vertex_normals=normals))
    assert placed.vertex_normals is not None
    assert torch.allclose(placed.vertex_normals.norm(dim=1), torch.ones(3), atol=1e-5)


def test_coarse_cells_become_the_structure_of_the_asset() -> None:
    coarse, frame = filled(BOX), AssetFrame.around(BOX, 1.05)
    cells = asset_cells(coarse, frame)
    there = ((frame.to_room((cells + 0.5) / 32 - 0.5) + 0.5) * 64 - coarse.float().mean(0) - 0.5).abs().amax(0)
    assert len(cells) > 4 * len(coarse)  # finer than the room's cells
    assert bool((there < 10).all())
    shares = cells.float().amax(0) - cells.float().amin(0)
    assert int(shares.argmax()) == 0  # as long as the box, along its own x
    # A room as large as the cube has cells half as fine as its own grid; none may be lost.
    whole = AssetFrame.around(torch.tensor([0.0, 0, 0, 1, 1, 1, 0]), 1.0)
    assert asset_cells(torch.tensor([[0, 0, 0], [63, 63, 63]]), whole).tolist() == [
        *torch.cartesian_prod(*[torch.arange(2)] * 3).tolist(),
        *torch.cartesian_prod(*[torch.arange(30, 32)] * 3).tolist(),
    ]
    part = Part("asset", torch.tensor([[4, 4, 4]], dtype=torch.int32), 0)
    assert coarse_cells(torch.tensor([[8, 9, 8], [10, 8, 8]]), part).tolist() == [[8, 9, 8]]


def test_a_crop_is_aimed_at_its_box_and_shows_it_alone() -> None:
    height = 256
    distance = furnished(depth_rays(height, 2 * height))
    rgb = torch.zeros(height, 2 * height, 3, dtype=torch.uint8) + 60
    rays = depth_rays(height, 2 * height)
    points = rays * distance[..., None]
    low, high = torch.tensor([1.2, 0.5, -1.2]).double(), torch.tensor([2.4, 2.0, -0.4]).double()
    on_block = ((points > low - 0.02) & (points < high + 0.02)).all(-1)
    rgb[on_block] = torch.tensor([250, 0, 0], dtype=torch.uint8)
    room = room_input(Panorama(rgb, distance), PanoramaSettings(face_size=16))
    corners = room.frame.to_cube(torch.stack([low, high])).float()
    box = torch.cat([corners.mean(0), corners[1] - corners[0], torch.zeros(1)])
    whole, alone = (asset_crop(room, box, 64, is_masked=masked) for masked in (False, True))
    assert whole[32, 32].tolist() == [250, 0, 0]
    red = (whole[..., 0] > 200).float()
    assert 0.2 < float(red.mean()) < 0.9
    assert float((alone[..., 0] > 200).float().mean()) > 0.9 * float(red.mean())
    assert float(((alone == 60).all(-1)).float().mean()) < 0.15  # the rest is black, but for what touches the box
    # Inside a box, or with nothing in it, there is still a picture.
    around = torch.tensor([*room.camera.tolist(), 0.3, 0.3, 0.3, 0.0])
    assert int(asset_crop(room, around, 16, is_masked=True).max()) > 0


def test_agreement_is_whole_for_the_same_cells_and_nothing_elsewhere() -> None:
    coarse = filled(BOX)
    mesh = Mesh((coarse + 0.5) / 64 - 0.5, torch.tensor([[0, 1, 2]]))
    assert agreement(mesh, coarse) == pytest.approx(1)
    assert agreement(replace(mesh, vertices=mesh.vertices + 0.3), coarse) == 0
    assert agreement(mesh, coarse[:0]) == 0
    half = replace(mesh, vertices=mesh.vertices[: len(coarse) // 2])
    assert 0.4 < agreement(half, coarse) < 1


@pytest.mark.parametrize("flows", ["base", "scene"])
def test_a_refined_room_on_the_same_weights(
    folder: Path,  # noqa: F811
    view: View,  # noqa: F811
    flows: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A quarter of this test; `test_system` draws them.
    monkeypatch.setattr(stage_pictures, "mesh_picture", lambda mesh: Image.new("RGB", (8, 8)))
    inspace = system(folder, tmp_path)
    refine = RefineSettings(flows, margin=2.5, least_agreement=0.0)  # type: ignore[arg-type]
    inspace.settings = replace(inspace.settings, refine=refine, layout="generated")
    options = GenerateOptions(preset="refined", finish=FinishOverride(max_faces=300, texture_size=64))
    scene = inspace.generate(view, seed=1, options=options)
    assets = [item for item in scene.objects if item.role == "furniture"]
    assert assets
    assert all(item.extras["refined"] for item in assets)
    assert "wall_0" in {item.name for item in scene.objects}  # planes, whatever the settings said
    assert ("base/shape_slat_flow_model_512" in inspace.weights_sha256()) == (flows == "base")
    for item in assets:
        assert item.box is not None
        for mesh in item.parts:
            assert float(mesh.vertices.abs().max()) <= 0.5 * 2.5 * math.sqrt(2) + 0.05
    if flows == "base":
        return
    again = inspace.generate(view, seed=1, options=options)
    assert data_fingerprint(again) == data_fingerprint(scene)
    # With the gate, random weights keep the room's own assets.
    inspace.settings = replace(inspace.settings, refine=replace(refine, least_agreement=1.01))
    kept = inspace.generate(view, seed=1, options=options)
    assert not any(item.extras.get("refined") for item in kept.objects)


def test_presets_change_switches_and_nothing_else() -> None:
    settings = InSpaceSettings()
    assert settings.with_preset(None) is settings
    published, fixed = (settings.with_preset(name) for name in ("published", "published_fixed"))
    assert (published.coarse.inversion, published.detail.cross_attention_rows) == ("published_batch", "published")
    assert (fixed.coarse.inversion, fixed.detail.cross_attention_rows) == ("exact", "intended")
    refined = settings.with_preset("refined")
    assert refined.layout == "planes"
    assert refined.with_preset("published_fixed") == fixed
    assert replace(refined, layout="generated", refine=None) == settings
    with pytest.raises(InputError, match="published_fixed or refined, got 'best'"):
        settings.with_preset("best")
