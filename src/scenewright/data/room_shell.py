"""The fixed parts of a room: floor, ceiling and walls with openings, doors and windows, as named meshes.

The floor is a counter-clockwise polygon with axis-parallel sides (rectangle or L). Walls have a thickness and turn
their inner side to the room; an opening is a rectangle cut out of its wall. Frame: world, z up, metres, floor at z = 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from scenewright.data.materials import sample_material
from scenewright.data.parametric.kit import finish_mesh
from scenewright.data.parametric.solids import box
from scenewright.types import Mesh, Opening, PBRMaterial, Room

__all__ = ["RoomShell", "build_shell", "ear_triangles", "polygon_contains"]

WALL_THICKNESS_M = 0.18


@dataclass(frozen=True)
class RoomShell:
    """Corners in the ground plane (counter-clockwise), height, and what is cut into the walls."""

    corners: Float[np.ndarray, "N 2"]
    height: float
    openings: tuple[Opening, ...] = ()

    @property
    def room(self) -> Room:
        """The shell as scenes and their files hold it."""
        return Room(torch.from_numpy(self.corners).float(), self.height, self.openings)

    def wall(self, index: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Start, unit direction and length of a wall; the room lies on its left."""
        start, end = self.corners[index], self.corners[(index + 1) % len(self.corners)]
        length = float(np.linalg.norm(end - start))
        return start, (end - start) / length, length


