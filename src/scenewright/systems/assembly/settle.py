"""Rest a generated scene: objects out of each other and on the floor or on what is below them, by small translations.

    raise what is sunk in the floor -> push interpenetrating pairs apart -> let down what floats a little

Only translations, so that shapes, sizes and turns stay as generated. Pairs are pushed along the shortest of ten
directions (up, and horizontally) that frees the pair without driving the moved object deeper into others; the smaller
object moves unless moving the larger is clearly shorter. What would have to move far is left and reported: a picture on
a wall hangs there on purpose. Depth is that of `metrics.collisions`: the largest ball inside both.

Frame: world z up; lengths in options are shares of the scene's longest side. Runs on the CPU, deterministic.
Legend: O objects, V vertices, F faces.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float

from scenewright.compiled import njit
from scenewright.geometry.camera.projection import camera_center
from scenewright.metrics.collisions import CollisionConfig, inside_grid, scene_collisions
from scenewright.types import Camera, PanoramaCamera, Scene, SceneObject, merged_mesh

__all__ = ["SettleOptions", "SettleReport", "settle_scene"]


@dataclass(frozen=True)
class SettleOptions:
    """Shares of the scene's longest side: what counts as contact, and how far an object may be pushed or let down.

    `sideways` is what a push across the camera's line of sight costs, in pushes along it, which the picture hides.
    """

    tolerance: float = 0.002
    max_push: float = 0.2
    max_drop: float = 0.1
    rounds: int = 8
    sideways: float = 1.0


@dataclass(frozen=True)
class SettleReport:
    """Penetration and gaps before and after, in the scene's unit.

    `depths_before` and `depths_after` are by pair of names, only pairs deeper than the tolerance; `gap_*` is how far
    each object is above what is below it (floor or object; negative: sunk in the floor).
    """

    depths_before: dict[tuple[str, str], float]
    depths_after: dict[tuple[str, str], float]
    gap_before: dict[str, float]
    gap_after: dict[str, float]
    moves: dict[str, tuple[float, float, float]]

    @property
    def max_depth_before(self) -> float:
        return max(self.depths_before.values(), default=0.0)

    @property
    def max_depth_after(self) -> float:
        return max(self.depths_after.values(), default=0.0)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON data."""

        def pairs(depths: dict[tuple[str, str], float]) -> list[dict[str, Any]]:
            return [{"objects": list(names), "depth": depth} for names, depth in depths.items()]

        return {
            "method": "translations",
            "penetration_before": pairs(self.depths_before),
            "penetration_after": pairs(self.depths_after),
            "gap_before": self.gap_before,
            "gap_after": self.gap_after,
            "moves": {name: list(move) for name, move in self.moves.items()},
        }

    def sentence(self) -> str:
        """One line for the user."""
        return (
            f"settled: {len(self.depths_before)} overlapping pairs (deepest {self.max_depth_before:.3f}) became "
            f"{len(self.depths_after)} (deepest {self.max_depth_after:.3f}), {len(self.moves)} objects moved"
        )


def settle_scene(
    scene: Scene,
    *,
    floor_z: float = 0.0,
    movable: Collection[str] | None = None,
    options: SettleOptions = SettleOptions(),
) -> tuple[Scene, SettleReport]:
    """The scene with its objects moved to rest, and what was done.

    Args:
        floor_z: height of the floor.
        movable: names of the objects that may move; None all. The others hold still, as after re-rolling one.
    """
    bodies = [_Body(item, movable is None or item.name in movable) for item in scene.objects]
    solid = [body for body in bodies if len(body.faces)]
    if not solid:
        return scene, SettleReport({}, {}, {}, {}, {})
    low, high = np.min([body.low for body in solid], 0), np.max([body.high for body in solid], 0)
    room = _Room(solid, floor_z, float((high - low).max()) or 1.0, options, _eye(scene.camera))
    depths_before, gap_before = room.depths(), room.gaps()
    for body in solid:
        if body.is_movable and body.low[2] < floor_z:
            body.shift(np.array([0.0, 0.0, floor_z - body.low[2]]))
    room.push_apart()
    room.let_down()
    report = SettleReport(
        depths_before,
        room.depths(),
        gap_before,
        room.gaps(),
        {body.name: _triple(body.moved) for body in solid if body.moved.any()},
    )
    return replace(scene, objects=tuple(body.placed() for body in bodies)), report


