"""Mini's rooms: boxes from distances, what is seen and hidden of an object, and a whole room end to end."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.errors import InputError
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.io.data_file import data_fingerprint
from scenewright.metrics.box_detection import box_iou
from scenewright.progress import Advance, ignore
from scenewright.systems.costs import stage_seconds
from scenewright.systems.inspace import stage_pictures
from scenewright.systems.inspace.panorama import Panorama, room_input
from scenewright.systems.inspace.room_frame import RoomFrame, depth_rays
from scenewright.systems.inspace.stage_files import StageFiles
from scenewright.systems.mini import panorama_furniture
from scenewright.systems.mini.panorama_boxes import pieces
from scenewright.systems.mini.panorama_cells import distance_of_cells, fine_cells
from scenewright.systems.mini.panorama_details import MiniPartDecoder, guessed_parts
from scenewright.systems.mini.panorama_furniture import FurnitureSettings
from scenewright.systems.mini.panorama_objects import object_crop, shape_of
from scenewright.systems.mini.panorama_system import MiniInSpace, MiniRoomSettings, mini_rooms
from scenewright.systems.options import GenerateOptions, RoomOverride
from scenewright.types import PanoramaCamera, View
from tests.support.write_steps import killed_after_every_result

# A room of 4 x 3 x 2.5 m around a camera 1.5 m high, with a cabinet at the far wall and a cube that stands free.
LOW, HIGH = np.array([-2.0, -1.5, -1.5]), np.array([2.0, 1.5, 1.0])
POLYGON = np.array([[-2.0, -1.5], [2.0, -1.5], [2.0, 1.5], [-2.0, 1.5]])
BOXES = np.array([[0.0, 1.25, -1.0, 1.2, 0.5, 1.0, 0.0], [-1.2, -0.6, -1.2, 0.6, 0.6, 0.6, 0.0]])


def room_panorama(height: int = 128) -> Panorama:
    """Exact distances, walls grey, the cabinet red, the cube green."""
    rays = depth_rays(height, 2 * height).numpy()
    rays = np.where(rays == 0, 1e-12, rays)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(rays > 0, HIGH / rays, LOW / rays).min(-1)
        color = np.full((*distance.shape, 3), 150, dtype=np.uint8)
        for box, paint in zip(BOXES, ((190, 40, 40), (40, 170, 60)), strict=True):
            low, high = box[:3] - box[3:6] / 2, box[:3] + box[3:6] / 2
            near, far = np.minimum(low / rays, high / rays).max(-1), np.maximum(low / rays, high / rays).min(-1)
            hit = (near < far) & (near > 0) & (near < distance)
            distance = np.where(hit, near, distance)
            color[hit] = paint
    return Panorama(torch.from_numpy(color), torch.from_numpy(distance).float())


def view_of(panorama: Panorama) -> View:
    height, width = panorama.rgb.shape[:2]
    image = Image.fromarray(panorama.rgb.numpy())
    return View(image, camera=PanoramaCamera(torch.eye(4), width, height), depth_m=panorama.distance_m)


def test_boxes_are_found_and_reach_floor_and_wall() -> None:
    distance = room_panorama().distance_m
    assert distance is not None
    found = pieces(distance, -1.5, 1.0, POLYGON)
    assert len(found.boxes) == 2
    iou = box_iou(found.boxes.numpy(), BOXES)
    assert iou.max(0).min() > 0.75
    assert found.scores[0] == 1


def test_an_empty_room_has_no_boxes() -> None:
    rays = depth_rays(64, 128).numpy()
    rays = np.where(rays == 0, 1e-12, rays)
    empty = np.where(rays > 0, HIGH / rays, LOW / rays).min(-1)
    assert len(pieces(torch.from_numpy(empty).float(), -1.5, 1.0, POLYGON).boxes) == 0


def test_what_is_seen_is_the_near_side_and_what_is_hidden_lies_behind_it() -> None:
    panorama = room_panorama()
    crop = object_crop(panorama, torch.from_numpy(BOXES[0]).float(), -1.5)
    near, behind = crop.seen.nonzero().float()[:, 1].mean(), crop.hidden.nonzero().float()[:, 1].mean()
    assert near < behind  # +y of the object's cube points away from the camera
    assert not bool((crop.seen & crop.hidden).any())
    red, green, _, alpha = (crop.picture * crop.picture[3]).flatten(1).sum(1) / crop.picture[3].sum()
    assert float(red) > 3 * float(green)
    assert float(alpha) > 0.9
    full = shape_of(crop, None, 0.5)
    assert int(full.sum()) == int(crop.seen.sum() + crop.hidden.sum())
    assert torch.equal(shape_of(crop, torch.zeros(32, 32, 32), 0.5), crop.seen)


def test_distances_of_cells_end_at_the_first_one() -> None:
    frame = RoomFrame((0.0, 0.0, 0.0), 1 / 4.0)
    cells = torch.cartesian_prod(torch.arange(32), torch.tensor([24, 28]), torch.arange(32))
    distance = distance_of_cells(cells, frame, 32)
    ahead = float(distance[16, 32])
    assert ahead == pytest.approx(1.0, abs=0.05)  # cell 24 begins at (24 / 32 - 1 / 2) 4 m
    assert float(distance[16, 0]) == 0  # nothing behind


@pytest.fixture(scope="module")
def quick() -> MiniInSpace:
    """One step of every flow, coarse meshes."""
    settings = MiniRoomSettings(furniture=FurnitureSettings(samples=1))
    one = replace(settings.coarse.sampler, steps=1)
    detail = replace(settings.detail, sampler=replace(settings.detail.sampler, steps=1), texture_sampler=one)
    finish = FinishOptions(max_faces=500, texture_size=32)
    coarse = replace(settings.coarse, sampler=one)
    return mini_rooms(settings=replace(settings, coarse=coarse, detail=detail, finish=finish))


def keeping(system: MiniInSpace, work: Path) -> MiniInSpace:
    """The same networks with a folder of their own for results."""
    stages = StageFiles(work)
    return MiniInSpace(system.rooms, system.objects, system.decoder, system.details, system.settings, stages=stages)


def test_a_room_with_distances_comes_out_furnished_and_one_without_is_a_cuboid(
    quick: MiniInSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_mesh_pictures(monkeypatch)
    scene = quick.scene_of(room_panorama())
    kept = keeping(quick, tmp_path)
    assert killed_after_every_result(tmp_path, lambda: kept.scene_of(room_panorama())) == 5
    assert data_fingerprint(kept.scene_of(room_panorama())) == data_fingerprint(scene)
    furniture = [item for item in scene.objects if item.role == "furniture"]
    assert scene.is_metric
    assert len(furniture) == 2
    assert scene.room is not None
    assert scene.room.height == pytest.approx(2.5, abs=0.03)
    width, depth = (scene.room.floor_polygon.amax(0) - scene.room.floor_polygon.amin(0)).tolist()
    assert (width, depth) == (pytest.approx(4.0, abs=0.1), pytest.approx(3.0, abs=0.1))
    for item in furniture:
        low, high = item.world_bounds()
        assert item.box is not None
        assert float((high - low).max()) < 1.3 * max(item.box.size)
        assert math.isfinite(float(low.sum()))
    assumed = quick.scene_of(Panorama(room_panorama().rgb))
    assert not assumed.is_metric
    assert "no distances" in assumed.notes[0]
    assert assumed.room is not None
    size = assumed.room.floor_polygon.amax(0) - assumed.room.floor_polygon.amin(0)
    assert size.tolist() == pytest.approx(list(quick.settings.assumed_m[:2]), abs=0.1)
    assert set(assumed.provenance["room"]["origins"].values()) == {"assumed"}
    known = RoomOverride(floor_m=1.2, extent_m=(3.0, 1.5, 2.0, 4.0))
    told = quick.generate(View(view_of(room_panorama()).image), options=GenerateOptions(room=known))
    assert told.room is not None
    size = told.room.floor_polygon.amax(0) - told.room.floor_polygon.amin(0)
    assert size.tolist() == pytest.approx([5.0, 5.5], abs=0.1)
    assert told.provenance["room"]["camera_height_m"] == pytest.approx(1.2, abs=0.01)
    given = {name for name, origin in told.provenance["room"]["origins"].items() if origin == "given"}
    assert given == {"camera_height", "extent"}


def without_mesh_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of meshes take longer than the meshes."""
    monkeypatch.setattr(stage_pictures, "mesh_picture", lambda _: Image.new("RGB", (8, 8)))
    monkeypatch.setattr(panorama_furniture, "_mesh_picture", lambda _: Image.new("RGB", (8, 8)))


