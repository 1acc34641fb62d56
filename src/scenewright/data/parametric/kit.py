"""Collects solids by material and turns them into an asset: texture coordinates by box projection, normals by crease.

Legend: V vertices, F faces. Frame: z up, front -y, metres.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int

from scenewright.data.materials import sample_material
from scenewright.data.parametric.solids import Shell
from scenewright.geometry.mesh.area_vectors import area_vectors
from scenewright.types import Mesh, PBRMaterial

__all__ = ["Kit", "corner_normals", "finish_mesh"]

CREASE_DEG = 42.0


class Kit:
    """The generator of one object and the solids built so far, grouped by material slot."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self._materials: dict[str, PBRMaterial] = {}
        self._shells: dict[str, list[Shell]] = {}

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.uniform() < probability)

    def material(self, slot: str, *kinds: str) -> str:
        """Names a slot and gives it a random material of one of the kinds; returns the slot's name."""
        self._materials[slot] = sample_material(kinds[int(self.rng.integers(len(kinds)))], self.rng)
        return slot

    def add(self, slot: str, *shells: Shell) -> None:
        self._shells.setdefault(slot, []).extend(shells)

    def shells(self) -> list[Shell]:
        return [shell for shells in self._shells.values() for shell in shells]

    def parts(self) -> tuple[Mesh, ...]:
        """One mesh per slot, moved so that the object's box is centred on the origin and stands on z = 0."""
        points = np.concatenate([shell.vertices for shell in self.shells()])
        low, high = points.min(0), points.max(0)
        shift = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
        tile = self.uniform(0.25, 0.8)
        meshes = []
        for slot, shells in self._shells.items():
            starts = np.cumsum([0, *(len(shell.vertices) for shell in shells[:-1])])
            vertices = np.concatenate([shell.vertices for shell in shells]) - shift
            faces = np.concatenate([shell.faces + start for shell, start in zip(shells, starts, strict=True)])
            meshes.append(finish_mesh(vertices, faces, self._materials[slot], tile))
        return tuple(meshes)


def finish_mesh(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], material: PBRMaterial, tile_m: float
) -> Mesh:
    """A render-ready mesh: corners are split where the box-projected texture or a crease needs it.

    Args:
        vertices: welded corners.
        faces: counter-clockwise from outside.
        material: its texture repeats every `tile_m` metres.
        tile_m: side of one texture repeat.
    """
    corners = vertices[faces]
    normals = area_vectors(corners)
    unit = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
    axis = np.abs(unit).argmax(1)
    smooth = corner_normals(faces, normals, unit)
    rows = np.column_stack(
        [faces.reshape(-1), np.repeat(axis, 3), np.round(smooth.reshape(-1, 3) * 64).astype(np.int64)]
    )
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    corners = vertices[faces.reshape(-1)[first]]
    # u and v of the face's dominant axis; v points down, as in glTF, so vertical textures stand upright.
    planes = np.array([[1, 2], [0, 2], [0, 1]])[np.repeat(axis, 3)[first]]
    uv = np.take_along_axis(corners, planes, axis=1) / tile_m * np.array([1.0, -1.0])
    return Mesh(
        vertices=torch.from_numpy(corners.astype(np.float32)),
        faces=torch.from_numpy(inverse.reshape(-1, 3).astype(np.int64)),
        vertex_normals=torch.from_numpy(smooth.reshape(-1, 3)[first].astype(np.float32)),
        uv=torch.from_numpy(uv.astype(np.float32)),
        material=material,
    )


def corner_normals(faces: np.ndarray, normals: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Per corner [F, 3, 3]: area-weighted mean over the faces around its vertex that lie within the crease angle."""
    corner_vertex = faces.reshape(-1)
    order = np.argsort(corner_vertex, kind="stable")
    counts = np.bincount(corner_vertex)
    starts = np.concatenate([[0], np.cumsum(counts)])
    degree = counts[corner_vertex]
    # All (corner, neighbouring face) pairs, flattened.
    corner = np.repeat(np.arange(len(corner_vertex)), degree)
    offset = np.arange(len(corner)) - np.repeat(np.cumsum(degree) - degree, degree)
    other = order[starts[corner_vertex[corner]] + offset] // 3
    own = corner // 3
    close = np.einsum("ni,ni->n", unit[own], unit[other]) > math.cos(math.radians(CREASE_DEG))
    total = np.zeros((len(corner_vertex), 3))
    np.add.at(total, corner[close], normals[other[close]])
    length = np.linalg.norm(total, axis=1, keepdims=True)
    total = np.where(length > 1e-20, total / np.maximum(length, 1e-20), np.repeat(unit, 3, axis=0))
    return total.reshape(-1, 3, 3)