class _Body:
    """An object's mesh in the world, and how far it was moved."""

    def __init__(self, item: SceneObject, is_movable: bool) -> None:
        self.item, self.name, self.is_movable = item, item.name, is_movable
        mesh = merged_mesh(item.placed_parts(torch.float64))
        self._vertices, self.faces = mesh.vertices.detach().cpu().double().numpy(), mesh.faces.cpu().numpy()
        self.moved = np.zeros(3)
        used = self._vertices[self.faces.ravel()] if len(self.faces) else np.zeros((1, 3))
        self._low, self._high = used.min(0), used.max(0)

    @property
    def vertices(self) -> Float[np.ndarray, "V 3"]:
        return self._vertices + self.moved

    @property
    def low(self) -> np.ndarray:
        return self._low + self.moved

    @property
    def high(self) -> np.ndarray:
        return self._high + self.moved

    @property
    def size(self) -> float:
        return float(np.prod(self._high - self._low))

    @property
    def place(self) -> tuple[object, ...]:
        """Name and move, by which what was found out about it is kept."""
        return (self.name, *self.moved.tolist())

    def shift(self, by: np.ndarray) -> None:
        self.moved = self.moved + by

    def placed(self) -> SceneObject:
        """The object where it is now; the very same object if it was not moved."""
        if not self.moved.any():
            return self.item
        matrix = self.item.world_from_object.clone()
        matrix[:3, 3] += torch.from_numpy(self.moved).to(matrix)
        return replace(self.item, world_from_object=matrix)


