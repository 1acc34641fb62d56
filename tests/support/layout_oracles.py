"""The acceptance rule of random layouts on given candidates, and how far a layout is from breaking it."""

import numpy as np
from jaxtyping import Float, Int

from scenewright.data.random_layout import UNPLACED, DiskGrid, placement_order


def accept_candidates(
    radii: Float[np.ndarray, " N"], gap: float, candidates: Float[np.ndarray, "N K 2"]
) -> tuple[Float[np.ndarray, "N 2"], Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    """One pass of the acceptance rule over given candidate streams, without enlarging the region.

    Args:
        radii: disc radii.
        gap: free distance between two discs.
        candidates: `candidates[k]` is the stream of the k-th *placed* object.

    Returns:
        `(centres, order, picked)`: centres by original object (-9999 where nothing fitted), the placing order, and
        the number of the candidate taken, by original object (-1 where none fitted).
    """
    order = placement_order(radii)
    centres = np.full((len(radii), 2), UNPLACED)
    picked = np.full(len(radii), -1, dtype=np.int64)
    grid = DiskGrid(float(np.min(radii, initial=np.inf, where=np.isfinite(radii))) if len(radii) else 0.0, gap)
    for k, index in enumerate(order):
        radius = float(radii[index])
        for candidate, (x, y) in enumerate(np.asarray(candidates[k], dtype=np.float64)):
            if grid.fits(x, y, radius):
                grid.add(x, y, radius)
                centres[index], picked[index] = (x, y), candidate
                break
    return centres, order, picked


def layout_slack(centres: Float[np.ndarray, "N 2"], radii: Float[np.ndarray, " N"], gap: float) -> float:
    """Smallest surplus of a pair's distance over `r_i + r_j + gap`: not negative if valid, 9999 below two discs."""
    if len(radii) < 2:
        return -UNPLACED
    centres, radii = np.asarray(centres, dtype=np.float64), np.asarray(radii, dtype=np.float64)
    first, second = np.triu_indices(len(radii), 1)
    distances = np.linalg.norm(centres[first] - centres[second], axis=1)
    return float((distances - radii[first] - radii[second] - gap).min())
