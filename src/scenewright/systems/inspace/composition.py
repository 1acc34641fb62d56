"""One scene out of a room's parts: layout and assets in metres, nothing twice, closed by a ceiling.

The published code leaves three overlapping generations (whole room, layout, assets) in cube units, without a ceiling.
Here the layout gives up what an asset holds as well, or is replaced by planes with the panorama's colours, and what
comes out is a `Scene` whose floor lies at z = 0.

Legend: A assets, F faces. Frames: cube; world z up, metres, floor at 0, the panorama looks along +y.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor

from scenewright.geometry.mesh.parts import face_areas, face_normals, select_faces
from scenewright.metrics.nearest import nearest_distances
from scenewright.systems.inspace.box_decoding import FoundBoxes
from scenewright.systems.inspace.floor_plan import (
    evened,
    outline,
    plane_meshes,
    seen_polygon,
    snapped_to_walls,
    wall_points,
)
from scenewright.systems.inspace.panorama import RoomInput
from scenewright.systems.inspace.parts import LATENT_RESOLUTION, layout_cells
from scenewright.types import Mesh, OrientedBox, PanoramaCamera, Room, Scene, SceneObject

__all__ = ["LayoutForm", "RoomMesh", "compose_room", "floor_polygon", "without_assets", "world_from_cube"]

LayoutForm = Literal["generated", "planes"]
"""The layout as the detail stage made it, or planes along its outline with the panorama's colours."""
_CELL = 1 / LATENT_RESOLUTION
_LEVEL = 0.7


@dataclass(frozen=True)
class RoomMesh:
    """A finished surface in the cube; `box` is the row of the asset's box, `is_refined` says that it was made again."""

    kind: Literal["room", "layout", "asset"]
    mesh: Mesh
    box: int | None = None
    is_refined: bool = False


def compose_room(
    room: RoomInput,
    meshes: Sequence[RoomMesh],
    found: FoundBoxes,
    cells: Int[Tensor, "N 3"],
    layout: LayoutForm = "generated",
) -> Scene:
    """The scene of a room.

    Args:
        found: all boxes; assets name theirs by row.
        cells: occupied latent cells of the whole room, for the floor polygon.
    """
    to_world = world_from_cube(room)
    scale = float(to_world[0, 0])
    polygon = floor_polygon(room, cells)
    top = room.ceiling_m if room.ceiling_m is not None else _highest(room, cells)
    objects = []
    for item in meshes:
        if item.kind == "layout" and layout == "generated":
            objects += _layout_objects(item.mesh, to_world)
    assets = [item for item in meshes if item.box is not None]
    objects += [_asset_object(f"asset_{k:03d}", item, found, to_world) for k, item in enumerate(assets, 1)]
    if len(polygon) >= 4:
        planes = plane_meshes(polygon, -room.camera_height_m, top - room.camera_height_m, room.panorama)
        lift = torch.eye(4)
        lift[2, 3] = room.camera_height_m
        wanted = planes if layout == "planes" else [part for part in planes if part[0] == "ceiling"]
        objects += [SceneObject(name, (mesh,), world_from_object=lift, role="shell") for name, mesh in wanted]
    # The picture as it was given looks along another direction than the one turned to the walls.
    c, s = math.cos(room.heading), math.sin(room.heading)
    pose = torch.tensor([[c, -s, 0.0, 0.0], [0, 0, -1, room.camera_height_m], [s, c, 0, 0], [0, 0, 0, 1]])
    height, width = room.panorama.rgb.shape[:2]
    walls = Room(torch.from_numpy(polygon).float(), top) if len(polygon) >= 4 else None
    return Scene(
        tuple(objects),
        cameras={"camera": PanoramaCamera(pose, width, height)},
        is_metric=room.is_metric,
        room=walls,
        world_from_system=to_world,
        notes=room.notes,
        provenance={"voxel_m": scale * _CELL},
    )


def world_from_cube(room: RoomInput) -> Float[Tensor, "4 4"]:
    """The similarity from the cube to metres with the floor at z = 0."""
    matrix = torch.eye(4)
    matrix[:3, :3] /= room.frame.scale
    matrix[:3, 3] = torch.tensor(room.frame.center)
    matrix[2, 3] += room.camera_height_m
    return matrix


