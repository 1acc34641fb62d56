"""The shapes that are scored: placed triangle meshes (and, for some truths, surface points) in one z-up frame.

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
from scenewright.geometry.mesh.sample import sample_surface, triangle_areas
from scenewright.io.scene_file import load_scene
from scenewright.types import Mesh, Scene, SceneObject, merged_mesh

__all__ = ["Shape", "ShapeScene", "shapes_from_file", "shapes_from_scene", "shapes_from_test_scene"]

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
        return self.surface is None and float(triangle_areas(self.vertices, self.faces).sum()) == 0

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
    mesh = merged_mesh(item.placed_parts(torch.float64))
    vertices, faces = mesh.vertices.detach().double().cpu().numpy(), mesh.faces.cpu().numpy()
    confidence = 1.0 if item.confidence is None else float(item.confidence)
    return Shape(item.name, vertices, faces, None, confidence, tuple(item.parts))


def total_points(clouds: Sequence[Tensor]) -> Float[Tensor, "N 3"]:
    """All clouds as one."""
    return torch.cat(list(clouds)) if clouds else torch.zeros(0, 3, dtype=torch.float64)
