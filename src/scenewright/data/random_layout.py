"""I-Scene's non-semantic random layout: discs on the ground by variable-radius Poisson-disk sampling.

Every object is a disc (half the diagonal of its footprint). Discs are placed largest first at the first random
candidate that keeps `r_i + r_j + gap` from all others; a region that is too tight grows by ten percent. Source:
I-Scene, supplement ("random non-semantic scenes"); numbers the text leaves open are defaults of `RandomLayoutConfig`.
Objects stacked on tables: see `support_surface.py`.

Legend: N objects, K candidates. Frame: ground plane of the z-up world, (x, y).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from scenewright.errors import InputError

__all__ = ["DEFAULT_LAYOUT", "DiskGrid", "Layout", "RandomLayoutConfig", "placement_order", "sample_layout"]


@dataclass(frozen=True)
class RandomLayoutConfig:
    """Numbers of the layout; the object count and the growth are published, the others are our choice.

    `gap_factor` multiplies the mean radius to give the gap. `region_ratio` is the first region's area over the total
    disc area. `size_range` is the scale drawn log-uniformly for an asset normalised to unit diagonal.
    """

    num_objects: tuple[int, int] = (2, 12)
    growth: float = 1.10
    gap_factor: tuple[float, float] = (0.05, 0.6)
    size_range: tuple[float, float] = (0.5, 1.5)
    candidates: int = 200
    region_ratio: float = 2.5
    max_enlargements: int = 50


DEFAULT_LAYOUT = RandomLayoutConfig()
UNPLACED = -9999.0


@dataclass(frozen=True)
class Layout:
    """Disc centres in the order of the input; `indices` lists the objects that fit (all, as a rule)."""

    centres: Float[np.ndarray, "N 2"]
    order: Int[np.ndarray, " N"]
    indices: tuple[int, ...]
    gap: float
    region: float


class DiskGrid:
    """Placed discs in square cells of side (smallest radius + gap) / sqrt(2), so a cell holds at most one centre."""

    def __init__(self, smallest_radius: float, gap: float) -> None:
        self.gap = gap
        self._cell = max((smallest_radius + gap) / math.sqrt(2.0), 1e-9)
        self._cells: dict[tuple[int, int], list[int]] = {}
        self._discs: list[tuple[float, float, float]] = []
        self._largest_radius = 0.0

    def _key(self, x: float, y: float) -> tuple[int, int]:
        return math.floor(x / self._cell), math.floor(y / self._cell)

    def add(self, x: float, y: float, radius: float) -> None:
        self._cells.setdefault(self._key(x, y), []).append(len(self._discs))
        self._discs.append((x, y, radius))
        self._largest_radius = max(self._largest_radius, radius)

    def fits(self, x: float, y: float, radius: float) -> bool:
        """Whether a disc keeps `radius + other + gap` from every placed one; exactly that distance is accepted.

        Radii vary, so the window must reach the largest placed disc, not a fixed number of cells. Where that window
        has more cells than there are discs, all discs are compared instead.
        """
        reach = math.ceil((radius + self._largest_radius + self.gap) / self._cell)
        if (2 * reach + 1) ** 2 > len(self._discs):
            near = list(range(len(self._discs)))
        else:
            column, row = self._key(x, y)
            near = [
                index
                for i in range(column - reach, column + reach + 1)
                for j in range(row - reach, row + reach + 1)
                for index in self._cells.get((i, j), ())
            ]
        for index in near:
            other_x, other_y, other_radius = self._discs[index]
            # Squares, not roots: exactly tangent discs must compare equal.
            if (x - other_x) ** 2 + (y - other_y) ** 2 < (radius + other_radius + self.gap) ** 2:
                return False
        return True


def placement_order(radii: Float[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    """Indices by falling radius; equal radii keep their order."""
    return np.argsort(-np.asarray(radii, dtype=np.float64), kind="stable")


def sample_layout(
    radii: Float[np.ndarray, " N"],
    rng: np.random.Generator,
    config: RandomLayoutConfig = DEFAULT_LAYOUT,
    *,
    gap: float | None = None,
) -> Layout:
    """A random collision-free layout of discs, centred on the origin.

    Args:
        radii: disc radii, all positive.
        rng: source of every random number; the same state gives the same layout.
        config: counts and ranges.
        gap: free distance between discs; drawn as mean radius times `config.gap_factor` when None.

    Raises:
        InputError: a radius is not positive and finite.
    """
    radii = np.asarray(radii, dtype=np.float64)
    if not (np.isfinite(radii) & (radii > 0)).all():
        raise InputError(f"Expected positive disc radii, got {radii.tolist()}; drop models without extent first.")
    if gap is None:
        gap = float(radii.mean() * rng.uniform(*config.gap_factor)) if len(radii) else 0.0
    order = placement_order(radii)
    rows = list(order)
    while True:
        region = math.sqrt(config.region_ratio * math.pi * float((radii[rows] ** 2).sum()))
        centres = np.full((len(radii), 2), UNPLACED)
        grid = DiskGrid(float(radii[rows].min()) if rows else 0.0, gap)
        enlargements = 0
        for index in rows:
            while True:
                points = rng.uniform(-0.5, 0.5, (config.candidates, 2)) * region
                spot = next((p for p in points.tolist() if grid.fits(p[0], p[1], float(radii[index]))), None)
                if spot is not None or enlargements >= config.max_enlargements:
                    break
                region *= config.growth
                enlargements += 1
            if spot is None:
                break
            grid.add(spot[0], spot[1], float(radii[index]))
            centres[index] = spot
        else:
            break
        rows = rows[:-1]  # the cap is reached: give up the smallest object
    if rows:
        low, high = (
            (centres[rows] - radii[rows, None]).min(0),
            (centres[rows] + radii[rows, None]).max(0),
        )
        centres[rows] -= (low + high) / 2
    return Layout(centres, order, tuple(sorted(int(i) for i in rows)), gap, region)
