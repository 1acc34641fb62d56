"""Furnished closed rooms: walls with door and windows, furniture along walls and in groups, things on surfaces.

Rectangles and L-shapes as in the public panoramas. Every piece goes through `Composer`, so nothing touches; doors keep
their swing free and tall pieces stay out of windows. Frame: world, z up, metres, floor at z = 0.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.data.clearance import Footprint, boxes_apart
from scenewright.data.composition import ComposedScene, Composer, PlacedAsset
from scenewright.data.held_out import TrainingAsset
from scenewright.data.parametric.kit import finish_mesh
from scenewright.data.parametric.solids import cylinder
from scenewright.data.room_shell import RoomShell, build_shell, polygon_contains
from scenewright.data.selection import Selector
from scenewright.data.viewpoints import level_pose, pinhole, walk_poses
from scenewright.errors import InputError
from scenewright.types import Mesh, Opening, PBRMaterial

__all__ = ["THEMES", "RoomFurnisher", "compose_room", "sample_shell"]

# Pieces in the order in which they are placed; (role, where, how many at least and at most).
THEMES: dict[str, tuple[tuple[str, str, int, int], ...]] = {
    "bedroom": (
        ("bed", "wall", 1, 1),
        ("wardrobe", "wall", 0, 1),
        ("cabinet", "wall", 1, 2),
        ("desk", "wall", 0, 1),
        ("shelf", "wall", 0, 1),
    ),
    "living": (
        ("sofa", "wall", 1, 2),
        ("cabinet", "wall", 1, 2),
        ("shelf", "wall", 0, 2),
        ("table", "middle", 0, 1),
    ),
    "dining": (
        ("table", "middle", 1, 1),
        ("cabinet", "wall", 1, 2),
        ("shelf", "wall", 0, 1),
        ("bench", "wall", 0, 1),
    ),
    "office": (
        ("desk", "wall", 1, 2),
        ("shelf", "wall", 1, 2),
        ("cabinet", "wall", 0, 2),
        ("table", "middle", 0, 1),
    ),
}
_EXTRAS = ("plant", "floor_lamp", "basket", "pouf", "stool", "box", "chair")


def sample_shell(rng: np.random.Generator) -> RoomShell:
    """A rectangle or L of 2.8 to 6 m a side and 2.4 to 3 m height, with one door and one to three windows."""
    width, depth = float(rng.uniform(3.2, 6.0)), float(rng.uniform(3.0, 5.2))
    corners = np.array([[0, 0], [width, 0], [width, depth], [0, depth]])
    if rng.uniform() < 0.4:
        cut_x, cut_y = width * float(rng.uniform(0.3, 0.5)), depth * float(rng.uniform(0.3, 0.5))
        step_x, step_y = width - cut_x, depth - cut_y
        corners = np.array([[0, 0], [width, 0], [width, step_y], [step_x, step_y], [step_x, depth], [0, depth]])
    if rng.uniform() < 0.5:
        corners = (corners * [-1, 1])[::-1] + np.array([width, 0])
    shell = RoomShell(corners, float(rng.uniform(2.4, 3.0)))
    walls = list(rng.permutation(len(corners)))
    openings: list[Opening] = []
    windows = int(rng.integers(1, 4))
    for wall in walls:
        _, _, length = shell.wall(int(wall))
        is_door = not openings
        span = float(rng.choice([0.85, 0.95, 1.75])) if is_door else float(rng.uniform(0.8, 2.4))
        if length < span + 0.7 or len(openings) > windows:
            continue
        start = float(rng.uniform(0.3, length - span - 0.3))
        low, high = (0.0, 2.05) if is_door else (float(rng.uniform(0.1, 1.0)), float(rng.uniform(2.0, 2.3)))
        openings.append(Opening("door" if is_door else "window", int(wall), start, start + span, low, high))
    return RoomShell(corners, shell.height, tuple(openings))


class RoomFurnisher:
    """Places furniture in a shell; every method says whether it found room."""

    def __init__(self, shell: RoomShell, selector: Selector, rng: np.random.Generator) -> None:
        self.shell = shell
        self.selector = selector
        self.rng = rng
        self.composer = Composer(self._is_inside)
        self.keep_free = tuple(self._zone(opening) for opening in shell.openings)

    def _is_inside(self, footprint: Footprint) -> bool:
        corners = footprint.corners()
        ring = np.concatenate([corners, (corners + np.roll(corners, 1, axis=0)) / 2])
        if footprint.high > self.shell.height - 0.02 or not polygon_contains(self.shell.corners, ring).all():
            return False
        # In an L the reflex corner can poke into a box whose own corners are all inside.
        return not polygon_contains(corners, self.shell.corners).any()

    def _zone(self, opening: Opening) -> Footprint:
        start, along, _ = self.shell.wall(opening.wall)
        inward = np.array([-along[1], along[0]])
        reach = 0.9 if opening.kind == "door" else 0.3
        middle = start + along * (opening.start + opening.end) / 2 + inward * reach / 2
        half = (opening.end - opening.start) / 2
        low = 0.0 if opening.kind == "door" else opening.low + 0.05
        return Footprint(float(middle[0]), float(middle[1]), half, reach / 2, math.atan2(along[1], along[0]), low, 3.0)

    def _put(self, source: TrainingAsset, x: float, y: float, yaw: float, gap: float = 0.02) -> bool:
        placed = PlacedAsset(source, (float(x), float(y), 0.0), yaw)
        return self.composer.place(placed, gap=gap, keep_free=self.keep_free)

    def along_wall(self, source: TrainingAsset) -> bool:
        """With its back to a random wall."""
        width, depth, _ = source.asset.size_m
        for _ in range(30):
            wall = int(self.rng.integers(len(self.shell.corners)))
            start, along, length = self.shell.wall(wall)
            if length < width + 0.04:
                continue
            inward = np.array([-along[1], along[0]])
            if self.rng.uniform() < 0.35:  # into a corner
                at = width / 2 + 0.02 if self.rng.uniform() < 0.5 else length - width / 2 - 0.02
            else:
                at = float(self.rng.uniform(width / 2 + 0.02, length - width / 2 - 0.02))
            x, y = start + along * at + inward * (depth / 2 + float(self.rng.uniform(0.01, 0.05)))
            if self._put(source, x, y, math.atan2(inward[0], -inward[1])):
                return True
        return False

    def in_the_middle(self, source: TrainingAsset) -> bool:
        """Free in the room, parallel to the walls, with a way round it where that is possible."""
        low, high = self.shell.corners.min(0), self.shell.corners.max(0)
        for attempt in range(40):
            x, y = self.rng.uniform(low + 0.5, high - 0.5)
            yaw = float(self.rng.integers(4)) * math.pi / 2 + float(self.rng.normal(0, 0.03))
            if self._put(source, x, y, yaw, gap=0.7 if attempt < 20 else 0.25):
                return True
        return False

    def anywhere(self, source: TrainingAsset) -> bool:
        """Free in the room, turned at will."""
        low, high = self.shell.corners.min(0), self.shell.corners.max(0)
        for _ in range(30):
            x, y = self.rng.uniform(low + 0.2, high - 0.2)
            if self._put(source, x, y, float(self.rng.uniform(-math.pi, math.pi)), gap=0.05):
                return True
        return False

    def in_front(self, source: TrainingAsset, index: int, *, gap: float, side: int = 0, offset: float = 0.0) -> bool:
        """Facing object `index` from one of its four sides (0: its front), `gap` away; negative gaps tuck it under.

        Args:
            offset: shift along that side.
        """
        host = self.composer.objects[index]
        yaw = host.yaw + side * math.pi / 2
        outward = np.array([math.sin(yaw), -math.cos(yaw)])  # the host's front (-y), turned
        along = np.array([math.cos(yaw), math.sin(yaw)])
        reach = host.size_m[1] / 2 if side % 2 == 0 else host.size_m[0] / 2
        depth = source.asset.size_m[1]
        x, y = np.array(host.position[:2]) + outward * (reach + gap + depth / 2) + along * offset
        # The guest's front (-y) looks back at the host.
        return self._put(source, x, y, yaw + math.pi + float(self.rng.normal(0, 0.06)))

    def seats_around(self, index: int, source: TrainingAsset) -> int:
        """Chairs of one kind at the sides of a table; returns how many found room."""
        host = self.composer.objects[index]
        count = 0
        for side in self.rng.permutation(4):
            extent = host.size_m[0] if side % 2 == 0 else host.size_m[1]
            seats = max(1, int(extent / 0.75)) if self.rng.uniform() < 0.85 else 0
            for seat in range(seats):
                offset = ((seat + 0.5) / seats - 0.5) * extent
                for gap in (float(self.rng.uniform(-0.3, 0.0)), 0.03, 0.12):
                    if self.in_front(source, index, gap=gap, side=int(side), offset=offset):
                        count += 1
                        break
        return count

    def dress(self, index: int, count: int) -> None:
        """Things on top of an object."""
        for _ in range(count):
            self.composer.place_on(self.selector.small(self.rng), index, self.rng)

    def furnish(self, theme: str) -> None:
        """A theme's pieces, their companions, extras and the things on top of them."""
        rng = self.rng
        for role, where, least, most in THEMES[theme]:
            for _ in range(int(rng.integers(least, most + 1))):
                for _ in range(4):
                    source = self._role(role)
                    if source is None:
                        break
                    if self.along_wall(source) if where == "wall" else self.in_the_middle(source):
                        self._companions(role, len(self.composer.objects) - 1)
                        break
        for _ in range(int(rng.integers(1, 4))):
            source = self._role(str(rng.choice(_EXTRAS)))
            if source is not None:
                self.anywhere(source)
        for index in range(len(self.composer.objects)):
            placed = self.composer.objects[index]
            if placed.placement == "floor" and 0.3 < placed.size_m[2] < 1.3 and rng.uniform() < 0.75:
                self.dress(index, int(rng.integers(1, 4)))
        if rng.uniform() < 0.5 and (source := self._role("rug")) is not None:
            self.anywhere(source)

    def _role(self, role: str) -> TrainingAsset | None:
        try:
            return self.selector.role(role, self.rng)
        except InputError:
            return None

    def _companions(self, role: str, index: int) -> None:
        """A chair for a desk, a low table for a sofa, seats for a table, a cabinet beside a bed."""
        rng = self.rng
        height = self.composer.objects[index].size_m[2]
        if role == "desk" and (source := self._role(str(rng.choice(["office_chair", "chair"])))) is not None:
            for gap in (float(rng.uniform(-0.25, 0.0)), 0.05, 0.2):
                if self.in_front(source, index, gap=gap):
                    break
        elif role == "table" and height > 0.6 and (source := self._role("chair")) is not None:
            self.seats_around(index, source)
        elif role == "sofa" and rng.uniform() < 0.7:
            source = self._role("table")
            if source is not None and source.asset.size_m[2] < 0.6 and source.asset.size_m[0] < 1.6:
                self.in_front(source, index, gap=float(rng.uniform(0.25, 0.5)))

    def is_free(self, x: float, y: float) -> bool:
        """Whether a person can stand there: away from walls and from anything higher than a rug."""
        spot = Footprint(x, y, 0.3, 0.3, 0.0, 0.05, 1.9)
        return self._is_inside(spot) and all(boxes_apart(spot, placed.footprint) for placed in self.composer.objects)

    def stations(self, count: int) -> list[tuple[float, float]]:
        """Up to `count` free standing points."""
        low, high = self.shell.corners.min(0), self.shell.corners.max(0)
        spots: list[tuple[float, float]] = []
        for _ in range(300):
            if len(spots) == count:
                break
            x, y = self.rng.uniform(low, high)
            if self.is_free(float(x), float(y)):
                spots.append((float(x), float(y)))
        return spots

    def heading_to_furniture(self, x: float, y: float) -> float:
        """The heading, of several random ones, with the most objects within 30 degrees to either side."""
        centres = np.array([placed.position[:2] for placed in self.composer.objects]).reshape(-1, 2)
        bearings = np.arctan2(centres[:, 1] - y, centres[:, 0] - x)
        headings = self.rng.uniform(-math.pi, math.pi, 12)
        apart = np.abs((bearings[None] - headings[:, None] + math.pi) % (2 * math.pi) - math.pi)
        return float(headings[(apart < math.radians(30)).sum(1).argmax()])


