"""Points spread evenly over a surface.

Legend: V vertices, F faces, N points. Frame: that of the vertices.
"""

import numpy as np
from jaxtyping import Float, Int

from scenewright.geometry.mesh.area_vectors import area_vectors

__all__ = ["sample_faces", "sample_surface", "triangle_areas"]


def triangle_areas(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> Float[np.ndarray, " F"]:
    """Area of every triangle, in the precision of the vertices."""
    return np.linalg.norm(area_vectors(vertices[faces]), axis=1) / 2


def sample_surface(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], num_points: int, rng: np.random.Generator
) -> Float[np.ndarray, "N 3"]:
    """`num_points` points uniform by area, in double precision; none if the mesh has no area."""
    return sample_faces(vertices, faces, num_points, rng)[0]


def sample_faces(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], num_points: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "N 3"], Int[np.ndarray, " N"]]:
    """The points of `sample_surface`, and the face that each lies on."""
    areas = triangle_areas(vertices, faces)
    if areas.sum() == 0:
        return np.zeros((0, 3)), np.zeros(0, dtype=np.int64)
    # Stratified along the cumulated area: less noise than independent draws, still uniform.
    steps = (np.arange(num_points) + rng.random(num_points)) / num_points * areas.sum()
    face = np.minimum(np.searchsorted(np.cumsum(areas), steps, side="right"), len(faces) - 1)
    u, v = rng.random((2, num_points, 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    a, b, c = (vertices[faces[face, i]].astype(np.float64) for i in range(3))
    return a + u * (b - a) + v * (c - a), face