class _Room:
    def __init__(
        self, bodies: list[_Body], floor_z: float, side: float, options: SettleOptions, eye: np.ndarray | None
    ) -> None:
        self.bodies, self.floor_z, self.options, self.eye = bodies, floor_z, options, eye
        self.tolerance = options.tolerance * side
        self.max_push, self.max_drop = options.max_push * side, options.max_drop * side
        self.cell = side / _CELLS
        self._cells_of: dict[tuple[object, ...], tuple[np.ndarray, np.ndarray]] = {}
        self._depth_of: dict[tuple[object, ...], float] = {}
        self._collisions = CollisionConfig(
            depth=self.tolerance, depth_is_absolute=True, volume_share=None, max_cells_per_axis=_OVERLAP_CELLS
        )

    def depths(self) -> dict[tuple[str, str], float]:
        """Depth of every pair deeper than the tolerance."""
        found = {}
        for i, first in enumerate(self.bodies):
            for second in self.bodies[i + 1 :]:
                depth = self.depth(first, second)
                if depth > self.tolerance:
                    found[first.name, second.name] = depth
        return found

    def depth(self, first: _Body, second: _Body) -> float:
        if (np.minimum(first.high, second.high) - np.maximum(first.low, second.low)).min() <= 0:
            return 0.0
        key = (*first.place, *second.place)
        if key not in self._depth_of:
            meshes = [(first.vertices, first.faces), (second.vertices, second.faces)]
            self._depth_of[key] = float(scene_collisions(meshes, self._collisions).depth[0, 1])
        return self._depth_of[key]

    def push_apart(self) -> None:
        """Deepest pair first, until none is left or nothing helps."""
        given_up: set[tuple[str, str]] = set()
        for _ in range(self.options.rounds * len(self.bodies)):
            depths = {pair: depth for pair, depth in self.depths().items() if pair not in given_up}
            if not depths:
                return
            pair = max(depths, key=lambda names: (depths[names], names))
            if not self._separate(*(body for body in self.bodies if body.name in pair)):
                given_up.add(pair)

    def _separate(self, first: _Body, second: _Body) -> bool:
        """Moves one of the two the shortest way that frees the pair; whether there was one."""
        smaller, larger = (first, second) if first.size < second.size else (second, first)
        best: tuple[float, _Body, _Body, np.ndarray, int] | None = None
        for mover, other, factor in ((smaller, larger, 1.0), (larger, smaller, 1.5)):
            if not mover.is_movable:
                continue
            sight = self._sight(mover)
            rest = [body for body in self.bodies if body is not mover and body is not other]
            harm_before = sum(self._common_cells(mover, body) for body in rest)
            for direction in _directions(mover, other, sight):
                cost = factor if sight is None else factor * self._dearness(direction, sight)
                limit = int(self.max_push / self.cell)
                if best is not None:
                    limit = min(limit, math.ceil(best[0] / cost / self.cell) - 1)
                steps = self._steps_free(mover, other, direction, limit)
                if steps is None or (best is not None and steps * cost * self.cell >= best[0]):
                    continue
                by = _cells(steps * direction)
                if sum(self._common_cells(mover, body, by) for body in rest) <= harm_before:
                    best = (steps * cost * self.cell, mover, other, direction, steps)
        if best is None:
            return False
        _, mover, other, direction, steps = best
        mover.shift(self._exact_distance(mover, other, direction, steps) * direction)
        return True

    def _sight(self, body: _Body) -> np.ndarray | None:
        """The horizontal direction from the camera to the body; None without a camera, or right above the body."""
        if self.eye is None:
            return None
        sight = ((body.low + body.high) / 2 - self.eye) * [1, 1, 0]
        length = float(np.linalg.norm(sight))
        return None if length < 1e-9 else sight / length

    def _dearness(self, direction: np.ndarray, sight: np.ndarray) -> float:
        along = float(direction @ sight)
        return math.hypot(along, self.options.sideways * math.sqrt(max(0.0, 1 - along * along)))

    def _steps_free(self, mover: _Body, other: _Body, direction: np.ndarray, limit: int) -> int | None:
        """Number of cells along `direction` until the pair shares none, at least one; None beyond `limit`."""
        for steps in range(1, limit + 1):
            if not self._common_cells(mover, other, _cells(steps * direction)):
                return steps
        return None

    def _common_cells(self, first: _Body, second: _Body, by: np.ndarray | None = None) -> int:
        """Cells inside both bodies, the first moved by so many cells."""
        (cells, origin), (others, other_origin) = self._solid(first), self._solid(second)
        origin = origin if by is None else origin + by
        low = np.maximum(origin, other_origin)
        high = np.minimum(origin + cells.shape, other_origin + others.shape)
        if (high <= low).any():
            return 0
        mine = tuple(slice(a, b) for a, b in zip(low - origin, high - origin, strict=True))
        theirs = tuple(slice(a, b) for a, b in zip(low - other_origin, high - other_origin, strict=True))
        return int(np.count_nonzero(cells[mine] & others[theirs]))

    def _solid(self, body: _Body) -> tuple[np.ndarray, np.ndarray]:
        """Cells whose centre is inside the body where it is now, and the index of the first cell."""
        key = body.place
        if key not in self._cells_of:
            low, high = np.floor(body.low / self.cell).astype(int), np.ceil(body.high / self.cell).astype(int)
            x, y, z = (int(count) for count in np.maximum(high - low, 1))
            corners = low * self.cell, (low + [x, y, z]) * self.cell
            self._cells_of[key] = (inside_grid((body.vertices, body.faces), *corners, (x, y, z)), low)
        return self._cells_of[key]

    def _exact_distance(self, mover: _Body, other: _Body, direction: np.ndarray, steps: int) -> float:
        """The distance between one cell too few and one too many at which the depth is within the tolerance.

        The depth never exceeds the distance that is still to go, so that steps of it do not overshoot.
        """
        start, gone = mover.moved, max(steps - 2, 0) * self.cell
        for _ in range(_EXACT_STEPS):
            mover.moved = start + gone * direction
            depth = self.depth(mover, other)
            if depth <= self.tolerance:
                break
            gone = min(gone + max(depth, self.tolerance), (steps + 1) * self.cell)
        mover.moved = start
        return gone

    def gaps(self) -> dict[str, float]:
        return {body.name: self.gap(body) for body in self.bodies}

    def gap(self, body: _Body) -> float:
        """Distance that the object may sink until it touches the floor or an object; negative below the floor."""
        gap = float(body.low[2]) - self.floor_z
        extent = body.high[:2] - body.low[:2]
        cell = np.maximum(extent / _COLUMNS, 1e-9)
        own = _undersides(body.vertices[body.faces], body.low[:2], cell, _COLUMNS)
        for other in self.bodies:
            overlap = np.minimum(body.high, other.high)[:2] - np.maximum(body.low, other.low)[:2]
            if other is body or overlap.min() <= 0 or other.low[2] >= body.low[2] + self.tolerance:
                continue
            tops = _tops_below(other.vertices[other.faces], body.low[:2], cell, own + self.tolerance)
            clear = (own - tops)[np.isfinite(own) & np.isfinite(tops)]
            if len(clear):
                gap = min(gap, max(float(clear.min()), 0.0))
        return gap

    def let_down(self) -> None:
        """From the lowest up, every object that floats a little sinks to what is below it."""
        for body in sorted(self.bodies, key=lambda body: float(body.low[2])):
            gap = self.gap(body)
            if body.is_movable and 0 < gap <= self.max_drop:
                body.shift(np.array([0.0, 0.0, -gap]))


