"""Mini's rooms: boxes from distances, what is seen and hidden of an object, and a whole room end to end."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from scenewright.metrics.box_detection import box_iou
from scenewright.systems.inspace.panorama import Panorama
from scenewright.systems.inspace.room_frame import RoomFrame, depth_rays
from scenewright.systems.mini.panorama_boxes import pieces
from scenewright.systems.mini.panorama_objects import object_crop, shape_of
from scenewright.systems.mini.panorama_system import MiniRoomSettings, distance_of_cells, mini_rooms

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


def test_a_room_with_distances_comes_out_furnished_and_one_without_is_a_cuboid() -> None:
    settings = MiniRoomSettings(samples=1)
    settings = replace(settings, coarse=replace(settings.coarse, sampler=replace(settings.coarse.sampler, steps=1)))
    system = mini_rooms(settings=settings)
    scene = system.scene_of(room_panorama())
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
    assumed = system.scene_of(Panorama(room_panorama().rgb))
    assert not assumed.is_metric
    assert "no distances" in assumed.notes[0]
    assert assumed.room is not None
    size = assumed.room.floor_polygon.amax(0) - assumed.room.floor_polygon.amin(0)
    assert size.tolist() == pytest.approx(list(settings.assumed_m[:2]), abs=0.1)
