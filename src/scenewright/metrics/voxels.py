"""Agreement of occupied cells: overlap of two grids, and pairing of parts by the centres of their cells.

Source: naver/inspace eval/pipeline/compute_metrics.py (InSpace's scene and asset metrics).

Legend: N predicted cells, M true cells. Cells that come twice count once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Shaped
from torch import Tensor

__all__ = ["PartMatch", "VoxelOverlap", "match_parts", "voxel_overlap"]


@dataclass(frozen=True)
class VoxelOverlap:
    """Sizes of two sets of cells and of what they share; ratios of empty sets are 0."""

    shared: int
    predicted: int
    true: int

    @property
    def iou(self) -> float:
        return self.shared / max(self.predicted + self.true - self.shared, 1)

    @property
    def precision(self) -> float:
        return self.shared / max(self.predicted, 1)

    @property
    def recall(self) -> float:
        return self.shared / max(self.true, 1)

    @property
    def f1(self) -> float:
        return 2 * self.shared / max(self.predicted + self.true, 1)


@dataclass(frozen=True)
class PartMatch:
    """A predicted and a true part that stand for each other; `distance` between their centres, in cells."""

    predicted: int
    true: int
    distance: float


def voxel_overlap(predicted: Shaped[Tensor, "N 3"], true: Shaped[Tensor, "M 3"]) -> VoxelOverlap:
    """Overlap of two sets of cells of one grid."""
    first, second = (set(map(tuple, cells.tolist())) for cells in (predicted, true))
    return VoxelOverlap(len(first & second), len(first), len(second))


def match_parts(
    predicted: Sequence[Shaped[Tensor, "_ 3"]], true: Sequence[Shaped[Tensor, "_ 3"]], max_distance: float
) -> list[PartMatch]:
    """Pairs of parts, nearest centres first, each part once, none further apart than `max_distance` cells.

    A part without cells is never matched. InSpace's limit is 0.3 of the grid's side.
    """
    distances = torch.full((len(predicted), len(true)), torch.inf, dtype=torch.float64)
    for a, first in enumerate(predicted):
        for b, second in enumerate(true):
            if len(first) and len(second):
                distances[a, b] = (first.double().mean(0) - second.double().mean(0)).norm()
    matches = []
    while distances.numel() and (nearest := float(distances.min())) <= max_distance:
        a, b = divmod(int(distances.argmin()), len(true))
        matches.append(PartMatch(a, b, nearest))
        distances[a], distances[:, b] = torch.inf, torch.inf
    return matches
