"""A shape's fingerprint: occupied cells of a coarse grid, compared under quarter turns and mirroring.

Two copies of a model agree whatever their file, unit, quarter turn or tessellation is. The grid is filled by
area-weighted samples with a fixed generator, so equal geometry gives equal bits.

Legend: V vertices, F faces, R grid side. Frame: canonical (z up), longest side fills the grid.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from scenewright.geometry.mesh.area_vectors import area_vectors

__all__ = ["FINGERPRINT_SIDE", "fingerprint", "quarter_turns"]

FINGERPRINT_SIDE = 24
_SAMPLES = 30_000


def fingerprint(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> Bool[np.ndarray, "R R R"]:
    """Occupied cells of the surface; all empty for a mesh without area."""
    grid = np.zeros((FINGERPRINT_SIDE,) * 3, dtype=bool)
    if not len(faces):
        return grid
    corners = np.asarray(vertices, dtype=np.float64)[faces]
    areas = np.linalg.norm(area_vectors(corners), axis=1)
    if not areas.sum() > 0:
        return grid
    used = corners.reshape(-1, 3)
    low, high = used.min(0), used.max(0)
    rng = np.random.default_rng(0)
    face = np.searchsorted(np.cumsum(areas) / areas.sum(), rng.uniform(size=_SAMPLES), side="right")
    face = np.minimum(face, len(areas) - 1)
    u, v = np.sqrt(rng.uniform(size=_SAMPLES)), rng.uniform(size=_SAMPLES)
    a, b, c = corners[face].swapaxes(0, 1)
    points = a * (1 - u)[:, None] + b * (u * (1 - v))[:, None] + c * (u * v)[:, None]
    unit = (points - (low + high) / 2) / max(float((high - low).max()), 1e-12) + 0.5
    cells = np.clip((unit * FINGERPRINT_SIDE).astype(int), 0, FINGERPRINT_SIDE - 1)
    grid[tuple(cells.T)] = True
    return grid


def quarter_turns(grid: Bool[np.ndarray, "R R R"]) -> Bool[np.ndarray, "8 R R R"]:
    """The grid under the four quarter turns about z, plain and mirrored."""
    turns = [np.rot90(grid, count, axes=(0, 1)) for count in range(4)]
    return np.stack([*turns, *(turn[::-1] for turn in turns)])
