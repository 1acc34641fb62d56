"""A camera over a floor, and boxes with the rectangles that they fill in its picture as masks."""

import math
from collections.abc import Sequence

import torch

from scenewright.systems.baselines.cuboid.system import box_mesh
from scenewright.types import Camera, Mask, SceneObject

HEIGHT, WIDTH = 120, 160
Box = tuple[tuple[float, float, float], tuple[float, float, float]]
BOXES: list[Box] = [
    ((0.6, 0.4, 0.8), (-0.6, 3.2, 0.4)),
    ((1.0, 0.5, 0.5), (0.5, 3.0, 0.25)),
    ((0.4, 0.4, 1.2), (0.2, 4.5, 0.6)),
]


def level_camera(pitch: float = 0.3, focal: float = 150.0) -> Camera:
    """At height 1.4 above the origin, looking along +y and down by `pitch`."""
    cos, sin = math.cos(pitch), math.sin(pitch)
    rotation = torch.tensor([[1.0, 0, 0], [0, -sin, -cos], [0, cos, -sin]])
    matrix = torch.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, -rotation @ torch.tensor([0.0, 0, 1.4])
    intrinsics = torch.tensor([[focal, 0, WIDTH / 2], [0, focal, HEIGHT / 2], [0, 0, 1]])
    return Camera(intrinsics, matrix, WIDTH, HEIGHT)


def boxes_seen(camera: Camera, boxes: Sequence[Box] = BOXES) -> list[SceneObject]:
    """The boxes; nothing hides anything."""
    objects = []
    for index, (size, centre) in enumerate(boxes):
        mesh, placement = box_mesh(size, (0.5, 0.5, 0.5)), torch.eye(4)
        placement[:3, 3] = torch.tensor(centre)
        world = torch.cat([mesh.vertices + torch.tensor(centre), torch.ones(8, 1)], 1)
        seen = (world @ camera.cam_from_world.T)[:, :3] @ camera.intrinsics_px.T
        u, v = (seen[:, :2] / seen[:, 2:]).T
        rows = slice(max(0, round(float(v.min()))), round(float(v.max())))
        columns = slice(max(0, round(float(u.min()))), round(float(u.max())))
        mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
        mask[rows, columns] = True
        objects.append(SceneObject(f"box {index}", (mesh,), world_from_object=placement, mask=Mask.of(mask)))
    return objects
