"""Parts sheets of a mesh that share a voxel, where the rebuilt surface strays from the mesh between them.

A voxel has one vertex. Two sheets up to a cube's diagonal apart can share one, whose vertex the least-squares fit puts
between them, up to 0.87 voxel from either. There one sheet is taken out of the voxel: the grid corners that it cuts
off change sides, so that it passes through the voxels beyond them, and the vertex moves to the other sheet. A change
is made where the quads round the voxel stray less for it, in sum, or less of the mesh is lost, and neither gets worse.

Legend: N voxels. Not part of the published conversion; work is linear in the rebuilt surface, and in what strays.
"""

import numpy as np

from scenewright.geometry.mesh.near_surface import NearSurface, far_pieces, surface_distance
from scenewright.geometry.ovoxel.faithful.editing import EditableGrid
from scenewright.geometry.ovoxel.faithful.separation_kernels import separate_voxels
from scenewright.geometry.ovoxel.voxelize_index import index_coords

__all__ = ["separate_sheets"]

_ROUNDS = 12
_SELF_AND_FACES = np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)]).astype(np.int64)


def separate_sheets(
    state: EditableGrid, lost: np.ndarray, surface: NearSurface, tolerance: float, *, num_threads: int | None = None
) -> bool:
    """Change voxels whose quads stray more than `tolerance` from the mesh, or near lost points [P, 3] of it.

    The mesh's surface is given by voxels. Only quads at touched voxels are looked at, and what is not changed is
    touched no more, except for voxels of quads that still stray. Returns whether anything changed.
    """
    # A vertex that can reach a lost point is in its voxel, or in one that shares a face with it.
    beside = state.rows(np.floor(lost)[:, None].astype(np.int64) + _SELF_AND_FACES)
    beside = np.unique(beside[beside >= 0])
    # The first round takes what is plain: the search that follows it costs ten times as much a voxel.
    is_thorough = len(lost) > 0
    is_changed, tried = False, np.empty(0, np.int64)
    for _ in range(_ROUNDS):
        triangles = state.triangles()
        chosen = np.nonzero(state.is_touched[triangles].any(1))[0]
        pieces = far_pieces(state.position, triangles, surface, tolerance, chosen=chosen, num_threads=num_threads)
        straying = np.unique(triangles[np.unique(pieces[:, 4].astype(np.int64))])
        straying_keys = state.keys(state.coords[straying])
        # Once is enough for what is beside lost points: what a change nearby makes stray is found by itself.
        targets = np.union1d(straying[~np.isin(straying_keys, tried)], beside)
        beside = beside[:0]
        # Vertices between sheets are causes, others are beside them.
        distance = surface_distance(state.position[targets], surface, 0.5 * tolerance)
        state.is_touched[:] = False
        count = _separate(state, targets[np.argsort(-distance, kind="stable")], surface, tolerance, is_thorough)
        is_changed |= count > 0
        # What did not help will not help again before something near it changes.
        near_change = state.keys(state.voxels_around(state.coords[state.is_touched], 2))
        tried = straying_keys[~np.isin(straying_keys, near_change) & is_thorough]
        state.is_touched[np.searchsorted(state.keys(state.coords), straying_keys)] = True
        if not len(straying) or (is_thorough and count == 0):
            break
        is_thorough = True
    return is_changed


def _separate(
    state: EditableGrid, targets: np.ndarray, surface: NearSurface, tolerance: float, is_thorough: bool
) -> int:
    if not len(targets):
        return 0
    # A change makes at most all of the voxels round its own.
    count, room = len(state.coords), 26 * len(targets)
    columns = (state.coords, state.position, state.flags, state.is_touched, state.crossed)
    grid = tuple(np.concatenate([c, np.zeros((room, *c.shape[1:]), c.dtype)]) for c in columns)
    top, bricks, _ = index_coords(state.coords, np.full(3, state.resolution, np.int64))
    counters = np.array([count, len(bricks)])
    changed = separate_voxels(targets, grid, counters, top, bricks, state.resolution, surface, tolerance, is_thorough)
    state.coords, state.position, state.flags, state.is_touched, state.crossed = (c[:count] for c in grid)
    state.extend(*(c[count : counters[0]] for c in grid[:4]))
    return int(changed)