def floor_polygon(room: RoomInput, cells: Int[Tensor, "N 3"]) -> Float[np.ndarray, "C 2"]:
    """Corners of the floor, counter-clockwise, metres around the camera (`floor_plan`)."""
    is_layout, _ = layout_cells(cells)
    plan = np.zeros((LATENT_RESOLUTION,) * 2, dtype=bool)
    columns = cells[is_layout].cpu().numpy()
    plan[columns[:, 0], columns[:, 1]] = True
    side = _CELL / room.frame.scale
    if room.panorama.distance_m is not None:
        # Above most furniture and below the ceiling nothing but walls is left.
        high = (room.ceiling_m or room.camera_height_m + 0.8) - room.camera_height_m - 0.1
        points = wall_points(room.panorama.distance_m, high - 0.5, high)
        if len(points):
            inner = np.argwhere(ndimage.binary_erosion(ndimage.binary_fill_holes(plan))) + 0.5
            return snapped_to_walls(seen_polygon(points, _metres(room, inner), side), points, 0.15)
    return evened(_metres(room, outline(plan)), 1.5 * side)


def _metres(room: RoomInput, plan: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N 2"]:
    """Places on the grid of cells, seen from above, in metres around the camera."""
    flat = np.column_stack([plan * _CELL - 0.5, np.zeros(len(plan))])
    return room.frame.to_world(torch.from_numpy(flat)).numpy()[:, :2]


def without_assets(
    layout: Mesh, assets: Sequence[Mesh], boxes: Float[Tensor, "A 7"], distance: float = _CELL
) -> Bool[Tensor, " F"]:
    """Faces of the layout to keep: those outside the assets' boxes, or not close to the asset inside.

    Args:
        boxes: of the assets, in their order; meshes and boxes in the cube.
        distance: closer than this to an asset's vertices is the same surface.
    """
    centers = layout.vertices[layout.faces.long()].mean(1)
    keep = torch.ones(len(centers), dtype=torch.bool)
    for mesh, box in zip(assets, boxes, strict=True):
        x, y, z = (centers - box[:3]).T
        c, s = box[6].cos(), box[6].sin()
        local = torch.stack([c * x + s * y, c * y - s * x, z], 1)
        inside = (local.abs() <= box[3:6] / 2).all(1)
        if bool(inside.any()) and len(mesh.vertices):
            close = nearest_distances(centers[inside], mesh.vertices) < distance
            keep[inside.nonzero()[:, 0][close]] = False
    return keep


def _layout_objects(mesh: Mesh, to_world: Float[Tensor, "4 4"]) -> list[SceneObject]:
    """The layout as floor and walls, by the direction and height of its faces."""
    centers = mesh.vertices[mesh.faces.long()].mean(1)
    level = face_normals(mesh)[:, 2].abs() > _LEVEL
    if not bool(level.any()):
        return [SceneObject("walls", (mesh,), world_from_object=to_world, role="shell")]
    # By area: simplifying leaves a flat floor few faces and uneven walls many.
    heights, order = centers[level, 2].sort()
    covered = face_areas(mesh)[level][order].cumsum(0)
    height = heights[int((covered < covered[-1] / 2).sum())]
    is_floor = level & ((centers[:, 2] - height).abs() < 1.5 * _CELL)
    parts = [("floor", is_floor), ("walls", ~is_floor)]
    return [
        SceneObject(name, (select_faces(mesh, keep),), world_from_object=to_world, role="shell")
        for name, keep in parts
        if bool(keep.any())
    ]


def _asset_object(name: str, item: RoomMesh, found: FoundBoxes, to_world: Float[Tensor, "4 4"]) -> SceneObject:
    """An asset in the frame of its box: axes along the box, its largest side 1."""
    mesh, row = item.mesh, item.box
    assert row is not None
    box, scale = found.boxes[row], float(to_world[0, 0])
    c, s = float(box[6].cos()), float(box[6].sin())
    rotation = torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    side = float(box[3:6].max())
    center = to_world[:3, :3] @ box[:3] + to_world[:3, 3]
    world_from_object = torch.eye(4)
    world_from_object[:3, :3] = rotation * (side * scale)
    world_from_object[:3, 3] = center
    normals = None if mesh.vertex_normals is None else mesh.vertex_normals @ rotation
    local = replace(mesh, vertices=(mesh.vertices - box[:3]) @ rotation / side, vertex_normals=normals)
    score = float(found.scores[row])
    return SceneObject(
        name,
        (local,),
        world_from_object=world_from_object,
        confidence=min(max(score, 0.0), 1.0),
        role="furniture",
        box=OrientedBox(_triple(center), _triple(box[3:6] * scale), float(box[6])),
        extras={"box": row, "refined": item.is_refined},
    )


def _triple(values: Float[Tensor, " 3"]) -> tuple[float, float, float]:
    x, y, z = values.tolist()
    return x, y, z


def _highest(room: RoomInput, cells: Int[Tensor, "N 3"]) -> float:
    """Height of the room over the floor where no ceiling is seen: the top of the highest cell."""
    top = (int(cells[:, 2].max()) + 1) * _CELL - 0.5
    return top / room.frame.scale + room.frame.center[2] + room.camera_height_m
