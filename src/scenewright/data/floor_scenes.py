"""Simple scenes: two to six objects on the floor of a plain room, up to two of them standing on others.

They follow the public single-view test scenes in object counts, stacking and camera ranges.
"""

import math

import numpy as np
import torch

from scenewright.data.asset import merged_geometry
from scenewright.data.composition import ComposedScene, Composer, PlacedAsset
from scenewright.data.held_out import TrainingAsset
from scenewright.data.room_shell import RoomShell, build_shell
from scenewright.data.selection import Selector
from scenewright.data.support_surface import Support, find_support
from scenewright.data.viewpoints import sample_single_view
from scenewright.types import Camera

__all__ = ["compose_floor_scene", "object_corners"]

_ROOM_TO_STAND_M = 0.1
_MAX_TOP_M = 1.2
# Of what stands on others: small things, a carrier's likes, and pieces, of at most so many times the top's area.
_SHARE_OF_SMALL, _SHARE_OF_LIKES, _LARGEST_SHARE = 0.7, 0.1, 1.1
Lamp = tuple[tuple[float, float, float], tuple[float, float, float]]


def compose_floor_scene(selector: Selector, rng: np.random.Generator, *, size: int = 518) -> ComposedScene:
    """A scene with one square camera of `size` pixels; all randomness comes from `rng`."""
    composer = Composer()
    total = int(rng.integers(2, 7))
    stacked = min(int(rng.choice([0, 1, 2], p=[0.4, 0.3, 0.3])), total - 1) if selector.has_small else 0
    aligned = rng.uniform() < 0.6
    spread = float(rng.uniform(0.03, 0.5))
    for number in range(total - stacked):
        for _ in range(6):
            source = _carrier(selector, rng) if stacked and number == 0 else selector.floor(rng)
            yaw = float(rng.normal(0, 0.2)) if aligned else float(rng.uniform(-math.pi, math.pi))
            if _place_near(composer, source, yaw, spread if number else 0.0, rng):
                break
    for _ in range(stacked):
        carriers = [index for index in range(len(composer.objects)) if composer.support(index) is not None]
        tries = 12 if carriers else 0
        if not any(_stack(composer, selector, int(rng.choice(carriers)), rng) for _ in range(tries)):
            _place_near(composer, selector.floor(rng), float(rng.uniform(-math.pi, math.pi)), spread, rng)
    corners = object_corners(composer.objects)
    camera = sample_single_view(corners, rng, size=size)
    shell = _room_around(corners, camera, rng)
    fixtures = build_shell(shell, rng)
    return ComposedScene(
        kind="single",
        objects=tuple(composer.objects),
        fixtures=tuple(fixtures),
        lamps=_lamps(shell, rng),
        cameras=(camera,),
        room=shell.room,
    )


def _stack(composer: Composer, selector: Selector, index: int, rng: np.random.Generator) -> bool:
    """Mostly a small thing onto object `index`; now and then its like, or any piece no larger than its top."""
    kind = rng.uniform()
    if kind < _SHARE_OF_SMALL:
        return composer.place_on(selector.small(rng), index, rng)
    source = composer.objects[index].source if kind < _SHARE_OF_SMALL + _SHARE_OF_LIKES else selector.floor(rng)
    width, depth, _ = source.asset.size_m
    support = composer.support(index)
    has_room = support is not None and width * depth < _LARGEST_SHARE * support.area
    return has_room and composer.place_on(source, index, rng)


def object_corners(objects: list[PlacedAsset] | tuple[PlacedAsset, ...]) -> np.ndarray:
    """The eight corners of every object's upright box in the world, [8 N, 3]."""
    corners = []
    for placed in objects:
        box = placed.footprint
        for level in (box.low, box.high):
            corners.append(np.column_stack([box.corners(), np.full(4, level)]))
    return np.concatenate(corners)


def _carrier(selector: Selector, rng: np.random.Generator) -> TrainingAsset:
    """A piece with a top that things can stand on; few have one, so that chance alone would leave most scenes flat."""
    source = selector.floor(rng)
    for _ in range(11):
        if _can_carry(find_support(*merged_geometry(source.asset.parts))):
            break
        source = selector.floor(rng)
    return source


def _can_carry(top: Support | None) -> bool:
    if top is None or not top.is_usable():
        return False
    return top.height < _MAX_TOP_M and top.distance_to_edge > _ROOM_TO_STAND_M


def _place_near(composer: Composer, source: TrainingAsset, yaw: float, spread: float, rng: np.random.Generator) -> bool:
    """The asset on the floor, as near to the others as a random direction and gap allow."""
    direction = float(rng.uniform(0, 2 * math.pi))
    distance = 0.0
    gap = 0.02 + spread * float(rng.uniform(0, 1))
    for _ in range(60):
        position = (distance * math.cos(direction), distance * math.sin(direction), 0.0)
        if composer.place(PlacedAsset(source, position, yaw), gap=gap):
            return True
        distance += 0.08
    return False


def _room_around(corners: np.ndarray, camera: Camera, rng: np.random.Generator) -> RoomShell:
    """A rectangular room that holds the objects and the camera, now and then with bare walls close behind."""
    eye = -(camera.cam_from_world[:3, :3].T @ camera.cam_from_world[:3, 3]).double().numpy()
    points = np.concatenate([corners, eye[None]])
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    low = low - rng.uniform(0.3, 2.0, 2)
    high = high + rng.uniform(0.3, 2.0, 2)
    height = max(float(rng.uniform(2.4, 3.2)), float(points[:, 2].max()) + 0.35)
    return RoomShell(np.array([low, [high[0], low[1]], high, [low[0], high[1]]]), height)


def _lamps(shell: RoomShell, rng: np.random.Generator) -> tuple[Lamp, ...]:
    """One to three lamps under the ceiling, warm to cool white."""
    low, high = shell.corners.min(0), shell.corners.max(0)
    count = int(rng.integers(1, 4))
    strength = float(rng.uniform(2.5, 5.5)) * (shell.height / 2.6) ** 2 / count**0.7
    warmth = float(rng.uniform(-0.15, 0.25))
    tint = torch.tensor([1 + warmth, 1.0, 1 - warmth]).tolist()
    lamps = []
    for _ in range(count):
        x, y = low + (high - low) * rng.uniform(0.25, 0.75, 2)
        color = (strength * tint[0], strength * tint[1], strength * tint[2])
        lamps.append(((float(x), float(y), shell.height - 0.15), color))
    return tuple(lamps)
