"""Closed solids from one primitive: a loft through rings of points, with fan caps.

Boxes, prisms, turned bodies, tubes and cushions are all lofts, so every solid is watertight and wound outward by
construction. A `Shell` is (vertices [V, 3], faces [F, 3]), metres, z up.

Legend: S rings, K points of a ring.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

__all__ = ["Shell", "box", "cushion", "cylinder", "lathe", "loft", "rounded_box", "transformed", "tube"]

Numbers = Sequence[float | int] | np.ndarray


class Shell(NamedTuple):
    """One closed surface."""

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]


def loft(rings: Float[np.ndarray, "S K 3"]) -> Shell:
    """The closed surface through rings in order, capped by fans (rings must be star-shaped about their mean)."""
    rings = np.asarray(rings, dtype=np.float64)
    count, points = rings.shape[:2]
    vertices = np.concatenate([rings.reshape(-1, 3), rings[:1].mean(1), rings[-1:].mean(1)])
    here = np.arange(points)
    after = (here + 1) % points
    faces = []
    for ring in range(count - 1):
        low, high = ring * points, (ring + 1) * points
        faces.append(np.stack([low + here, low + after, high + after], 1))
        faces.append(np.stack([low + here, high + after, high + here], 1))
    bottom, top = count * points, count * points + 1
    faces.append(np.stack([after, here, np.full(points, bottom)], 1))
    last = (count - 1) * points
    faces.append(np.stack([last + here, last + after, np.full(points, top)], 1))
    triangles = np.concatenate(faces)
    corners = vertices[triangles] - vertices.mean(0)
    if np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) < 0:
        triangles = triangles[:, ::-1].copy()
    return Shell(vertices, triangles)


def box(size: Numbers, base: Numbers = (0.0, 0.0, 0.0)) -> Shell:
    """A box of `size`; `base` is the centre of its underside."""
    half_x, half_y = size[0] / 2, size[1] / 2
    square = np.array([[-half_x, -half_y], [half_x, -half_y], [half_x, half_y], [-half_x, half_y]])
    return loft(_stack(square, [(1.0, 0.0), (1.0, size[2])]) + np.asarray(base))


def rounded_box(size: Numbers, base: Numbers = (0.0, 0.0, 0.0), radius: float = 0.02, steps: int = 3) -> Shell:
    """A box with rounded vertical edges and softened top and bottom edges."""
    radius = min(radius, 0.49 * min(size))
    quarter = np.linspace(0, math.pi / 2, steps + 1)
    corners = (np.array(size[:2]) / 2 - radius) * np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    # The rounding starts at 20 degrees: a full quarter circle would shrink the end rings' arcs to single points.
    bends = np.linspace(0.35, math.pi / 2, steps)
    heights = radius * (math.cos(bends[0]) - np.cos(bends))
    levels = [*zip(np.sin(bends), heights, strict=True)]
    levels += [(arc, size[2] - height) for arc, height in reversed(levels)]
    rings = []
    for arc, height in levels:
        ring = [
            corner + radius * arc * np.stack([np.cos(quarter + turn), np.sin(quarter + turn)], 1)
            for corner, turn in zip(corners, np.arange(4) * math.pi / 2, strict=True)
        ]
        rings.append(np.column_stack([np.concatenate(ring), np.full(4 * len(quarter), height)]))
    return loft(np.stack(rings) + np.asarray(base))


def cylinder(radius: float, height: float, base: Numbers = (0.0, 0.0, 0.0), top: float | None = None) -> Shell:
    """An upright cylinder or, with another `top` radius, a truncated cone."""
    return lathe([(radius, 0.0), (radius if top is None else top, height)], base)


def lathe(
    profile: Sequence[tuple[float | int, float | int]], base: Numbers = (0.0, 0.0, 0.0), segments: int = 20
) -> Shell:
    """A body of revolution about z from (radius, height) points; a profile may go up outside and down inside."""
    angles = np.linspace(0, 2 * math.pi, segments, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], 1)
    return loft(_stack(circle, [(max(radius, 1e-4), height) for radius, height in profile]) + np.asarray(base))


def tube(path: Float[np.ndarray, "S 3"], radius: float | Numbers, segments: int = 8) -> Shell:
    """A round bar along a polyline, its rings square to the bisector of each bend."""
    path = np.asarray(path, dtype=np.float64)
    radii = np.broadcast_to(np.asarray(radius, dtype=np.float64), (len(path),))
    steps = np.diff(path, axis=0)
    steps /= np.linalg.norm(steps, axis=1, keepdims=True)
    tangents = np.concatenate([steps[:1], steps[:-1] + steps[1:], steps[-1:]])
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    side = np.cross(tangents[0], np.eye(3)[np.abs(tangents[0]).argmin()])
    side /= np.linalg.norm(side)
    angles = np.linspace(0, 2 * math.pi, segments, endpoint=False)
    rings, before = [], tangents[0]
    for point, tangent, width in zip(path, tangents, radii, strict=True):
        # Parallel transport: the rotation that takes one tangent to the next carries the ring along without twist.
        turn = np.cross(before, tangent)
        side = side + np.cross(turn, side) + np.cross(turn, np.cross(turn, side)) / (1 + before @ tangent)
        before = tangent
        rings.append(
            point + width * (np.outer(np.cos(angles), side) + np.outer(np.sin(angles), np.cross(tangent, side)))
        )
    return loft(np.stack(rings))


def cushion(size: Numbers, base: Numbers = (0.0, 0.0, 0.0), squareness: float = 4.0) -> Shell:
    """A pillow: superellipse rings that swell in the middle, filling `size`."""
    angles = np.linspace(0, 2 * math.pi, 20, endpoint=False)
    power = 2.0 / squareness
    cosine, sine = np.cos(angles), np.sin(angles)
    ring = np.stack([np.sign(cosine) * abs(cosine) ** power, np.sign(sine) * abs(sine) ** power], 1)
    ring *= 0.5 * np.asarray(size[:2])
    turns = np.linspace(-0.94, 0.94, 7) * math.pi / 2
    levels = [
        (math.cos(t) ** (2 / squareness), (0.5 + 0.5 * math.sin(t) / math.sin(turns[-1])) * size[2]) for t in turns
    ]
    return loft(_stack(ring, levels) + np.asarray(base))


def transformed(shell: Shell, yaw: float = 0.0, pitch: float = 0.0, shift: Numbers = (0.0, 0.0, 0.0)) -> Shell:
    """The shell pitched about x, then turned about z (radians), then shifted."""
    cp, sp, cy, sy = math.cos(pitch), math.sin(pitch), math.cos(yaw), math.sin(yaw)
    turn = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    return Shell(shell.vertices @ turn.T + np.asarray(shift), shell.faces)


def _stack(ring: np.ndarray, levels: Sequence[tuple[float | int, float | int]]) -> np.ndarray:
    """Copies of a flat ring, each scaled and lifted."""
    return np.stack([np.column_stack([ring * scale, np.full(len(ring), height)]) for scale, height in levels])
