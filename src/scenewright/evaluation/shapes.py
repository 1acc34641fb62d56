"""What is scored: placed triangle meshes (and, for some truths, surface points) in one z-up frame.

Points are drawn uniformly by area from a generator seeded per object, so a score depends on nothing but its inputs.

Legend: V vertices, F faces, N points.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.data.probe_scenes import TestScene
from scenewright.errors import InputError
from scenewright.io.scene_file import load_scene
from scenewright.types import Mesh, Scene, SceneObject

__all__ = ["Shape", "ShapeScene", "sample_surface", "shapes_from_file", "shapes_from_scene", "shapes_from_test_scene"]

Vertices = Float[np.ndarray, "_ 3"]
Faces = Int[np.ndarray, "_ 3"]


@dataclass(frozen=True)
class Shape:
    """One object in the world frame. `surface` replaces sampling where the truth comes with its own points."""

    name: str
    vertices: Vertices
    faces: Faces
    surface: Float[Tensor, "N 3"] | None = None
    confidence: float = 1.0
    parts: tuple[Mesh, ...] = ()

    @property
    def is_empty(self) -> bool:
        """There is neither a face with area nor a stored point."""
        return self.surface is None and float(_areas(self.vertices, self.faces).sum()) == 0

    def sample(self, num_points: int, seed: int) -> Float[Tensor, "N 3"]:
        """Points of the surface: `num_points` drawn by area, or the stored ones (at most `num_points` of them)."""
        # Two shapes must not share their draws: equal meshes would then score a distance of exactly zero.
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode()), self.surface is None])
        if self.surface is None:
            return torch.from_numpy(sample_surface(self.vertices, self.faces, num_points, rng))
        if len(self.surface) <= num_points:
            return self.surface.double()
        return self.surface.double()[torch.from_numpy(rng.choice(len(self.surface), num_points, replace=False))]


@dataclass(frozen=True)
class ShapeScene:
    """The shapes of one scene; `warnings` are sentences found while reading."""

    name: str
    shapes: tuple[Shape, ...]
    warnings: tuple[str, ...] = ()


def sample_surface(
    vertices: Vertices, faces: Faces, num_points: int, rng: np.random.Generator
) -> Float[np.ndarray, "N 3"]:
    """`num_points` points uniform by area; none if the mesh has no area."""
    areas = _areas(vertices, faces)
    if areas.sum() == 0:
        return np.zeros((0, 3))
    # Stratified along the cumulated area: less noise than independent draws, still uniform.
    steps = (np.arange(num_points) + rng.random(num_points)) / num_points * areas.sum()
    face = np.minimum(np.searchsorted(np.cumsum(areas), steps, side="right"), len(faces) - 1)
    u, v = rng.random((2, num_points, 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    a, b, c = (vertices[faces[face, i]].astype(np.float64) for i in range(3))
    return a + u * (b - a) + v * (c - a)


def shapes_from_scene(scene: Scene, name: str) -> ShapeScene:
    """All objects of a scene with meshes baked into the world frame; splats have no surface and are left out."""
    shapes, warnings = [], []
    for item in scene.objects:
        if not item.parts and item.splats is not None:
            warnings.append(f"Object '{item.name}' has splats only; geometry metrics need a mesh.")
        shape = _shape(item)
        finite = np.isfinite(shape.vertices).all()
        if not finite:
            warnings.append(f"Object '{item.name}' has coordinates that are not finite; it counts as empty.")
            shape = Shape(item.name, np.zeros((0, 3)), np.zeros((0, 3), np.int64), confidence=shape.confidence)
        elif shape.is_empty:
            warnings.append(f"Object '{item.name}' is empty; it counts as missing.")
        shapes.append(shape)
    names = [shape.name for shape in shapes]
    repeated = sorted({n for n in names if names.count(n) > 1})
    if repeated:
        warnings.append(f"Name '{repeated[0]}' is used more than once; objects are matched by place, not by name.")
    return ShapeScene(name, tuple(shapes), tuple(warnings))


def shapes_from_file(path: str | Path, name: str) -> ShapeScene:
    """The shapes of a scene file (see `scenewright.io.scene_file.load_scene`).

    Raises:
        InputError: the file cannot be read or holds no object.
    """
    scene = load_scene(path)
    if not scene.objects:
        raise InputError(f"'{path}' holds no object; export the scene's meshes into it.")
    return shapes_from_scene(scene, name)


def shapes_from_test_scene(scene: TestScene) -> ShapeScene:
    """The annotated objects: meshes from `gt.glb`, surface points from `gt_points.npz`; room parts are left out."""
    meshes = {item.name: item for item in scene.truth.objects}
    shapes = []
    for item in scene.objects:
        if item.name not in meshes:
            raise InputError(f"'{scene.folder}' has no mesh '{item.name}' in its gt.glb; the folder is incomplete.")
        shape = _shape(meshes[item.name])
        shapes.append(Shape(shape.name, shape.vertices, shape.faces, surface=item.points))
    return ShapeScene(scene.name, tuple(shapes))


def _shape(item: SceneObject) -> Shape:
    matrix = item.world_from_object.detach().double().cpu()
    vertices, faces, start = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], 0
    for part in item.parts:
        placed = part.vertices.detach().double().cpu() @ matrix[:3, :3].T + matrix[:3, 3]
        vertices.append(placed.numpy())
        faces.append(part.faces.detach().cpu().numpy().astype(np.int64) + start)
        start += len(placed)
    confidence = 1.0 if item.confidence is None else float(item.confidence)
    return Shape(item.name, np.concatenate(vertices), np.concatenate(faces), None, confidence, tuple(item.parts))


def _areas(vertices: Vertices, faces: Faces) -> Float[np.ndarray, " F"]:
    if len(faces) == 0:
        return np.zeros(0)
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def total_points(clouds: Sequence[Tensor]) -> Float[Tensor, "N 3"]:
    """All clouds as one."""
    return torch.cat(list(clouds)) if clouds else torch.zeros(0, 3, dtype=torch.float64)
