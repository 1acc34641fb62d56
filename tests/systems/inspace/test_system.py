"""From a panorama to a scene with tiny random networks: every stage, kept, edited and continued."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from scenewright.backbones.trellis2.pretrained import trellis2_networks
from scenewright.encoders.weights import load_named_dinov3
from scenewright.errors import InputError
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.io.data_file import data_fingerprint
from scenewright.io.depth_file import load_depth, save_depth
from scenewright.systems.inspace.box_decoding import BoxDecoding
from scenewright.systems.inspace.composition import without_assets
from scenewright.systems.inspace.floor_plan import evened, outline, plane_meshes, seen_polygon, snapped_to_walls
from scenewright.systems.inspace.panorama import Panorama, PanoramaSettings, rolled, room_input, wall_heading
from scenewright.systems.inspace.pretrained import InSpaceWeights, read_sizes
from scenewright.systems.inspace.stage_files import StageFiles
from scenewright.systems.inspace.system import InSpace, InSpaceSettings
from scenewright.systems.options import RoomOverride
from scenewright.types import Camera, Mesh, View
from scenewright.weights.source import WeightsSource
from tests.systems.inspace.test_panorama_geometry import room_depth
from tests.tiny_inspace import write_tiny_base, write_tiny_inspace

LOW, HIGH = np.array([-1.5, -2.0]), np.array([2.5, 3.0])


def quick_settings() -> InSpaceSettings:
    settings = InSpaceSettings(
        panorama=PanoramaSettings(face_size=64),
        boxes=BoxDecoding(score=0.0, max_boxes=2),
        layout="planes",
        finish=FinishOptions(max_faces=300, texture_size=32),
    )
    return replace(
        settings,
        coarse=replace(settings.coarse, sampler=replace(settings.coarse.sampler, steps=2)),
        detail=replace(settings.detail, sampler=replace(settings.detail.sampler, steps=1)),
    )


@pytest.fixture(scope="module")
def view() -> View:
    depth = room_depth(32)
    shade = (255 * depth / depth.max()).byte().numpy()
    picture = Image.fromarray(np.stack([shade, shade[::-1], 255 - shade], -1))
    return View(picture, name="room.png", depth_m=depth.float())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("weights")
    write_tiny_inspace(root / "inspace")
    write_tiny_base(root / "base")
    return root


def system(folder: Path, stages: Path | None = None) -> InSpace:
    base = trellis2_networks(WeightsSource(folder / "base"))
    weights = InSpaceWeights(str(folder / "inspace"), read_sizes(folder / "inspace"))
    return InSpace(
        weights,
        base,
        load_named_dinov3(base.image_encoder, base.source)[0],
        quick_settings(),
        stages=StageFiles(stages),
    )


def test_a_panorama_becomes_a_room_and_edited_boxes_are_taken_up(folder: Path, view: View, tmp_path: Path) -> None:
    kept = tmp_path / "stages"
    scene = system(folder, kept).generate(view, seed=1)
    assert scene.is_metric
    assert scene.room is not None
    assert scene.room.height == pytest.approx(2.6, abs=0.03)
    assert {item.role for item in scene.objects} <= {"furniture", "shell"}
    assert "ceiling" in {item.name for item in scene.objects}
    again = system(folder, kept).generate(view, seed=1)
    assert data_fingerprint(again) == data_fingerprint(scene)

    written = {path.name: path.stat().st_mtime_ns for path in kept.iterdir()}
    boxes = json.loads((kept / "boxes.json").read_text())
    boxes["boxes"] = boxes["boxes"][:1]
    (kept / "boxes.json").write_text(json.dumps(boxes))
    fewer = system(folder, kept).generate(view, seed=1)
    assert sum(item.role == "furniture" for item in fewer.objects) <= 1
    after = {path.name: path.stat().st_mtime_ns for path in kept.iterdir()}
    assert written["coarse.safetensors"] == after["coarse.safetensors"]
    assert written["shape.safetensors"] != after["shape.safetensors"]
    boxes["boxes"][0]["size"] = [0.1, -0.1, 0.1]
    (kept / "boxes.json").write_text(json.dumps(boxes))
    with pytest.raises(InputError, match="not positive"):
        system(folder, kept).generate(view, seed=1)


def test_views_that_are_no_panorama_are_refused(folder: Path, view: View) -> None:
    inspace = system(folder)
    with pytest.raises(InputError, match="one panorama, but got 2"):
        inspace.generate([view, view])
    with pytest.raises(InputError, match="2:1"):
        inspace.generate(View(view.image.resize((60, 40))))
    with pytest.raises(InputError, match="perspective"):
        inspace.generate(View(view.image, camera=Camera(torch.eye(3), torch.eye(4), *view.image.size)))
    assert set(inspace.weights_sha256()) >= {"inspace/box_network", "base/tex_slat_decoder"}


def test_a_turned_panorama_is_turned_back(view: View) -> None:
    rgb = torch.from_numpy(np.array(view.image))
    turned = rolled(Panorama(rgb, room_depth(64)), math.radians(20))
    assert turned.distance_m is not None
    assert wall_heading(turned.distance_m) == pytest.approx(-math.radians(20), abs=0.05)
    room = room_input(turned, PanoramaSettings(face_size=32))
    assert room.camera_height_m == pytest.approx(1.2, abs=0.03)
    assert room.ceiling_m == pytest.approx(2.6, abs=0.05)
    assert room.voxels is not None
    taller = room_input(turned, PanoramaSettings(face_size=32, known=RoomOverride(camera_height_m=2.4)))
    assert taller.ceiling_m == pytest.approx(5.2, abs=0.1)
    without = room_input(Panorama(rgb), PanoramaSettings(face_size=32))
    assert without.voxels is None
    assert "no distances" in without.notes[-1]
    assert float(without.frame.to_world(torch.tensor([0, 0, -0.5]))[2]) == pytest.approx(-1.5)


def test_odd_panoramas_are_noted() -> None:
    rgb = torch.full((64, 128, 3), 90, dtype=torch.uint8)
    rgb[:, :64] = 200
    rgb[:8] = 0
    notes = " ".join(room_input(Panorama(rgb), PanoramaSettings(face_size=16)).notes)
    assert "edge of the panorama do not match" in notes
    assert "top of the panorama is black" in notes


def test_outline_of_cells_is_counter_clockwise_and_snaps_to_walls() -> None:
    cells = np.zeros((8, 8), dtype=bool)
    cells[1:6, 1:4] = True
    cells[1:3, 1:7] = True
    cells[2, 2] = False  # a hole in the floor
    corners = outline(cells)
    assert len(corners) == 6
    x, y = corners.T
    assert (x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2 == pytest.approx(21)
    walls = np.random.default_rng(0).uniform(1, 6, (400, 2))
    walls[:, 0] = 1.1
    assert snapped_to_walls(corners, walls, 0.5)[:, 0].min() == pytest.approx(1.1)
    assert len(outline(np.zeros((4, 4), dtype=bool))) == 0


def test_small_steps_of_an_outline_are_evened_out() -> None:
    steps = np.array([[0, 0], [2, 0], [2, 0.1], [4, 0.1], [4, 3], [1, 3], [1, 3.1], [0, 3.1]])
    even = evened(steps, 0.25)
    assert len(even) == 4
    assert even[:, 0].tolist() == [0, 4, 4, 0]
    assert even[:, 1].min() == pytest.approx(0.05)
    assert np.array_equal(evened(np.array([[0.0, 0], [1, 0], [1, 0.1], [0, 0.1]]), 0.25)[:, 1], [0, 0, 0.1, 0.1])


def test_the_polygon_of_walls_all_around_and_of_cells_around_a_corner() -> None:
    azimuth = np.linspace(-np.pi, np.pi, 2000, endpoint=False) + 1e-3
    ray = np.stack([np.cos(azimuth), np.sin(azimuth)], 1)
    with np.errstate(divide="ignore"):
        reach = np.where(ray > 0, HIGH / ray, LOW / ray).min(1)
    walls = ray * reach[:, None]
    polygon = seen_polygon(walls, np.zeros((0, 2)), 0.2)
    assert len(polygon) == 4
    assert np.abs(polygon.min(0) - LOW).max() < 0.06
    assert np.abs(polygon.max(0) - HIGH).max() < 0.06
    hidden = np.stack(np.meshgrid(np.arange(2.6, 4, 0.2), np.arange(0, 1.2, 0.2)), -1).reshape(-1, 2)
    assert len(seen_polygon(walls, hidden, 0.2)) == 8


def test_planes_face_inwards_and_take_the_panorama_s_colours() -> None:
    corners = np.array([[-1.5, -2.0], [2.5, -2.0], [2.5, 3.0], [-1.5, 3.0]])
    depth = room_depth(128)
    rgb = torch.zeros(128, 256, 3, dtype=torch.uint8)
    rgb[:56, :, 0] = 250  # red above, blue below
    rgb[88:, :, 2] = 250
    parts = dict(plane_meshes(corners, -1.2, 1.4, Panorama(rgb, depth), texels_per_m=8))
    assert set(parts) == {"floor", "ceiling", "wall_0", "wall_1", "wall_2", "wall_3"}
    for mesh in parts.values():
        a, b, c = mesh.vertices[mesh.faces.long()].unbind(1)
        normals = torch.linalg.cross(b - a, c - a)
        inwards = torch.tensor([0.5, 0.5, 0.0]) - a
        assert bool(((normals * inwards).sum(1) > 0).all())
    ceiling = parts["ceiling"].material
    assert ceiling is not None
    assert ceiling.base_color_texture is not None
    assert float(ceiling.base_color_texture[..., 0].float().mean()) > 200


def test_the_layout_gives_up_what_an_asset_holds() -> None:
    grid = torch.cartesian_prod(torch.linspace(-0.4, 0.4, 9), torch.linspace(-0.4, 0.4, 9))
    vertices = torch.cat([torch.nn.functional.pad(grid, (0, 1)), torch.rand(3, 3) * 0.01 + 0.45])
    faces = torch.tensor([[i, i + 1, i + 9] for i in range(60)] + [[81, 82, 83]])
    asset = Mesh(torch.tensor([[0.0, 0, 0.01], [0.1, 0, 0.01], [0, 0.1, 0.01]]), torch.tensor([[0, 1, 2]]))
    box = torch.tensor([[0.0, 0.0, 0.0, 0.3, 0.3, 0.1, 0.3]])
    keep = without_assets(Mesh(vertices, faces), [asset], box, 0.1)
    assert 0 < int((~keep).sum()) < 12
    assert bool(keep[-1])


def test_depth_files_there_and_back(tmp_path: Path) -> None:
    depth: Tensor = room_depth(16).float()
    assert torch.equal(load_depth(save_depth(depth, tmp_path / "d.npy")), depth)
    assert (load_depth(save_depth(depth, tmp_path / "d.png")) - depth).abs().max() < 6e-4
    with pytest.raises(InputError, match=r"\.npy"):
        load_depth(tmp_path / "d.tga")
    with pytest.raises(InputError, match="no depth"):
        load_depth(save_depth(torch.zeros(4, 8), tmp_path / "zero.npy"))
    np.save(tmp_path / "many.npy", np.ones((4, 8, 3)))
    with pytest.raises(InputError, match="one depth per pixel"):
        load_depth(tmp_path / "many.npy")
