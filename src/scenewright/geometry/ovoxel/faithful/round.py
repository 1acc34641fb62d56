"""Numbers of what is round a voxel of a dual grid: its corners, the 27 voxels, and the 36 grid edges that touch it.

Corners are numbered 4 x + 2 y + z, and a mask has a bit per corner. The voxels are numbered 9 (x + 1) + 3 (y + 1) +
z + 1. Edges 0 to 11 are the voxel's own, the others touch one of its corners from outside; all of their quads lie among
the 27 voxels.
"""

import numpy as np

from scenewright.geometry.ovoxel.dual_grid_mesh import QUAD_STEPS

__all__ = ["AXIS", "ENDS", "FAR_END", "HAS_MIDDLE", "LOW_END", "MIDDLE", "NUMBER", "QUAD", "STEPS", "TOGGLES"]

# The voxel itself among the 27.
MIDDLE = 13
# Steps from an edge's flagged voxel to its quad's corners: [axis, corner, 3].
STEPS = np.array([((0, 0, 0), *of_axis) for of_axis in QUAD_STEPS])


def _edge_tables() -> tuple[np.ndarray, ...]:
    """Axis [36], the quad's voxels of the 27 [36, 4], its own edges' ends [12, 2], toggles per mask, low ends."""
    number_of: dict[tuple[int, ...], int] = {}
    ends: list[tuple[int, int]] = []
    touching: list[list[int]] = [[] for _ in range(8)]
    corners = [(n >> 2, n >> 1 & 1, n & 1) for n in range(8)]
    # An edge is named by its axis and its low end; the voxel's own edges come first.
    for is_own in (True, False):
        for n, corner in enumerate(corners):
            for axis in range(3):
                for back in (0, 1):
                    low = np.array(corner)
                    low[axis] -= back
                    high = low.copy()
                    high[axis] += 1
                    if (low.min() >= 0 and high.max() <= 1) != is_own:
                        continue
                    number = number_of.setdefault((axis, *low.tolist()), len(number_of))
                    touching[n].append(number)
                    if is_own and number == len(ends):
                        ends.append((int(low @ (4, 2, 1)), int(high @ (4, 2, 1))))
    axes = np.array([edge[0] for edge in number_of])
    low = np.array([edge[1:] for edge in number_of])
    # The flagged voxel has the edge at its high corner on both other axes.
    holder = low - 1 + np.eye(3, dtype=np.int64)[axes]
    quads = ((holder[:, None] + STEPS[axes] + 1) * (9, 3, 1)).sum(-1)
    toggles = np.zeros((256, len(axes)), np.bool_)
    for mask in range(256):
        for n in range(8):
            if mask >> n & 1:
                toggles[mask, touching[n]] ^= True
    return axes, quads, np.array(ends), toggles, low


AXIS, QUAD, ENDS, TOGGLES, _LOW = _edge_tables()
# The end that is no corner of the voxel, of an edge that is not its own, from the voxel's low corner: [36, 3].
FAR_END = np.where((_LOW < 0).any(1, keepdims=True), _LOW, _LOW + np.eye(3, dtype=np.int64)[AXIS])
LOW_END = ENDS[:, 0].copy()
HAS_MIDDLE = (QUAD == MIDDLE).any(1)
# Which of the 36 edges a flag of the 27 voxels is, -1 where none.
NUMBER = np.full((27, 3), -1)
NUMBER[QUAD[:, 0], AXIS] = np.arange(36)
