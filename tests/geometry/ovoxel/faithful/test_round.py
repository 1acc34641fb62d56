import numpy as np
import pytest
import torch

from scenewright.geometry.ovoxel.dual_grid_mesh import dual_grid_quads
from scenewright.geometry.ovoxel.faithful.round import AXIS, ENDS, NUMBER, QUAD, TOGGLES


def test_quads_of_the_edges_are_those_of_the_rebuilt_surface():
    coords = torch.tensor([[x, y, z] for x in range(3) for y in range(3) for z in range(3)], dtype=torch.int32)
    for edge in range(36):
        flags = torch.zeros(27, 3, dtype=torch.bool)
        flags[QUAD[edge, 0], AXIS[edge]] = True
        assert dual_grid_quads(coords, flags).tolist() == [QUAD[edge].tolist()]
        assert NUMBER[QUAD[edge, 0], AXIS[edge]] == edge
    assert (NUMBER >= 0).sum() == 36


@pytest.mark.parametrize("corner", range(8))
def test_a_corner_that_changes_sides_adds_the_closed_surface_round_it(corner):
    edges = np.nonzero(TOGGLES[1 << corner])[0]
    assert len(edges) == 6
    # Six quads of eight voxels: each of their sides is shared by two.
    quads = QUAD[edges]
    assert len(np.unique(quads)) == 8
    sides = np.sort(np.stack([quads, np.roll(quads, 1, axis=1)], -1).reshape(-1, 2), axis=1)
    assert (np.unique(sides, axis=0, return_counts=True)[1] == 2).all()


def test_edges_between_corners_that_both_change_sides_stay_as_they_are():
    for edge, (low, high) in enumerate(ENDS):
        assert not TOGGLES[1 << low | 1 << high, edge]
        assert TOGGLES[1 << low, edge]
    # All eight: only what touches the cube from outside.
    assert TOGGLES[255].tolist() == [False] * 12 + [True] * 24
