"""Training examples of mini's room network: made rooms as captures, and how far every cell is from their surface.

    made_room -> room_evidence_of, signed_distance -> write_room; FOLDER/room-00000.npz, one room each

Points are made as structure from motion would leave them: on surfaces that several pictures show, with noise, in
numbers and places that vary from room to room. The world is turned at random about the vertical for half of the rooms.

Legend: N views, P points, X/Y/Z cells. Frame: world, z up, metres, floor at z = 0.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8, UInt8
from PIL import Image
from scipy import ndimage
from torch import Tensor

from scenewright.data.composition import ComposedScene
from scenewright.data.ground_truth import prepare_scene
from scenewright.data.room_shell import polygon_contains
from scenewright.data.rooms import compose_room
from scenewright.data.selection import Selector
from scenewright.errors import InputError
from scenewright.geometry.mesh.sample import sample_surface, triangle_areas
from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.io.atomic import atomic_path
from scenewright.systems.genrecon.points import point_extent
from scenewright.systems.genrecon.seen_points import SeenPoints, oriented_normals
from scenewright.systems.genrecon.tiling import CHUNK_SIZE_FACTOR
from scenewright.systems.mini.conditioner import PictureConditioner
from scenewright.systems.mini.room_evidence import (
    PICTURE_SIZE,
    Evidence,
    RoomGrid,
    RoomViews,
    encoded_views,
    room_evidence,
)
from scenewright.systems.mini.room_network import CHUNK_CELLS, FAR_CELLS, THIN_CELLS
from scenewright.types import Mesh

__all__ = [
    "MadeRoom",
    "furnished_room",
    "made_points",
    "made_room",
    "room_evidence_of",
    "room_grid",
    "signed_distance",
    "write_room",
]

_SIDE_CELLS = 10
_TRACK_LENGTH = 3
_SCALE = 127


@dataclass(frozen=True)
class MadeRoom:
    """A made room as a capture, with its surface and its floor plan (counter-clockwise)."""

    pictures: tuple[Image.Image, ...]
    cam_from_world: Float[Tensor, "N 4 4"]
    intrinsics_unit: Float[Tensor, "N 3 3"]
    points: SeenPoints
    surface: Mesh
    corners: Float[np.ndarray, "C 2"]
    height: float


def made_room(selector: Selector, rng: np.random.Generator, *, width: int = PICTURE_SIZE[0]) -> MadeRoom:
    """A furnished room with 16 to 30 pictures of a walk.

    Args:
        width: of the pictures, which are 4:3.

    Raises:
        InputError: twenty rooms had hardly any visible surface.
    """
    for _ in range(20):
        room = _captured(furnished_room(selector, rng, width=width), rng)
        if room is not None:
            return room
    raise InputError("No room could be made; the packs hold too little furniture.")


def furnished_room(selector: Selector, rng: np.random.Generator, *, width: int = PICTURE_SIZE[0]) -> ComposedScene:
    """A room with at least three objects and 16 to 30 cameras of a walk, whose pictures are 4:3.

    Raises:
        InputError: twenty rooms had too few objects, or no free spot for a camera.
    """
    for _ in range(20):
        views = int(rng.integers(16, 31))
        scene = compose_room(selector, rng, views=views, walk=True, size=round(width * 3 / 4))
        if len(scene.cameras) == views and len(scene.objects) >= 3:
            return scene
    raise InputError("No room could be made; the packs hold too little furniture.")


def _captured(scene: ComposedScene, rng: np.random.Generator) -> MadeRoom | None:
    prepared = prepare_scene(scene, shadow_size=256)
    shots = prepared.pictures(scene.cameras, supersample=1)
    poses = torch.stack([camera.cam_from_world.double() for camera in scene.cameras])
    camera = scene.cameras[0]
    unit = camera.intrinsics_px.double() / torch.tensor([[camera.width], [camera.height], [1.0]], dtype=torch.float64)
    depth = np.stack([shot.depth_m.numpy() for shot in shots])
    colors = np.stack([shot.rgb.numpy() for shot in shots])
    positions, seen = made_points(depth, colors, poses.numpy(), unit.numpy(), rng)
    if len(positions) < 500:
        return None
    turn = np.eye(4)
    if rng.uniform() < 0.5:
        angle = rng.uniform(-math.pi, math.pi)
        turn[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    poses = poses @ torch.from_numpy(turn).T
    positions = positions @ turn[:3, :3].T
    eyes = -(poses[:, :3, :3].mT @ poses[:, :3, 3:])[..., 0].numpy()
    vertices, faces, start = [], [], 0
    for part in (mesh for item in scene.scene().objects for mesh in item.placed_parts()):
        vertices.append(part.vertices.double() @ torch.from_numpy(turn[:3, :3]).T)
        faces.append(part.faces.long() + start)
        start += len(part.vertices)
    return MadeRoom(
        tuple(Image.fromarray(color) for color in colors),
        poses,
        unit.expand(len(poses), 3, 3),
        SeenPoints(positions, oriented_normals(positions, seen, eyes), seen),
        Mesh(torch.cat(vertices).float(), torch.cat(faces).int()),
        np.array(scene.layout["floor_polygon_xy"]) @ turn[:2, :2].T,
        float(scene.layout["height"]),
    )


def made_points(
    depth: Float[np.ndarray, "N h w"],
    colors: UInt8[np.ndarray, "N h w 3"],
    poses: Float[np.ndarray, "N 4 4"],
    unit: Float[np.ndarray, "3 3"],
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "P 3"], np.ndarray]:
    """Noisy points on visible surfaces with the views that saw them."""
    views, height, width = depth.shape
    wanted = int(np.exp(rng.uniform(np.log(2500), np.log(9000))))
    # By area, as a dense survey has them, or mostly where pictures have texture, as photographs do.
    weight = np.where(depth > 0, depth.astype(np.float64) ** 2, 0)
    if rng.uniform() < 0.35:
        grey = colors.astype(np.float32).mean(-1)
        edges = np.hypot(*(ndimage.sobel(grey, axis) for axis in (1, 2)))
        weight *= edges + float(rng.uniform(1, 20))
    chosen = rng.choice(weight.size, size=int(1.4 * wanted), p=weight.ravel() / weight.sum())
    view, row, column = np.unravel_index(chosen, depth.shape)
    z = depth[view, row, column].astype(np.float64)
    place = np.stack([(column + 0.5) / width, (row + 0.5) / height, np.ones(len(z))], 1)
    camera = place @ np.linalg.inv(unit).T * z[:, None]
    world_from_cam = np.linalg.inv(poses)
    world = np.einsum("pij,pj->pi", world_from_cam[view, :3, :3], camera) + world_from_cam[view, :3, 3]
    pairs = []
    for index in range(views):
        own = world @ poses[index, :3, :3].T + poses[index, :3, 3]
        image = own / np.maximum(own[:, 2:], 1e-6) @ unit.T
        u, v = (image[:, 0] * width).astype(int), (image[:, 1] * height).astype(int)
        inside = (own[:, 2] > 0.1) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
        hit = depth[index, v.clip(0, height - 1), u.clip(0, width - 1)]
        # Matching misses some of the views in which a point is to be seen.
        seen = inside & (np.abs(own[:, 2] - hit) < 0.03 * own[:, 2] + 0.01) & (rng.random(len(own)) < 0.85)
        rows = np.flatnonzero(seen)
        pairs.append(np.stack([np.full(len(rows), index), rows], 1))
    joined = np.concatenate(pairs)
    tracks = np.bincount(joined[:, 1], minlength=len(world))
    kept = np.flatnonzero(tracks >= _TRACK_LENGTH)[:wanted]
    new_row = np.full(len(world), -1)
    new_row[kept] = np.arange(len(kept))
    joined = joined[new_row[joined[:, 1]] >= 0]
    noise = float(rng.uniform(0.004, 0.018))
    positions = world[kept] + rng.normal(0, noise, (len(kept), 3))
    strays = rng.random(len(kept)) < rng.uniform(0, 0.01)
    positions[strays] += rng.normal(0, 0.3, (int(strays.sum()), 3))
    return positions, np.stack([joined[:, 0], new_row[joined[:, 1]]], 1)


def room_grid(positions: Float[np.ndarray, "P 3"], size_factor: float = CHUNK_SIZE_FACTOR, below: int = 4) -> RoomGrid:
    """The grid over all points, of cells that are a 64th of a chunk's side.

    Args:
        below: cells below the floor; there are as many more above a chunk.
    """
    extent = point_extent(positions)
    cell = size_factor * extent.height / CHUNK_CELLS
    low = np.array([extent.x_min, extent.y_min, extent.z_floor]) - np.array([_SIDE_CELLS, _SIDE_CELLS, below]) * cell
    counts = [
        2 * math.ceil(((end - start) / cell + 2 * _SIDE_CELLS) / 2)
        for start, end in ((extent.x_min, extent.x_max), (extent.y_min, extent.y_max))
    ]
    shape = (max(counts[0], CHUNK_CELLS), max(counts[1], CHUNK_CELLS), CHUNK_CELLS + 4)
    x, y, z = low.tolist()
    return RoomGrid((x, y, z), cell, shape, extent.z_floor)


def room_evidence_of(room: MadeRoom, grid: RoomGrid, conditioner: PictureConditioner) -> Evidence:
    """What the room's points and pictures say."""
    views: RoomViews = encoded_views(conditioner, room.pictures, room.cam_from_world, room.intrinsics_unit)
    return room_evidence(grid, room.points, views)


