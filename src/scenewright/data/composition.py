"""A scene under construction: placed training assets, kept apart, and what the finished scene consists of.

Every generator adds objects through `Composer.place`, which refuses any that would touch another object or leave the
region, so a composed scene is free of collisions by construction (see `clearance.py`).

Frame: world, z up, metres, floor at z = 0.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.data.asset import Asset, merged_geometry
from scenewright.data.clearance import Footprint, boxes_apart, models_apart
from scenewright.data.held_out import TrainingAsset
from scenewright.data.support_surface import Support, find_support
from scenewright.types import Camera, Mesh, Room, Scene, SceneObject

__all__ = ["RESTING_GAP_M", "ComposedScene", "Composer", "PlacedAsset"]

RESTING_GAP_M = 0.0005
"""Free height between a thing and what it stands on, so that the two never share a plane."""

_FOOT_SHARE = 0.3
"""The share of a thing's width and depth that lies on the top it stands on; so much overhang does not tip it over."""

Placement = Literal["floor", "on", "wall"]


@dataclass(frozen=True)
class PlacedAsset:
    """A training asset in the world: scaled uniformly, turned about the vertical by `yaw`, moved to `position`."""

    source: TrainingAsset
    position: tuple[float, float, float]
    yaw: float
    scale: float = 1.0
    placement: Placement = "floor"
    supported_by: int | None = None

    @property
    def asset(self) -> Asset:
        return self.source.asset

    @property
    def size_m(self) -> tuple[float, float, float]:
        """Width, depth and height of the object's own box, scale included."""
        x, y, z = self.asset.size_m
        return x * self.scale, y * self.scale, z * self.scale

    @property
    def footprint(self) -> Footprint:
        width, depth, height = self.size_m
        x, y, z = self.position
        return Footprint(x, y, width / 2, depth / 2, self.yaw, z, z + height)

    @property
    def world_from_object(self) -> Float[Tensor, "4 4"]:
        c, s = math.cos(self.yaw) * self.scale, math.sin(self.yaw) * self.scale
        x, y, z = self.position
        rows = [[c, -s, 0, x], [s, c, 0, y], [0, 0, self.scale, z], [0, 0, 0, 1]]
        return torch.tensor(rows, dtype=torch.float32)

    def triangles(self) -> Float[np.ndarray, "T 3 3"]:
        """All triangles in the world."""
        vertices, faces = merged_geometry(self.asset.parts)
        matrix = self.world_from_object.double().numpy()
        return (vertices.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3])[faces]


@dataclass(frozen=True)
class ComposedScene:
    """A finished scene: objects (instance k is `objects[k - 1]`), the fixed parts of the room, and its cameras.

    `fixtures` are named meshes in the world frame (floor, walls, ...), `lamps` point lights as (position, strength).
    `panorama_poses` are `cam_from_world` of level panorama cameras. `layout` is plain JSON data about the room.
    """

    kind: str
    objects: tuple[PlacedAsset, ...]
    fixtures: tuple[tuple[str, Mesh], ...] = ()
    lamps: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...] = ()
    cameras: tuple[Camera, ...] = ()
    panorama_poses: tuple[Float[Tensor, "4 4"], ...] = ()
    layout: dict[str, Any] = field(default_factory=dict)
    room: Room | None = None

    def scene(self, *, with_fixtures: bool = True) -> Scene:
        """The geometry as a `Scene`: objects first, in the order of their instance numbers, then the fixtures."""
        items = [
            SceneObject(f"obj_{number:02d}", placed.asset.parts, world_from_object=placed.world_from_object)
            for number, placed in enumerate(self.objects, 1)
        ]
        if with_fixtures:
            items += [SceneObject(name, (mesh,)) for name, mesh in self.fixtures]
        cameras = {"camera": self.cameras[0]} if self.cameras else {}
        return Scene(tuple(items), cameras=cameras, room=self.room, is_metric=True)


class Composer:
    """Adds objects one by one, each only where it touches nothing."""

    def __init__(self, is_inside: Callable[[Footprint], bool] = lambda footprint: True) -> None:
        """`is_inside` says whether a footprint lies in the region that may be furnished."""
        self.objects: list[PlacedAsset] = []
        self._is_inside = is_inside
        self._triangles: dict[int, np.ndarray] = {}
        self._supports: dict[int, Support | None] = {}

    def place(self, candidate: PlacedAsset, *, gap: float = 0.01, keep_free: tuple[Footprint, ...] = ()) -> bool:
        """Add the candidate if it is inside the region and touches nothing; says whether it was added.

        Args:
            gap: sideways distance of boxes that counts as apart without looking at triangles.
            keep_free: boxes to stay out of, such as the swing of a door.
        """
        footprint = candidate.footprint
        if not self._is_inside(footprint) or any(not boxes_apart(footprint, zone) for zone in keep_free):
            return False
        triangles = None
        for index, other in enumerate(self.objects):
            if boxes_apart(footprint.grown(gap / 2), other.footprint.grown(gap / 2)):
                continue
            triangles = candidate.triangles() if triangles is None else triangles
            if not models_apart(triangles, self.triangles(index)):
                return False
        self.objects.append(candidate)
        return True

    def triangles(self, index: int) -> Float[np.ndarray, "T 3 3"]:
        """World triangles of an object, kept."""
        if index not in self._triangles:
            self._triangles[index] = self.objects[index].triangles()
        return self._triangles[index]

    def support(self, index: int) -> Support | None:
        """The top of an object in the world, if things can stand on it."""
        if index not in self._supports:
            triangles = self.triangles(index)
            faces = np.arange(len(triangles) * 3).reshape(-1, 3)
            support = find_support(triangles.reshape(-1, 3), faces)
            self._supports[index] = support if support is not None and support.is_usable() else None
        return self._supports[index]

    def place_on(self, source: TrainingAsset, index: int, rng: np.random.Generator) -> bool:
        """Stand an asset on object `index` anywhere on its top, edges too; says whether there was room."""
        support = self.support(index)
        if support is None:
            return False
        low, high = support.outline.min((0, 1)), support.outline.max((0, 1))
        for _ in range(24):
            middle = rng.uniform(low, high)
            position = (float(middle[0]), float(middle[1]), support.height + RESTING_GAP_M)
            yaw = self.objects[index].yaw + float(rng.normal(0, 0.5))
            candidate = PlacedAsset(source, position, yaw, placement="on", supported_by=index)
            foot = middle + _FOOT_SHARE * (candidate.footprint.corners() - middle)
            if support.holds(foot) and self.place(candidate):
                return True
        return False
