"""Puts back what a dual grid lost of its mesh: thin rods, crumbs, the second of two sheets in a voxel.

The published conversion keeps what crosses grid edges, with one vertex per voxel. Lost parts get voxels of their own
and flagged grid edges round them, in rounds, until nothing is lost or nothing helps. Vertices that are there stay.

A lost part puts its voxel's vertex on itself. Where it goes on through a face, one of the quads round the face's four
edges joins the two voxels, so that a rod becomes a ribbon with the rod on its border; elsewhere a quad joins the voxel
to neighbours. New neighbours have their vertex at the point of their voxel nearest to the part. Of several quads the
one is taken that leaves the smaller distance both ways, and none that strays farther from the mesh than what it brings
back was lost, or than 0.72 voxel.

A crumb in the middle of a voxel becomes a quad that reaches 0.71 (half a face's diagonal) beyond it; along the grid's
own edges, where there are no neighbours outside, up to 1.42. Where three sheets or more share a voxel and all of its
neighbours are taken, some of them may stay farther than the tolerance.

Legend: N voxels, L lost voxels, P lost points, C candidate quads. Frame: lengths in voxels from the grid's low corner.
Not part of the published conversion; work and memory are linear in what is lost.
"""

from dataclasses import dataclass

import numpy as np

from scenewright.geometry.mesh.near_surface import NearSurface, surface_distance
from scenewright.geometry.ovoxel.faithful.completion_kernels import quad_reach, quad_strays
from scenewright.geometry.ovoxel.faithful.editing import EditableGrid
from scenewright.geometry.ovoxel.faithful.round import STEPS

__all__ = ["complete"]

_MAX_STRAY = 0.72
# At the grid's border, where voxels on the near side cannot be made, for surface that is lost altogether.
_MAX_STRAY_AT_BORDER = 1.42
# A rod in the middle of a face is this far from the face's edges.
_MAX_STRAY_OF_RIBBON = 0.5
_ROUNDS = 4
# Lost points this near to a face, on both of its sides, say that the surface goes on through it.
_AT_FACE = 0.15
# Quads nearer to the mesh than this are equally good.
_ALIKE = 0.2
# Voxels this far round lost ones are looked at; a quad reaches one voxel.
_MARGIN = 3
# The twelve grid edges of a voxel, as the axis and the voxel that holds the flag.
_EDGE_AXIS = np.repeat(np.arange(3), 4)
_EDGE_STEP = -STEPS.reshape(12, 3)


@dataclass(frozen=True)
class _Quads:
    """Candidate quads [C]: flagged voxel and axis, the four vertices [C, 4, 3], and distance to the mesh."""

    base: np.ndarray
    axis: np.ndarray
    corners: np.ndarray
    stray: np.ndarray


def complete(grid: EditableGrid, lost: np.ndarray, surface: NearSurface, tolerance: float) -> bool:
    """Add voxels and flags for the lost points of the mesh [P, 4] (see `far_pieces`), whose surface is by voxels.

    Returns whether anything was added.
    """
    near = grid.rows(grid.voxels_around(np.floor(lost[:, :3]).astype(np.int64), _MARGIN))
    state = grid.part(near[near >= 0])
    is_changed = False
    for _ in range(_ROUNDS):
        if not len(lost) or not _add_round(state, lost, surface, tolerance):
            break
        is_changed = True
        distance = surface_distance(np.ascontiguousarray(lost[:, :3]), state.surface(), tolerance)
        lost = np.concatenate([lost[:, :3], distance[:, None]], 1)[distance > tolerance]
    grid.merge(state)
    return is_changed


def _add_round(state: EditableGrid, lost: np.ndarray, surface: NearSurface, tolerance: float) -> bool:
    """Make voxels and flag edges for the lost points [P, 4]; False where nothing could be added."""
    cell = np.clip(np.floor(lost[:, :3]).astype(np.int64), 0, state.resolution - 1)
    _, first, group = np.unique(state.keys(cell), return_index=True, return_inverse=True)
    voxels = cell[first]
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(len(voxels) + 1))
    points, distance, group = np.ascontiguousarray(lost[order, :3]), lost[order, 3], group[order]

    is_made = state.rows(voxels) < 0
    middle = np.add.reduceat(points, starts[:-1]) / np.diff(starts)[:, None]
    central = points[_first_smallest(np.linalg.norm(points - middle[group], axis=1), starts)]
    worst = points[_first_smallest(-distance, starts)]
    state.add(voxels[is_made], central[is_made])

    count = int(state.flags.sum())
    joined = _join_through_faces(state, points, voxels[group], voxels[is_made], surface)
    # What runs on is joined; the rest gets the quad that brings its lost points nearest.
    rest = np.nonzero(~np.isin(state.keys(voxels), joined))[0]
    _add_quads(state, voxels, rest, np.stack([central, worst], 1), points, starts, distance, surface, tolerance)
    return int(state.flags.sum()) > count


