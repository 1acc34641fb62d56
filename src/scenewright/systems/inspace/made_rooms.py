"""Training rooms of our own: a furnished room with one panorama, exact distances, boxes, and occupancy in the cube.

    compose_room -> made_room -> RoomModel (MadeRoom and the meshes of its parts)
    write_rooms: a .npz file of MadeRooms per chunk of rooms, read by read_rooms

The frame of a room is the one that `room_input` finds from its distances, as in use; walls lie along the axes, in
one of four headings. Occupancy and boxes are exact, also where the camera sees nothing.

Legend: H, W panorama size, N objects, P points of each, R coarse resolution. Frame: cube (`room_frame`).
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8, UInt16
from torch import Tensor

from scenewright.data.composition import ComposedScene
from scenewright.data.ground_truth import prepare_scene
from scenewright.data.room_shell import polygon_contains
from scenewright.data.rooms import compose_room
from scenewright.data.selection import Selector
from scenewright.data.viewpoints import level_pose
from scenewright.errors import InputError
from scenewright.geometry.mesh.area_vectors import area_vectors
from scenewright.io.archives import read_npz_arrays
from scenewright.io.atomic import atomic_path
from scenewright.systems.inspace.panorama import Panorama, PanoramaSettings, room_input
from scenewright.systems.inspace.partial_geometry import COARSE_RESOLUTION, PointFilters, occupied_cells
from scenewright.systems.options import RoomOverride
from scenewright.types import Mesh

__all__ = ["MadeRoom", "RoomModel", "made_room", "read_rooms", "write_rooms"]

PANORAMA_HEIGHT = 256
NUM_POINTS = 1024
"""Points kept of every object's surface."""
_POINTS_PER_M2 = 2500.0
# Walls have a thickness; what lies deeper than the reveal of a window is their outside.
_REVEAL_M = 0.17
CEILING_CUT_M = 0.2
_LAYOUT = ("floor", "wall", "opening")
# How far beyond the cube (in its sides) a wall still belongs to its side, and where that side is taken to be.
_BORDER = 0.004
_INNERMOST = 0.49999


@dataclass(frozen=True)
class MadeRoom:
    """One room. Occupancies are of the coarse grid: everything below the ceiling, the layout alone, what is seen."""

    rgb: UInt8[np.ndarray, "H W 3"]
    distance_mm: UInt16[np.ndarray, "H W"]
    room: Bool[np.ndarray, "R R R"]
    layout: Bool[np.ndarray, "R R R"]
    seen: Bool[np.ndarray, "R R R"]
    boxes: Float[np.ndarray, "N 7"]
    points: Float[np.ndarray, "N P 3"]
    camera: Float[np.ndarray, " 3"]
    center_m: Float[np.ndarray, " 3"]
    scale: float
    polygon_m: Float[np.ndarray, "C 2"]
    """Floor corners around the camera."""
    floor_m: float
    ceiling_m: float
    """Heights over the camera."""


@dataclass(frozen=True)
class RoomModel:
    """A made room with the meshes of its parts, where they stand in the cube."""

    room: MadeRoom
    scene: ComposedScene
    cube_from_world: Float[np.ndarray, "4 4"]

    def layout(self) -> tuple[Mesh, ...]:
        """Floor, walls, doors and windows; what lies within a voxel's width beyond the cube is brought onto its side.

        The cube ends where walls are seen, so that rounding decides on which side of its border they lie.
        """
        meshes = [self._placed(mesh) for name, mesh in self.scene.fixtures if name.startswith(_LAYOUT)]
        return tuple(replace(mesh, vertices=_onto_border(mesh.vertices)) for mesh in meshes)

    def objects(self) -> tuple[tuple[Mesh, ...], ...]:
        """Parts of every object, in the order of the room's boxes."""
        return tuple(
            tuple(self._placed(part, placed.world_from_object) for part in placed.asset.parts)
            for placed in self.scene.objects
        )

    def _placed(self, mesh: Mesh, world_from_mesh: Float[Tensor, "4 4"] | None = None) -> Mesh:
        matrix = torch.from_numpy(self.cube_from_world)
        if world_from_mesh is not None:
            matrix = matrix @ world_from_mesh.double()
        vertices = mesh.vertices.double() @ matrix[:3, :3].T + matrix[:3, 3]
        return replace(mesh, vertices=vertices.float(), vertex_normals=None)