# Cells along the scene's longest side, to try directions; along a pair's overlap, to measure its depth; columns below
# an object, to find what it stands on.
_CELLS, _OVERLAP_CELLS, _COLUMNS = 128, 41, 96
_EXACT_STEPS = 12


def _eye(camera: Camera | PanoramaCamera | None) -> np.ndarray | None:
    return None if camera is None else camera_center(camera).double().numpy()


def _cells(vector: np.ndarray) -> np.ndarray:
    return np.rint(vector).astype(int)


def _triple(vector: np.ndarray) -> tuple[float, float, float]:
    return float(vector[0]), float(vector[1]), float(vector[2])


def _directions(mover: _Body, other: _Body, sight: np.ndarray | None) -> list[np.ndarray]:
    """Up, away from the other's middle, eight compass directions, and to and from the camera."""
    angles = np.arange(8) * math.pi / 4
    directions = [np.array([0.0, 0.0, 1.0]), *(np.array([math.cos(a), math.sin(a), 0.0]) for a in angles)]
    if sight is not None:
        directions += [sight, -sight]
    away = ((mover.low + mover.high) - (other.low + other.high)) / 2
    away[2] = 0
    length = float(np.linalg.norm(away))
    return directions if length < 1e-9 else [*directions, away / length]


@njit(cache=True, nogil=True)
@no_type_check
def _undersides(triangles, origin, cell, count):
    """Lowest height of the triangles in each of count x count columns, infinite where there is none."""
    heights = np.full((count, count), np.inf)
    for f in range(len(triangles)):
        _column_heights(triangles[f], origin, cell, heights, heights, True)
    return heights


@njit(cache=True, nogil=True)
@no_type_check
def _tops_below(triangles, origin, cell, limit):
    """Greatest height of the triangles not above `limit` in each column, minus infinity where there is none."""
    heights = np.full(limit.shape, -np.inf)
    for f in range(len(triangles)):
        _column_heights(triangles[f], origin, cell, heights, limit, False)
    return heights


@njit(cache=True, nogil=True)
@no_type_check
def _column_heights(triangle, origin, cell, heights, limit, is_lowest):
    ax, ay = (triangle[0, 0] - origin[0]) / cell[0] - 0.5, (triangle[0, 1] - origin[1]) / cell[1] - 0.5
    bx, by = (triangle[1, 0] - origin[0]) / cell[0] - 0.5, (triangle[1, 1] - origin[1]) / cell[1] - 0.5
    cx, cy = (triangle[2, 0] - origin[0]) / cell[0] - 0.5, (triangle[2, 1] - origin[1]) / cell[1] - 0.5
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if area == 0.0:
        return
    x0, x1 = max(0, int(np.ceil(min(ax, bx, cx)))), min(heights.shape[0] - 1, int(np.floor(max(ax, bx, cx))))
    y0, y1 = max(0, int(np.ceil(min(ay, by, cy)))), min(heights.shape[1] - 1, int(np.floor(max(ay, by, cy))))
    for x in range(x0, x1 + 1):
        for y in range(y0, y1 + 1):
            u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
            v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
            w = 1.0 - u - v
            if u >= 0.0 and v >= 0.0 and w >= 0.0:
                z = u * triangle[0, 2] + v * triangle[1, 2] + w * triangle[2, 2]
                if is_lowest:
                    heights[x, y] = min(heights[x, y], z)
                elif z <= limit[x, y]:
                    heights[x, y] = max(heights[x, y], z)