def _first_smallest(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Index of the smallest value of each group, the first of equals."""
    group = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    return np.lexsort((np.arange(len(values)), values, group))[starts[:-1]]


def _join_through_faces(
    state: EditableGrid, points: np.ndarray, cell: np.ndarray, made: np.ndarray, surface: NearSurface
) -> np.ndarray:
    """Flag an edge of each face that lost surface goes through; returns the keys of the voxels so joined."""
    lows, axes, places = [], [], []
    for normal in range(3):
        offset = points[:, normal] - cell[:, normal]
        for is_high in (False, True):
            is_near = offset >= 1 - _AT_FACE if is_high else offset <= _AT_FACE
            low = cell[is_near].copy()
            low[:, normal] += 0 if is_high else -1
            place = points[is_near].copy()
            place[:, normal] = low[:, normal] + 1
            lows.append(low)
            axes.append(np.full(len(low), normal))
            places.append(place)
    low, axis, place = np.concatenate(lows), np.concatenate(axes), np.concatenate(places)
    high = low + np.eye(3, dtype=np.int64)[axis]
    # Both voxels are there, and at least one of them was made for lost surface just now.
    low_key, high_key, made_keys = state.keys(low), state.keys(high), state.keys(made)
    is_open = (state.rows(low) >= 0) & (state.rows(high) >= 0)
    is_open &= np.isin(low_key, made_keys) | np.isin(high_key, made_keys)
    low, axis, place = low[is_open], axis[is_open], place[is_open]
    if not len(low):
        return np.empty(0, np.int64)
    _, first, face = np.unique(state.keys(low) * 3 + axis, return_index=True, return_inverse=True)
    through = np.stack([np.bincount(face, place[:, a]) for a in range(3)], 1) / np.bincount(face)[:, None]
    low, axis = low[first], axis[first]

    # The quads that hold both voxels: round the face's edges, along either other axis, on either side.
    base, edge = [], []
    for turn in (1, 2):
        side = (axis + turn) % 3
        for step in (0, 1):
            base.append(low - step * np.eye(3, dtype=np.int64)[side])
            edge.append(3 - axis - side)
    quads = _quads(
        state, np.stack(base, 1).reshape(-1, 3), np.stack(edge, 1).reshape(-1), np.repeat(through, 4, axis=0), surface
    )
    choice = np.arange(len(low)) * 4 + quads.stray.reshape(-1, 4).argmin(1)
    choice = choice[quads.stray[choice] <= _MAX_STRAY_OF_RIBBON]
    face = _flag(state, quads, choice, surface, np.full(len(choice), _MAX_STRAY_OF_RIBBON)) // 4
    low, high = low[face], low[face] + np.eye(3, dtype=np.int64)[axis[face]]
    return np.concatenate([state.keys(low), state.keys(high)])


def _add_quads(
    state: EditableGrid,
    voxels: np.ndarray,
    rest: np.ndarray,
    anchors: np.ndarray,
    points: np.ndarray,
    starts: np.ndarray,
    distance: np.ndarray,
    surface: NearSurface,
    tolerance: float,
) -> None:
    """For each voxel of `rest`, flag the one of its twelve edges whose quad is best for its lost points."""
    if not len(rest):
        return
    per_voxel = 12 * anchors.shape[1]
    base = np.repeat((voxels[rest][:, None] + _EDGE_STEP)[:, None], anchors.shape[1], 1).reshape(-1, 3)
    axis = np.tile(_EDGE_AXIS, len(rest) * anchors.shape[1])
    quads = _quads(state, base, axis, np.repeat(anchors[rest].reshape(-1, 3), 12, axis=0), surface)
    reach = quad_reach(points, starts, np.repeat(rest, per_voxel), quads.corners)
    # Near enough is near enough: then the quad closer to the mesh is better.
    score = np.maximum(np.maximum(reach, quads.stray), tolerance) + 0.1 * quads.stray
    now = np.maximum.reduceat(distance, starts[:-1])[rest]
    at_border = ((voxels[rest] == 0) | (voxels[rest] == state.resolution - 1)).any(1)
    most = np.where(at_border & (now > _MAX_STRAY_AT_BORDER), _MAX_STRAY_AT_BORDER, _MAX_STRAY)
    limit = np.clip(now, _MAX_STRAY_OF_RIBBON, most)
    score[quads.stray > np.repeat(limit, per_voxel)] = np.inf
    choice = np.arange(len(rest)) * per_voxel + score.reshape(-1, per_voxel).argmin(1)
    is_better = np.isfinite(score[choice]) & (reach[choice] < now)
    _flag(state, quads, choice[is_better], surface, limit[is_better])


def _quads(state: EditableGrid, base: np.ndarray, axis: np.ndarray, anchor: np.ndarray, surface: NearSurface) -> _Quads:
    """Candidates round the grid edge along `axis` of voxel `base` [C, 3]; free voxels turn towards `anchor` [C, 3]."""
    coords = base[:, None] + STEPS[axis]
    row = state.rows(coords)
    corners = np.clip(anchor[:, None], coords, coords + 1.0)
    corners[row >= 0] = state.position[row[row >= 0]]
    is_inside = state.is_inside(coords).all(1)
    stray = np.full(len(base), np.inf)
    stray[is_inside] = _stray(corners[is_inside], surface)
    return _Quads(base, axis, corners, stray)


def _stray(corners: np.ndarray, surface: NearSurface) -> np.ndarray:
    """Largest distance from a quad to the mesh; small ones are alike."""
    # Rounded, so that equal candidates stay equal and the first is taken: a rod keeps to one side.
    return np.asarray(quad_strays(np.ascontiguousarray(corners), surface, _ALIKE).round(3), np.float64)


def _flag(
    state: EditableGrid, quads: _Quads, choice: np.ndarray, surface: NearSurface, limit: np.ndarray
) -> np.ndarray:
    """Make the voxels that the chosen candidates need and flag their edges; returns those that could be flagged.

    Two candidates may want one free voxel: the first has it, and the second is dropped where it strays for that.
    """
    base, axis, planned = quads.base[choice], quads.axis[choice], quads.corners[choice]
    coords = base[:, None] + STEPS[axis]
    state.add(coords.reshape(-1, 3), planned.reshape(-1, 3))
    corners = state.position[state.rows(coords)]
    is_good = np.ones(len(choice), bool)
    is_changed = (corners != planned).any((1, 2))
    is_good[is_changed] = _stray(corners[is_changed], surface) <= limit[is_changed]
    state.flags[state.rows(base[is_good]), axis[is_good]] = True
    return choice[is_good]