def made_room(selector: Selector, rng: np.random.Generator, *, height: int = PANORAMA_HEIGHT) -> RoomModel | None:
    """A room with a panorama along one of its axes; None where no spot is free for the camera."""
    scene = compose_room(selector, rng, panoramas=1)
    if not scene.panorama_poses:
        return None
    cam_from_world = scene.panorama_poses[0].double().numpy()
    position = -cam_from_world[:3, :3].T @ cam_from_world[:3, 3]
    heading = int(rng.integers(4)) * math.pi / 2
    picture = prepare_scene(scene, shadow_size=256).panorama(
        level_pose(tuple(position.tolist()), heading), height, supersample=1
    )
    settings = PanoramaSettings(known=RoomOverride(heading=0.0), filters=PointFilters(), face_size=16)
    try:
        found = room_input(Panorama(picture.rgb, picture.depth_m), settings)
    except InputError:
        return None
    assert found.voxels is not None
    # The world around the camera, turned so that the panorama's centre lies along +y.
    turn = math.pi / 2 - heading
    c, s = round(math.cos(turn)), round(math.sin(turn))

    def around_camera(points: np.ndarray) -> np.ndarray:
        x, y, z = (points - position).T
        return np.column_stack([c * x - s * y, s * x + c * y, z])

    def cells(points: np.ndarray) -> np.ndarray:
        cube = found.frame.to_cube(torch.from_numpy(around_camera(points)))
        return _grid(occupied_cells(cube[(cube.abs() < 0.5).all(1)]))

    top = scene.layout["height"] - CEILING_CUT_M
    layout = _layout_points(scene, rng)
    objects = [_sampled(placed.triangles(), rng) for placed in scene.objects]
    layout_grid = cells(layout[layout[:, 2] < top])
    boxes = []
    for placed in scene.objects:
        x, y, z = placed.position
        centre = around_camera(np.array([[x, y, z + placed.size_m[2] / 2]]))
        cube = found.frame.to_cube(torch.from_numpy(centre))[0].tolist()
        yaw = (placed.yaw + turn + math.pi) % (2 * math.pi) - math.pi
        boxes.append([*cube, *(side * found.frame.scale for side in placed.size_m), yaw])
    polygon = around_camera(
        np.column_stack([scene.layout["floor_polygon_xy"], np.zeros(len(scene.layout["floor_polygon_xy"]))])
    )
    kept = [points[rng.integers(len(points), size=NUM_POINTS)] for points in objects]
    in_cube = [found.frame.to_cube(torch.from_numpy(around_camera(points))).numpy() for points in kept]
    corner = np.concatenate([np.zeros((1, 3)), np.eye(3)])
    moved = found.frame.to_cube(torch.from_numpy(around_camera(corner))).numpy()
    cube_from_world = np.eye(4)
    cube_from_world[:3, :3], cube_from_world[:3, 3] = (moved[1:] - moved[0]).T, moved[0]
    room = MadeRoom(
        rgb=picture.rgb.numpy(),
        distance_mm=(picture.depth_m * 1000).round().clamp(0, 65535).numpy().astype(np.uint16),
        room=layout_grid | cells(np.concatenate(objects)) if objects else layout_grid,
        layout=layout_grid,
        seen=_grid(found.voxels),
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 7),
        points=np.array(in_cube, dtype=np.float32).reshape(-1, NUM_POINTS, 3),
        camera=found.camera.numpy(),
        center_m=np.array(found.frame.center, dtype=np.float32),
        scale=found.frame.scale,
        polygon_m=polygon[:, :2].astype(np.float32),
        floor_m=-float(position[2]),
        ceiling_m=scene.layout["height"] - float(position[2]),
    )
    return RoomModel(room, scene, cube_from_world)


def _onto_border(vertices: Float[Tensor, "V 3"]) -> Float[Tensor, "V 3"]:
    near = (vertices.abs() > _INNERMOST) & (vertices.abs() < 0.5 + _BORDER)
    return torch.where(near, vertices.clamp(-_INNERMOST, _INNERMOST), vertices)


