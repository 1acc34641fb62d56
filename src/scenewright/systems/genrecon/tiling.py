"""Where chunks stand: one layer of cubes of room height over the floor plan, overlapping by sixteenths of a side.

Whole sixteenths make chunks line up on every latent grid (16, 32, 64 cells). Height fixes the size: floor and ceiling
of one room lie inside a chunk, as in training, where chunks were 1.0 to 1.11 times as high as rooms.
Source: GenRecon, `inference/get_chunks.py`.

Legend: K chunks, s chunk side in metres. Frame: world, z up, metres.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scenewright.errors import InputError

__all__ = [
    "CHUNK_SIZE_FACTOR",
    "MAX_CHUNKS",
    "Chunks",
    "Extent",
    "chunk_centres_along",
    "chunks_with_points",
    "tile_chunks",
]

CHUNK_SIZE_FACTOR = 1.11
"""Chunk side over the height from floor to ceiling."""
_SIXTEENTHS = 16
LATTICE_CELLS = 16
# Free cells on either side of the extent, so that its border is not on a chunk's border.
_PADDING_CELLS = 3.5
MIN_OVERLAP_CELLS = 4
MIN_POINTS_PER_CHUNK = 500
MAX_CHUNKS = 1024
"""More than a hall of 70 x 70 m; memory for the surface of a larger place has no bound here."""
_MAX_TILES = 100_000
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Extent:
    """The part of the world that is reconstructed, metres."""

    x_min: float
    x_max: float
    y_min: float
    y_max: float
    z_floor: float
    z_ceiling: float

    @property
    def height(self) -> float:
        return self.z_ceiling - self.z_floor


@dataclass(frozen=True)
class Chunks:
    """Cubes of side `size`; the first one's local frame (sides as unit, centre at 0) is the joint frame."""

    centres: Float[Tensor, "K 3"]
    size: float

    @property
    def relative_translation(self) -> Float[Tensor, "K 3"]:
        """Centres in the joint frame."""
        return (self.centres - self.centres[0]) / self.size

    @property
    def chunk_from_world(self) -> Float[Tensor, "K 4 4"]:
        """World to the local frame of every chunk: p_chunk = (p - centre) / s."""
        matrix = torch.eye(4, dtype=self.centres.dtype).repeat(len(self.centres), 1, 1)
        matrix[:, :3] /= self.size
        matrix[:, :3, 3] = -self.centres / self.size
        return matrix

    @property
    def world_from_chunk(self) -> Float[Tensor, "K 4 4"]:
        matrix = torch.eye(4, dtype=self.centres.dtype).repeat(len(self.centres), 1, 1)
        matrix[:, :3, :3] *= self.size
        matrix[:, :3, 3] = self.centres
        return matrix

    def holds(self, points: Float[Tensor, "N 3"]) -> Bool[Tensor, "K N"]:
        """Which points lie in each closed cube."""
        distance = (points - self.centres[:, None]).abs()
        return (distance <= self.size / 2).all(-1)


def tile_chunks(
    extent: Extent, size: float, *, min_overlap_cells: int = MIN_OVERLAP_CELLS, lattice_cells: int = LATTICE_CELLS
) -> Chunks:
    """Chunks of side `size` over the extent, y outer and x inner; all stand on the floor (float64).

    Args:
        lattice_cells: cells of the coarsest latent along a chunk side; chunks stand whole cells apart.

    Raises:
        InputError: the size is not positive, or the extent is empty or not finite.
    """
    bounds = (extent.x_min, extent.x_max, extent.y_min, extent.y_max, extent.z_floor, size)
    if not all(map(math.isfinite, bounds)) or size <= 0 or extent.x_max < extent.x_min or extent.y_max < extent.y_min:
        raise InputError(
            f"Expected a finite extent and a positive chunk size, got {extent} and {size:g} m; check the points' "
            "scale and outliers, or give the extent."
        )
    padding = _PADDING_CELLS / _SIXTEENTHS * size
    xs, ys = (
        [
            low - padding + centre
            for centre in chunk_centres_along(high - low + 2 * padding, size, min_overlap_cells, lattice_cells)
        ]
        for low, high in ((extent.x_min, extent.x_max), (extent.y_min, extent.y_max))
    )
    if len(xs) * len(ys) > _MAX_TILES:
        raise InputError(
            f"{extent.x_max - extent.x_min:.0f} x {extent.y_max - extent.y_min:.0f} m would need {len(xs)} x {len(ys)} "
            f"chunks of {size:.2f} m; check the points' scale and outliers, or reconstruct a part of the place."
        )
    z = extent.z_floor + size / 2
    return Chunks(torch.tensor([[x, y, z] for y in ys for x in xs], dtype=torch.float64), size)


def chunk_centres_along(
    length: float, size: float, min_overlap_cells: int = MIN_OVERLAP_CELLS, lattice_cells: int = LATTICE_CELLS
) -> list[float]:
    """Centres of the fewest chunks that cover [0, length] and overlap by at least that many sixteenths of a side."""
    if length <= size:
        return [length / 2]
    widest = size * (1 - min_overlap_cells / _SIXTEENTHS) + _TOLERANCE
    count = 2
    while True:
        cells = max(1, math.ceil((length - size) / (count - 1) / (size / lattice_cells) - _TOLERANCE))
        stride = cells * size / lattice_cells
        if stride <= widest:
            return [length / 2 + (index - (count - 1) / 2) * stride for index in range(count)]
        count += 1


def chunks_with_points(
    chunks: Chunks, points: Float[Tensor, "N 3"], *, min_points: int = MIN_POINTS_PER_CHUNK
) -> Chunks:
    """The chunks whose closed cube holds at least `min_points` points.

    Raises:
        InputError: none does.
    """
    counts = torch.stack([Chunks(centre[None], chunks.size).holds(points).sum() for centre in chunks.centres])
    kept = counts >= min_points
    if not bool(kept.any()):
        raise InputError(
            f"None of {len(kept)} chunks holds {min_points} points (the fullest has {int(counts.max())}); lower the "
            "number of points a chunk needs, or filter the points less."
        )
    return replace(chunks, centres=chunks.centres[kept])