def signed_distance(room: MadeRoom, grid: RoomGrid) -> Float[np.ndarray, "X Y Z"]:
    """Distance to the surface in cells, positive in the free space round the cameras, less `THIN_CELLS`.

    What no path through free cells reaches from the cameras is solid: the inside of furniture, and all outside the
    room.
    """
    far = FAR_CELLS + 1
    centres = grid.centres()
    near = _near_surface(room.surface, grid, far)
    rows = torch.from_numpy(np.flatnonzero(near))
    tree = TriangleTree(room.surface)
    hits = tree.query(centres[rows])
    distance = torch.full((len(centres),), far)
    distance[rows] = (hits.distance / grid.cell).clamp(max=far)
    barrier = (distance <= 0.5).numpy().reshape(grid.shape)
    heights = centres[:, 2].numpy().reshape(grid.shape)
    flat = centres.view(*grid.shape, 3)[:, :, 0, :2].reshape(-1, 2).double().numpy()
    in_plan = polygon_contains(room.corners, flat).reshape(grid.shape[:2])
    in_room = in_plan[:, :, None] & (heights > 0) & (heights < room.height)
    regions, _ = ndimage.label(in_room & ~barrier)
    eyes = -(room.cam_from_world[:, :3, :3].mT @ room.cam_from_world[:, :3, 3:])[..., 0].numpy()
    cell, _ = grid.cells_of(eyes)
    reached = np.setdiff1d(np.unique(regions.ravel()[cell]), [0])
    free = np.isin(regions, reached)
    is_free = torch.from_numpy(free.ravel().copy())
    # A cell that the surface touches is on the side that its centre is on: the one a cell further off is on.
    touched = rows[(distance[rows] <= 0.5)]
    away = centres[rows] - hits.points
    away = away / away.norm(dim=1, keepdim=True).clamp(min=1e-9)
    beside = (centres[rows] + grid.cell * away)[distance[rows] <= 0.5]
    side = ((beside - torch.tensor(grid.low)) / grid.cell).floor().long()
    x, y, z = (side[:, axis].clamp(0, grid.shape[axis] - 1) for axis in range(3))
    is_free[touched] = torch.from_numpy(free)[x, y, z]
    signed = torch.where(is_free, distance, -distance) - THIN_CELLS
    return signed.clamp(-FAR_CELLS, FAR_CELLS).numpy().reshape(grid.shape)