def _grid(cells: Tensor) -> Bool[np.ndarray, "R R R"]:
    grid = np.zeros((COARSE_RESOLUTION,) * 3, dtype=bool)
    grid[tuple(cells.long().numpy().T)] = True
    return grid


def _layout_points(scene: ComposedScene, rng: np.random.Generator) -> Float[np.ndarray, "M 3"]:
    """Points on floor, walls, doors and windows, without the outside of the walls."""
    corners = np.array(scene.layout["floor_polygon_xy"])
    clouds = []
    for name, mesh in scene.fixtures:
        if name.startswith(_LAYOUT):
            clouds.append(_sampled(_triangles(mesh), rng))
    points = np.concatenate(clouds)
    return points[_distance_outside(points[:, :2], corners) < _REVEAL_M]


def _triangles(mesh: Mesh) -> Float[np.ndarray, "T 3 3"]:
    return mesh.vertices.double().numpy()[mesh.faces.long().numpy()]


def _sampled(triangles: Float[np.ndarray, "T 3 3"], rng: np.random.Generator) -> Float[np.ndarray, "M 3"]:
    """Uniform points, so many to the square metre, and every corner."""
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    areas = np.linalg.norm(area_vectors(triangles), axis=1) / 2
    count = int(areas.sum() * _POINTS_PER_M2) + 64
    face = rng.choice(len(areas), count, p=areas / areas.sum())
    u, v = rng.uniform(size=(2, count, 1))
    flip = u + v > 1
    u, v = np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)
    return a[face] + u * (b - a)[face] + v * (c - a)[face]


def _distance_outside(points: Float[np.ndarray, "M 2"], corners: Float[np.ndarray, "C 2"]) -> Float[np.ndarray, " M"]:
    """Distance to an axis-parallel polygon, 0 inside (largest of both axes)."""
    outside = ~polygon_contains(corners, points)
    distance = np.zeros(len(points))
    rest = points[outside]
    nearest = np.full(len(rest), np.inf)
    for start, end in zip(corners, np.roll(corners, -1, 0), strict=True):
        low, high = np.minimum(start, end), np.maximum(start, end)
        away = np.maximum(np.maximum(low - rest, rest - high), 0).max(1)
        nearest = np.minimum(nearest, away)
    distance[outside] = nearest
    return distance


_PACKED = ("room", "layout", "seen")
_STACKED = ("rgb", "distance_mm", "camera", "center_m", "scale", "floor_m", "ceiling_m")
_JOINED = ("boxes", "points", "polygon_m")


def write_rooms(selector: Selector, folder: Path, *, seed: int, start: int, count: int) -> Path:
    """Rooms `start` to `start + count` of a seed as one file, which is left alone if it exists."""
    path = folder / f"rooms-{start:06d}.npz"
    if path.exists():
        return path
    rooms = []
    for number in range(start, start + count):
        model = made_room(selector, np.random.default_rng([seed, number]))
        if model is not None:
            rooms.append(model.room)
    arrays: dict[str, np.ndarray] = {}
    for name in _STACKED:
        arrays[name] = np.stack([getattr(room, name) for room in rooms])
    for name in _PACKED:
        arrays[name] = np.packbits(np.stack([getattr(room, name).ravel() for room in rooms]), axis=1)
    for name in _JOINED:
        values = [getattr(room, name) for room in rooms]
        arrays[name], arrays[f"{name}_count"] = np.concatenate(values), np.array([len(value) for value in values])
    arrays["points"] = arrays["points"].astype(np.float16)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return path


def read_rooms(path: Path) -> list[MadeRoom]:
    """The rooms of one file."""
    arrays = read_npz_arrays(path)
    columns: dict[str, Any] = {name: arrays[name] for name in _STACKED}
    side = (COARSE_RESOLUTION,) * 3
    for name in _PACKED:
        columns[name] = [bits.reshape(side).astype(bool) for bits in np.unpackbits(arrays[name], axis=1)]
    for name in _JOINED:
        columns[name] = np.split(arrays[name].astype(np.float32), np.cumsum(arrays[f"{name}_count"])[:-1])
    count = len(arrays["scale"])
    return [MadeRoom(**{name: column[k] for name, column in columns.items()}) for k in range(count)]
