"""The lattice of a scene: cells of all chunks on one grid, so that overlapping chunks share cells exactly.

Chunks stand a whole number of sixteenths of their side apart; chunk i covers the cells [o_i, o_i + R)^3 of the scene.
The joint frame is the local frame of the first chunk: chunk sides as unit, its centre at the origin, z up.

Legend: K chunks, R cells along a chunk side, N cells.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from scenewright.errors import InputError

__all__ = ["ChunkLattice"]

_TOLERANCE_CELLS = 0.01


@dataclass(frozen=True)
class ChunkLattice:
    """Where the chunks lie on the scene's grid; cell 0 is at the low corner of the box round all chunks.

    Attributes:
        offsets: first cell of every chunk, from 0.
        low: centre of a chunk that would stand at the box's low corner, in the joint frame.
    """

    offsets: Int[Tensor, "K 3"]
    low: Float[Tensor, " 3"]
    resolution: int

    @classmethod
    def from_translations(cls, relative_translation: Float[Tensor, "K 3"], resolution: int) -> "ChunkLattice":
        """The lattice of chunks whose centres are `relative_translation` (joint frame), half to even where it matters.

        Chunks that stand no whole cells apart are moved to the nearest cell; `is_exact` tells.

        Raises:
            InputError: there is no chunk.
        """
        if len(relative_translation) == 0:
            raise InputError("Expected at least one chunk, got none; lower the number of points a chunk needs.")
        low = relative_translation.amin(0)
        return cls(((relative_translation - low) * resolution).round().long(), low, resolution)

    def is_exact(self, relative_translation: Float[Tensor, "K 3"]) -> bool:
        """Whether those chunks stand on whole cells of this lattice."""
        cells = (relative_translation - self.low) * self.resolution
        return bool((cells - self.offsets).abs().max() < _TOLERANCE_CELLS)

    @property
    def size(self) -> tuple[int, int, int]:
        """Cells of the box round all chunks."""
        x, y, z = (self.offsets.amax(0) + self.resolution).tolist()
        return x, y, z

    def scene_cells(self, chunk: int, cells: Shaped[Tensor, "N 3"]) -> Int[Tensor, "N 3"]:
        """Cells of one chunk as cells of the scene, int64."""
        return cells.long() + self.offsets[chunk].to(cells.device)

    def centres(self, cells: Int[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Centres of cells of the scene in the joint frame."""
        return (cells + 0.5) / self.resolution + (self.low.to(cells.device) - 0.5)

    def all_cells(self) -> Int[Tensor, "cells 3"]:
        """Every cell of the box, x slowest."""
        return torch.cartesian_prod(*(torch.arange(count) for count in self.size))

    def cut(self, grid: Float[Tensor, "GX GY GZ *C"], chunk: int) -> Float[Tensor, "R R R *C"]:
        """The part of a dense grid over the box that one chunk covers."""
        (x, y, z), side = self.offsets[chunk].tolist(), self.resolution
        return grid[x : x + side, y : y + side, z : z + side]