def _near_surface(surface: Mesh, grid: RoomGrid, far: float) -> Bool[np.ndarray, " M"]:
    """Cells that may lie within `far` cells of the surface."""
    vertices, faces = surface.vertices.double().numpy(), surface.faces.long().numpy()
    area = float(triangle_areas(vertices, faces).sum())
    points = sample_surface(vertices, faces, int(3 * area / grid.cell**2) + 1000, np.random.default_rng(0))
    cell, _ = grid.cells_of(points)
    empty = np.ones(math.prod(grid.shape), dtype=bool)
    empty[cell] = False
    distance = ndimage.distance_transform_edt(empty.reshape(grid.shape))
    return distance.ravel() <= far + 1.5


def write_room(selector: Selector, conditioner: PictureConditioner, folder: Path, *, seed: int, number: int) -> None:
    """Room `number` with its evidence and distances in bytes; a file that exists is left alone."""
    path = folder / f"room-{number:05d}.npz"
    if path.exists():
        return
    rng = np.random.default_rng(np.random.SeedSequence([seed, number]))
    room = made_room(selector, rng)
    grid = room_grid(room.points.positions, CHUNK_SIZE_FACTOR * float(rng.uniform(0.9, 1.1)))
    evidence = room_evidence_of(room, grid, conditioner)
    distance = signed_distance(room, grid)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            fine=_bytes(evidence.fine.numpy()),
            coarse=_bytes(evidence.coarse.numpy()),
            distance=_bytes(distance / FAR_CELLS),
        )


def _bytes(values: Float[np.ndarray, "*shape"]) -> Int8[np.ndarray, "*shape"]:
    return np.round(np.clip(values, -1, 1) * _SCALE).astype(np.int8)