class Stages:
    """A `Progress` that keeps the stages' names."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def stage(self, name: str) -> Advance:
        self.names.append(name)
        return ignore


def expected_stages(preset: str) -> list[str]:
    """Those whose seconds are told before a run, but for loading and drawing."""
    return [name for name in stage_seconds("inspace", "mini", preset=preset) if name not in ("load", "draw")]


def test_the_published_way_generates_layout_and_assets_and_goes_on_where_it_stopped(
    quick: MiniInSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_mesh_pictures(monkeypatch)
    system = keeping(quick, tmp_path)
    view, told, published = view_of(room_panorama()), Stages(), GenerateOptions(preset="published")
    scene = system.generate(view, options=published, progress=told)
    assert told.names == expected_stages("published")
    killed = tmp_path / "killed"
    again = keeping(quick, killed)
    results = [path.name for path in tmp_path.iterdir() if path.suffix != ".png"]
    assert killed_after_every_result(killed, lambda: again.generate(view, options=published)) == len(results)
    assert data_fingerprint(again.generate(view, options=published)) == data_fingerprint(scene)
    assert all((killed / name).read_bytes() == (tmp_path / name).read_bytes() for name in results)
    assert {"floor", "walls", "ceiling"} <= {item.name for item in scene.objects}
    furniture = [item for item in scene.objects if item.role == "furniture"]
    assert len(furniture) == 2
    for item in furniture:
        low, high = item.world_bounds()
        assert item.box is not None
        assert float((high - low).max()) < 1.4 * max(item.box.size)
        assert float(((low + high) / 2 - torch.tensor(item.box.centre)).norm()) < 0.3
        assert item.extras["refined"] is False
    names = {"coarse", "shape", "texture", "asset_000", "asset_001", "layout"}
    written = {name: (tmp_path / f"{name}.safetensors").stat().st_mtime_ns for name in names}
    told.names = ["encode", "structure", "boxes"]  # whose files are there
    refined = system.generate(view, options=GenerateOptions(preset="refined"), progress=told)
    # The room's latents are there, too; whatever is made again counts as finishing.
    made = [name for name in told.names if not name.startswith("refine: ")]
    assert [*made[:-1], "shape", "texture", "finish", "decode"] == expected_stages("refined")
    assert told.names[-2] == "refine: finish"
    assert (tmp_path / "refined.safetensors").is_file()
    assert {name: (tmp_path / f"{name}.safetensors").stat().st_mtime_ns for name in names} == written
    assert any(item.extras["refined"] for item in refined.objects if item.role == "furniture")
    walls = [item for item in refined.objects if item.name == "walls"]
    assert all(len(part.faces) < 100 for item in walls for part in item.parts)
    with pytest.raises(InputError, match="preset published, published_fixed or refined, got 'best'"):
        system.generate(view, options=GenerateOptions(preset="best"))


def test_parts_start_from_the_surfaces_of_their_cells(quick: MiniInSpace) -> None:
    box = torch.tensor([[0.2, 0.1, -0.2, 0.2, 0.3, 0.25, 0.0]])
    axis = torch.arange(64)
    grid = torch.zeros(64, 64, 64, dtype=torch.bool)
    grid[:, :, 11] = True  # the floor
    points = (torch.cartesian_prod(axis, axis, axis) + 0.5) / 64 - 0.5
    inside = ((points - box[0, :3]).abs() <= box[0, 3:6] / 2).all(1).view(64, 64, 64)
    grid |= inside
    occupied = grid.nonzero().int()
    networks = quick.decoder.networks
    guess = guessed_parts(networks, occupied, box)
    assert [part.kind for part in guess.parts.parts] == ["room", "layout", "asset"]
    assert not len(guess.parts.parts[0].coords)
    assert len(guess.latent) == len(guess.parts.coords)
    assert int(guess.assets[0].cells[:, 2].min()) == 12
    low, high = guess.assets[0].surface.vertices.amin(0), guess.assets[0].surface.vertices.amax(0)
    assert (low + high).mul(0.5).tolist() == pytest.approx(box[0, :3].tolist(), abs=0.03)
    # What the autoencoder makes of a start that nothing was added to is that surface.
    decoder = MiniPartDecoder(networks, {})
    part, latent = guess.parts.parts[2], guess.parts.split(guess.latent)[2]
    drawn = decoder.draw(part, latent, torch.zeros_like(latent))
    assert drawn is not None
    bounds = drawn.surface.vertices[drawn.surface.faces.long()].flatten(0, 1)
    assert bounds.amin(0).tolist() == pytest.approx(low.tolist(), abs=2 / 256)
    assert bounds.amax(0).tolist() == pytest.approx(high.tolist(), abs=2 / 256)


def test_the_published_grid_is_as_fine_as_what_is_seen() -> None:
    room = room_input(room_panorama(), MiniRoomSettings().panorama)
    assert room.voxels is not None
    seen = (room.voxels // 2).unique(dim=0)
    hidden = torch.tensor([[31, 0, 31]], dtype=torch.int32)
    fine = fine_cells(room, torch.cat([seen, hidden]))
    assert len(fine) == len(room.voxels) + 8
    assert torch.equal((fine // 2).unique(dim=0), torch.cat([seen, hidden]).unique(dim=0))
