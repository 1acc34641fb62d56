"""Sampling overlapping chunks together: after every step, copies of one cell in several chunks take one value.

An Euler step followed by the mean over copies equals an Euler step along the mean of their velocities, as long as the
copies start equal; so the synchronisation is one more composer of velocities, for the same Euler loop.
Source: MultiDiffusion (Bar-Tal et al. 2023); GenRecon, `genrecon/pipelines/samplers/multi_diff_orchestrator.py`.

Legend: K chunks, T rows of all chunks together, U distinct cells, C channels, R cells along a chunk side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from scenewright.errors import InputError
from scenewright.samplers.guidance import Velocity

__all__ = ["Overlap", "interior_rows", "synchronised"]


@dataclass(frozen=True)
class Overlap:
    """Which rows of the chunks are copies of one cell, and which of them have a say in its value.

    Attributes:
        cells: distinct cells (x, y, z), lexicographic.
        cell_of_row: for every row of every chunk, its cell.
        contributes: rows whose value counts; None for all. A cell without any leaves each copy its own value.
    """

    cells: Int[Tensor, "U 3"]
    cell_of_row: Int[Tensor, " T"]
    contributes: Bool[Tensor, " T"] | None = None

    @classmethod
    def of_chunks(
        cls, chunks: Sequence[Shaped[Tensor, "_ 3"]], contributes: Sequence[Bool[Tensor, " _"]] | None = None
    ) -> "Overlap":
        """The overlap of chunks given as cells of one lattice; a chunk may be empty.

        Raises:
            InputError: a chunk lists a cell twice.
        """
        for index, rows in enumerate(chunks):
            if len(rows) != len(rows.unique(dim=0)):
                raise InputError(f"Chunk {index} lists a cell twice; give every cell of a chunk once.")
        cells, cell_of_row = torch.cat(list(chunks)).long().unique(dim=0, return_inverse=True)
        return cls(cells, cell_of_row, None if contributes is None else torch.cat(list(contributes)))

    def to(self, device: torch.device | str) -> "Overlap":
        said = None if self.contributes is None else self.contributes.to(device)
        return Overlap(self.cells.to(device), self.cell_of_row.to(device), said)

    def copied(self, values: Shaped[Tensor, " U *C"]) -> Shaped[Tensor, " T *C"]:
        """One value per cell, copied to all its rows: noise that the chunks share."""
        return values[self.cell_of_row]

    def mean(self, rows: Float[Tensor, "T C"]) -> Float[Tensor, "U C"]:
        """Mean of the contributing copies of every cell; NaN where there is none."""
        cell, values = self.cell_of_row, rows
        if self.contributes is not None:
            cell, values = cell[self.contributes], rows[self.contributes]
        total = values.new_zeros(len(self.cells), rows.shape[1], dtype=torch.promote_types(rows.dtype, torch.float32))
        total = total.index_add(0, cell, values.to(total.dtype))
        return total / torch.bincount(cell, minlength=len(self.cells))[:, None]

    def agreed(self, rows: Float[Tensor, "T C"]) -> Float[Tensor, "T C"]:
        """Every row replaced by the mean of its cell; rows of cells without a contributor stay."""
        means = self.copied(self.mean(rows))
        if self.contributes is None:
            return means
        held = torch.zeros(len(self.cells), dtype=torch.bool, device=rows.device)
        held[self.cell_of_row[self.contributes]] = True
        return torch.where(self.copied(held)[:, None], means, rows)


def interior_rows(cells: Shaped[Tensor, "N 3"], resolution: int, width: int) -> Bool[Tensor, " N"]:
    """Cells of a chunk at least `width` cells away from its x and y faces; z faces (floor, ceiling) do not count."""
    xy = cells[:, :2]
    return ((xy >= width) & (xy < resolution - width)).all(1)


def synchronised(velocity: Velocity, overlap: Overlap) -> Velocity:
    """`velocity` with the copies of every cell agreed; the state must start with equal copies.

    Args:
        velocity: on the rows `[T, C]` of all chunks, or on dense chunks `[K, C, R, R, R]` (x slowest).
    """

    def agreed(x: Tensor, t: float, step: int) -> Tensor:
        v = velocity(x, t, step)
        if v.ndim == 2:
            return overlap.agreed(v)
        rows = overlap.agreed(v.flatten(2).transpose(1, 2).flatten(0, 1))
        return rows.unflatten(0, (len(v), -1)).transpose(1, 2).reshape(v.shape)

    return agreed