def compose_room(
    selector: Selector,
    rng: np.random.Generator,
    *,
    theme: str | None = None,
    views: int = 0,
    panoramas: int = 0,
    walk: bool = False,
    size: int = 384,
) -> ComposedScene:
    """A furnished room with perspective views (4:3, `size` high) or a walk, and panorama poses.

    All randomness comes from `rng`. Fewer cameras come back where the floor has no free spot.
    """
    theme = str(rng.choice(sorted(THEMES))) if theme is None else theme
    shell = sample_shell(rng)
    furnisher = RoomFurnisher(shell, selector, rng)
    furnisher.furnish(theme)
    low, high = shell.corners.min(0), shell.corners.max(0)
    poses = []
    if views and walk:
        poses = walk_poses(furnisher.is_free, tuple(low.tolist()), tuple(high.tolist()), views, rng)
    elif views:
        for x, y in furnisher.stations(views):
            heading = furnisher.heading_to_furniture(x, y)
            poses.append(_pitched((x, y, float(rng.uniform(1.2, 1.8))), heading, float(rng.uniform(5, 22))))
    fov = float(rng.uniform(60.0, 75.0))
    panorama_poses = tuple(
        level_pose((x, y, float(rng.uniform(1.2, 1.8))), float(rng.uniform(-math.pi, math.pi)))
        for x, y in furnisher.stations(panoramas)
    )
    lamps, fixtures = _ceiling_lamps(shell, rng)
    return ComposedScene(
        kind="room",
        objects=tuple(furnisher.composer.objects),
        fixtures=(*build_shell(shell, rng), *fixtures),
        lamps=lamps,
        cameras=tuple(pinhole(pose, fov, round(size * 4 / 3), size) for pose in poses),
        panorama_poses=panorama_poses,
        layout={"theme": theme, **_layout_json(shell)},
        room=shell.room,
    )