def polygon_contains(corners: Float[np.ndarray, "N 2"], points: Float[np.ndarray, "M 2"]) -> np.ndarray:
    """Which points lie inside a polygon (even-odd rule)."""
    inside = np.zeros(len(points), dtype=bool)
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        crosses = (a[1] > points[:, 1]) != (b[1] > points[:, 1])
        if a[1] != b[1]:
            x = a[0] + (points[:, 1] - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
            inside ^= crosses & (x > points[:, 0])
    return inside


def ear_triangles(corners: Float[np.ndarray, "N 2"]) -> list[tuple[int, int, int]]:
    """Triangles of a simple counter-clockwise polygon, by cutting ears."""
    rest = list(range(len(corners)))
    triangles = []
    while len(rest) > 3:
        for position in range(len(rest)):
            before, here, after = (rest[(position + step) % len(rest)] for step in (-1, 0, 1))
            a, b, c = corners[before], corners[here], corners[after]
            if (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) <= 1e-12:
                continue
            others = corners[[i for i in rest if i not in (before, here, after)]]
            if not _closed_triangle_contains(a, b, c, others).any():
                triangles.append((before, here, after))
                rest.pop(position)
                break
        else:
            break
    return [*triangles, (rest[0], rest[1], rest[2])]


def _closed_triangle_contains(a: np.ndarray, b: np.ndarray, c: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which points lie in a counter-clockwise triangle or on its rim (a corner on the cut would leave a flat ear)."""
    inside = np.ones(len(points), dtype=bool)
    for start, end in ((a, b), (b, c), (c, a)):
        edge, offset = end - start, points - start
        inside &= edge[0] * offset[:, 1] - edge[1] * offset[:, 0] >= -1e-9
    return inside


def build_shell(shell: RoomShell, rng: np.random.Generator) -> list[tuple[str, Mesh]]:
    """Named meshes `floor`, `ceiling`, `wall_i` and `opening_i`."""
    triangles = np.array(ear_triangles(shell.corners))
    flat = np.column_stack([shell.corners, np.zeros(len(shell.corners))])
    floor = finish_mesh(flat, triangles, sample_material("floor", rng), float(rng.uniform(0.5, 1.4)))
    parts = [("floor", floor)]
    lifted = flat + np.array([0, 0, shell.height])
    parts.append(("ceiling", finish_mesh(lifted, triangles[:, ::-1].copy(), sample_material("ceiling", rng), 1.0)))
    paint, tile = sample_material("wall", rng), float(rng.uniform(0.4, 1.2))
    for index in range(len(shell.corners)):
        holes = [opening for opening in shell.openings if opening.wall == index]
        parts.append((f"wall_{index}", _wall(shell, index, holes, paint, tile)))
    wood, glow = sample_material("lacquer", rng), PBRMaterial(emissive_factor=(1.0, 1.0, 1.0), name="daylight")
    for number, opening in enumerate(shell.openings):
        parts.append((f"opening_{number}", _frame(shell, opening, wood)))
        if opening.kind == "window":
            parts.append((f"outside_{number}", _pane(shell, opening, glow)))
    return parts


def _cells(length: float, height: float, holes: Sequence[Opening]) -> list[tuple[float, float, float, float]]:
    """The wall as rectangles (start, end, low, high) without its openings."""
    cells, at = [], 0.0
    for hole in sorted(holes, key=lambda opening: opening.start):
        cells.append((at, hole.start, 0.0, height))
        cells.append((hole.start, hole.end, 0.0, hole.low))
        cells.append((hole.start, hole.end, hole.high, height))
        at = hole.end
    cells.append((at, length, 0.0, height))
    return [cell for cell in cells if cell[1] - cell[0] > 1e-6 and cell[3] - cell[2] > 1e-6]


def _wall(shell: RoomShell, index: int, holes: Sequence[Opening], paint: PBRMaterial, tile: float) -> Mesh:
    start, along, length = shell.wall(index)
    outward = np.array([along[1], -along[0]])
    vertices: list[np.ndarray] = []
    faces: list[np.ndarray] = []

    def quad(a: np.ndarray, b: np.ndarray, low: float, high: float) -> None:
        base = 4 * len(vertices)
        vertices.append(np.array([[*a, low], [*b, low], [*b, high], [*a, high]]))
        # The room is on the left of a wall's direction, so this winding faces the room.
        faces.append(np.array([[0, 2, 1], [0, 3, 2]]) + base)

    for first, last, low, high in _cells(length, shell.height, holes):
        quad(start + along * first, start + along * last, low, high)
    deep = outward * WALL_THICKNESS_M
    for hole in holes:
        a, b = start + along * hole.start, start + along * hole.end
        quad(a, a + deep, hole.low, hole.high)
        quad(b + deep, b, hole.low, hole.high)
        for level, order in ((hole.low, 1), (hole.high, -1)):
            base = 4 * len(vertices)
            vertices.append(np.array([[*a, level], [*b, level], [*(b + deep), level], [*(a + deep), level]]))
            faces.append(np.array([[0, 2, 1], [0, 3, 2]])[:, ::order] + base)
    return finish_mesh(np.concatenate(vertices), np.concatenate(faces), paint, tile)


def _oriented(shell: RoomShell, opening: Opening, shells: list, material: PBRMaterial) -> Mesh:
    """Solids given along the wall (x), outward (y) and up, placed at the opening's start."""
    start, along, _ = shell.wall(opening.wall)
    outward = np.array([along[1], -along[0]])
    starts = np.cumsum([0, *(len(solid.vertices) for solid in shells[:-1])])
    local = np.concatenate([solid.vertices for solid in shells])
    faces = np.concatenate([solid.faces + first for solid, first in zip(shells, starts, strict=True)])
    ground = start + local[:, :1] * along + local[:, 1:2] * outward
    # (along, outward, up) is a left-handed triple, so the winding turns.
    return finish_mesh(np.column_stack([ground, local[:, 2]]), faces[:, ::-1].copy(), material, 0.5)


def _frame(shell: RoomShell, opening: Opening, material: PBRMaterial) -> Mesh:
    """A door leaf with frame and handle, or a window's frame with its bars."""
    width, height = opening.end - opening.start, opening.high - opening.low
    middle, bar, deep = opening.start + width / 2, 0.06, WALL_THICKNESS_M
    parts = [
        box((bar, deep + 0.02, height), (opening.start + bar / 2, deep / 2, opening.low)),
        box((bar, deep + 0.02, height), (opening.end - bar / 2, deep / 2, opening.low)),
        box((width - 2 * bar, deep + 0.02, bar), (middle, deep / 2, opening.high - bar)),
    ]
    inner = width - 2 * bar
    if opening.kind == "door":
        parts.append(box((inner, 0.04, height - bar), (middle, deep * 0.5, opening.low)))
        parts.append(box((0.11, 0.05, 0.02), (opening.end - bar - 0.1, deep * 0.5 - 0.045, opening.low + 1.02)))
    else:
        parts.append(box((inner, deep + 0.02, bar), (middle, deep / 2, opening.low)))
        panes = max(1, math.ceil(inner / 0.9))
        for index in range(1, panes):
            x = opening.start + bar + inner * index / panes
            parts.append(box((0.05, 0.06, height - 2 * bar), (x, deep / 2, opening.low + bar)))
    return _oriented(shell, opening, parts, material)


def _pane(shell: RoomShell, opening: Opening, material: PBRMaterial) -> Mesh:
    """The bright plane behind a window."""
    width, height = opening.end - opening.start, opening.high - opening.low
    plane = box((width, 0.004, height), (opening.start + width / 2, WALL_THICKNESS_M + 0.02, opening.low))
    return _oriented(shell, opening, [plane], material)
