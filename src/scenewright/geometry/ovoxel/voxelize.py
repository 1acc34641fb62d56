"""The lattice that meshes are voxelised on, and the checks and normalisation that come before.

Legend: V vertices, F faces. Frame: any; a lattice covers [low_corner, low_corner + cells * voxel_size] on each axis,
voxel (i, j, k) spans [i, i + 1) * voxel_size from the low corner.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.mesh.parts import check_mesh
from scenewright.types import Mesh

__all__ = ["Lattice", "check_surface", "fit_unit_cube"]

# The longest side that int32 voxel coordinates and the brick index handle with room to spare.
MAX_CELLS = 8192
# Leaves the surface strictly inside the cube, as the published data preparation does
# (microsoft/TRELLIS.2 trellis2/pipelines/trellis2_texturing.py).
UNIT_CUBE_FILL = 0.99999


@dataclass(frozen=True)
class Lattice:
    """An axis-aligned grid of equal voxels.

    `low_corner` and `voxel_size` are rounded to float32 as in the published converter, where ties depend on it.
    """

    low_corner: tuple[float, float, float]
    voxel_size: tuple[float, float, float]
    cells: tuple[int, int, int]

    def __post_init__(self) -> None:
        if not all(1 <= count <= MAX_CELLS for count in self.cells):
            raise InputError(
                f"Expected 1 to {MAX_CELLS} grid cells per axis, got {self.cells}; choose another resolution."
            )
        if not all(np.isfinite(size) and size > 0 for size in self.voxel_size):
            raise InputError(
                f"Expected positive finite voxel sizes, got {self.voxel_size}; check the bounds of the grid."
            )

    @classmethod
    def cube(cls, resolution: int) -> "Lattice":
        """The lattice of a resolution^3 grid over [-0.5, 0.5]^3."""
        return cls.of_bounds(((-0.5, -0.5, -0.5), (0.5, 0.5, 0.5)), cells=resolution)

    @classmethod
    def of_bounds(
        cls,
        bounds: Sequence[Sequence[float]],
        *,
        cells: int | Sequence[int] | None = None,
        voxel_size: float | Sequence[float] | None = None,
    ) -> "Lattice":
        """The lattice over `bounds` = (low corner, high corner), from the number of cells or the size of a voxel.

        With `voxel_size`, the number of cells is rounded to the nearest whole number.

        Raises:
            InputError: neither is given, or the numbers make no grid.
        """
        low, high = np.asarray(bounds, np.float32)
        extent = high - low
        if cells is not None:
            counts = np.broadcast_to(np.asarray(cells, np.int64), 3)
            if (counts < 1).any():
                raise InputError(f"Expected at least one grid cell per axis, got {counts.tolist()}.")
            size = (extent / counts).astype(np.float32)
        elif voxel_size is not None:
            size = np.broadcast_to(np.asarray(voxel_size, np.float32), 3)
            if not (size > 0).all():
                raise InputError(f"Expected positive voxel sizes, got {size.tolist()}.")
            counts = np.round(extent / size).astype(np.int64)
        else:
            raise InputError("Expected the number of cells or the voxel size of the grid, got neither.")
        return cls(_triple(low), _triple(size), (int(counts[0]), int(counts[1]), int(counts[2])))

    @classmethod
    def around(
        cls,
        vertices: Float[Tensor, "V 3"],
        *,
        cells: int | Sequence[int] | None = None,
        voxel_size: float | Sequence[float] | None = None,
    ) -> "Lattice":
        """The lattice over the vertices' bounds, padded evenly: to whole voxels, or by extent/(cells - 1) in all."""
        points = vertices.detach().cpu().numpy().astype(np.float32)
        low, high = points.min(0), points.max(0)
        extent = high - low
        if voxel_size is not None:
            size = np.broadcast_to(np.asarray(voxel_size, np.float32), 3)
            padding = np.ceil(extent / size) * size - extent
        else:
            padding = extent / np.maximum(np.asarray(cells, np.float32) - 1, 1)
        bounds = np.stack([low - padding * np.float32(0.5), high + padding * np.float32(0.5)])
        return cls.of_bounds(bounds.tolist(), cells=cells, voxel_size=voxel_size)


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def check_surface(mesh: Mesh) -> None:
    """Refuse a mesh that cannot be voxelised; triangles without area are fine (they cross nothing).

    Raises:
        InputError: no faces, a face names a missing vertex, or a vertex is NaN or infinite.
    """
    if len(mesh.faces) == 0:
        raise InputError("Expected a mesh with at least one triangle, got none; check that the file holds geometry.")
    check_mesh(mesh)


def fit_unit_cube(vertices: Float[Tensor, "V 3"]) -> tuple[Float[Tensor, "V 3"], Float[Tensor, " 3"], float]:
    """Vertices centred and scaled so that their bounds just fit [-0.5, 0.5]^3, with the centre and scale used.

    The inverse is `fitted / scale + centre`.

    Raises:
        InputError: the vertices have no extent, or it cannot be divided by (an absurd scale).
    """
    if len(vertices) == 0:
        raise InputError("Expected a mesh with vertices, got none.")
    low, high = vertices.amin(0), vertices.amax(0)
    centre = (low + high) / 2
    extent = float((high - low).max())
    if not np.isfinite(extent) or extent < 1e-30:
        raise InputError(f"Expected a mesh with a finite size above zero, got an extent of {extent:g}.")
    scale = UNIT_CUBE_FILL / extent
    return (vertices - centre) * scale, centre, scale