def _pitched(position: tuple[float, float, float], heading: float, down_deg: float) -> Float[Tensor, "4 4"]:
    """`cam_from_world` of a camera that looks down by an angle."""
    drop = math.radians(down_deg)
    tilt = torch.eye(4)
    tilt[1, 1], tilt[1, 2], tilt[2, 1], tilt[2, 2] = math.cos(drop), -math.sin(drop), math.sin(drop), math.cos(drop)
    return tilt.to(torch.float64) @ level_pose(position, heading)


def _ceiling_lamps(
    shell: RoomShell, rng: np.random.Generator
) -> tuple[tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...], list[tuple[str, Mesh]]]:
    """One lamp a room, two for large ones: a bright disc under the ceiling and the light below it."""
    low, high = shell.corners.min(0), shell.corners.max(0)
    spots: list[np.ndarray] = []
    for _ in range(200):
        if len(spots) == (2 if np.prod(high - low) > 20 else 1):
            break
        spot = rng.uniform(low + 0.8, high - 0.8)
        if polygon_contains(shell.corners, spot[None])[0] and all(np.linalg.norm(spot - s) > 1.5 for s in spots):
            spots.append(spot)
    warmth = float(rng.uniform(-0.1, 0.25))
    strength = float(rng.uniform(2.2, 4.0)) / max(len(spots), 1) ** 0.6
    glow = PBRMaterial(emissive_factor=(1.0, 1.0, 1.0 - max(warmth, 0) / 2), name="lamp")
    lamps, fixtures = [], []
    for number, spot in enumerate(spots):
        radius = float(rng.uniform(0.15, 0.35))
        disc = cylinder(radius, 0.05, (float(spot[0]), float(spot[1]), shell.height - 0.05))
        fixtures.append((f"lamp_{number}", finish_mesh(disc.vertices, disc.faces, glow, 1.0)))
        color = (strength * (1 + warmth), strength, strength * (1 - warmth))
        lamps.append(((float(spot[0]), float(spot[1]), shell.height - 0.25), color))
    return tuple(lamps), fixtures


def _layout_json(shell: RoomShell) -> dict[str, object]:
    openings: Sequence[dict[str, object]] = [
        {"type": o.kind, "wall": o.wall, "s0": o.start, "s1": o.end, "z0": o.low, "z1": o.high} for o in shell.openings
    ]
    return {"floor_polygon_xy": shell.corners.tolist(), "height": shell.height, "openings": openings}
