"""Puts back what a mesh lost on its way to a dual grid: thin rods, crumbs, the second of two sheets in a voxel.

The published conversion keeps what crosses grid edges, with one vertex per voxel. `complete_dual_grid` finds the parts
of the mesh that lie too far from the surface that the grid holds, makes voxels for them and flags grid edges round
them, in rounds, until nothing is lost or nothing helps. Voxels that were there keep their vertices; flags may be added.

A lost part puts its voxel's vertex on itself. Where it goes on through a face, one of the quads round the face's four
edges joins the two voxels, so that a rod becomes a ribbon with the rod on its border; elsewhere a quad joins the voxel
to neighbours. New neighbours have their vertex at the point of their voxel nearest to the part. Of several quads the
one nearest to the mesh is taken, and none farther from it than `MAX_STRAY`.

What one vertex per voxel cannot do: a rod along the middle of voxels becomes a ribbon up to 0.5 voxel wide, a crumb in
the middle of one a quad that reaches 0.71 (half a face's diagonal) beyond it; along the grid's own edges, where there
are no neighbours outside, up to 1.42, and ends of rods may stay 0.6 off. Where three sheets or more share a voxel
and all of its neighbours are taken, some of them may stay farther than the tolerance.

Legend: N voxels, L lost voxels, P lost points, C candidate quads. Frame: lengths in voxels from the grid's low corner.
Not part of the published conversion; work is linear in the surface, memory in what is lost.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch

from scenewright.errors import InputError
from scenewright.geometry.dual_grid_completion_kernels import (
    lost_pieces,
    quad_reach,
    surface_distance,
    triangles_of_voxels,
)
from scenewright.geometry.dual_grid_mesh import QUAD_STEPS, dual_grid_to_mesh
from scenewright.geometry.triangle_tree import TriangleTree
from scenewright.geometry.voxelize import check_mesh
from scenewright.geometry.voxelize_index import index_coords
from scenewright.types import DualGrid, Mesh

__all__ = ["MAX_STRAY", "complete_dual_grid"]

MAX_STRAY = 0.72
# At the grid's border, where voxels on the near side cannot be made, for surface that is lost altogether.
_MAX_STRAY_AT_BORDER = 1.42
_ROUNDS = 4
# Lost points this near to a face, on both of its sides, say that the surface goes on through it.
_AT_FACE = 0.15
_FACES_PER_TASK = 16384
# Voxels this far round lost ones are looked at; a quad reaches one voxel.
_MARGIN = 3
# Corners q0 to q3 of the quad round the grid edge along each axis, as steps from the flagged voxel: [3, 4, 3].
_CORNERS = np.array([((0, 0, 0), *steps) for steps in QUAD_STEPS], np.int64)
# The twelve grid edges of a voxel, as the axis and the voxel that holds the flag.
_EDGE_AXIS = np.repeat(np.arange(3), 4)
_EDGE_STEP = -_CORNERS.reshape(12, 3)


@dataclass
class _State:
    """Voxels being completed, rows by ascending key; `position` is each vertex, `is_new` what was not there before."""

    resolution: int
    coords: np.ndarray
    position: np.ndarray
    flags: np.ndarray
    is_new: np.ndarray

    def keys(self, coords: np.ndarray) -> np.ndarray:
        return (coords[..., 0] * self.resolution + coords[..., 1]) * self.resolution + coords[..., 2]

    def rows(self, coords: np.ndarray) -> np.ndarray:
        """Row of each voxel, -1 where there is none (or it lies outside of the grid)."""
        wanted = self.keys(coords)
        is_inside = ((coords >= 0) & (coords < self.resolution)).all(-1)
        known = self.keys(self.coords)
        if not len(known):
            return np.full(wanted.shape, -1)
        row = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        return np.where(is_inside & (known[row] == wanted), row, -1)

    def add(self, coords: np.ndarray, position: np.ndarray) -> None:
        """Make voxels that are not there yet; of several for one voxel the first counts."""
        is_missing = (self.rows(coords) < 0) & ((coords >= 0) & (coords < self.resolution)).all(-1)
        coords, position = coords[is_missing], position[is_missing]
        _, first = np.unique(self.keys(coords), return_index=True)
        self.coords = np.concatenate([self.coords, coords[first]])
        self.position = np.concatenate([self.position, position[first]])
        self.flags = np.concatenate([self.flags, np.zeros((len(first), 3), bool)])
        self.is_new = np.concatenate([self.is_new, np.ones(len(first), bool)])
        order = np.argsort(self.keys(self.coords), kind="stable")
        self.coords, self.position = self.coords[order], self.position[order]
        self.flags, self.is_new = self.flags[order], self.is_new[order]

    def grid(self) -> DualGrid:
        return DualGrid(
            torch.from_numpy(self.coords.astype(np.int32)),
            torch.from_numpy((self.position - self.coords).astype(np.float32)),
            torch.from_numpy(self.flags),
            self.resolution,
        )


@dataclass(frozen=True)
class _Quads:
    """Candidate quads [C]: flagged voxel and axis, the four vertices [C, 4, 3], and distance to the mesh."""

    base: np.ndarray
    axis: np.ndarray
    corners: np.ndarray
    stray: np.ndarray


def complete_dual_grid(
    grid: DualGrid,
    mesh: Mesh,
    *,
    tolerance: float = 0.45,
    num_threads: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> DualGrid:
    """The grid with voxels and flags added so that `dual_grid_to_mesh` keeps the whole mesh.

    `mesh_to_dual_grid` followed by this leaves nearly every point of a mesh within half a voxel of the rebuilt surface
    (figures: benchmarks/RESULTS.md). Runs on the CPU; the result does not depend on the number of threads.

    Args:
        grid: the dual grid of `mesh`, rows in ascending (x, y, z) order; may be empty.
        mesh: inside [-0.5, 0.5]^3. Triangles without area are ignored.
        tolerance: in voxels, from 0.2 to 0.8: surface farther than this from the rebuilt surface counts as lost.
        num_threads: None takes one per processor.
        progress: called with the finished fraction.

    Returns:
        `grid` itself where nothing is lost, else a larger one in ascending order on the same device.

    Raises:
        InputError: the mesh cannot be voxelised, the tolerance is out of range, or the grid has split weights.
    """
    check_mesh(mesh.vertices, mesh.faces)
    if not 0.2 <= tolerance <= 0.8:
        raise InputError(f"Expected a tolerance from 0.2 to 0.8 voxels, got {tolerance:g}.")
    if grid.split_weight is not None:
        raise InputError("Expected a dual grid converted from a mesh, got a decoded one with split weights.")
    resolution = grid.resolution
    vertices = (mesh.vertices.detach().to("cpu", torch.float64) + 0.5).numpy() * resolution
    faces = mesh.faces.cpu().long().numpy()
    corner = vertices[faces]
    faces = faces[np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]).any(1)]
    report = progress or (lambda _: None)
    lost = _lost_points(grid, vertices, faces, tolerance, num_threads, lambda done: report(0.7 * done))
    if not len(lost):
        report(1.0)
        return grid

    coords = grid.coords.cpu().long().numpy()
    flags = grid.intersected.cpu().numpy()
    position = coords + grid.dual_vertices.detach().to("cpu", torch.float64).numpy()
    whole = _State(resolution, coords, position, flags.copy(), np.zeros(len(coords), bool))
    near = whole.rows(_surroundings(lost[:, :3], resolution))
    near = near[near >= 0]
    state = _State(resolution, coords[near], position[near], flags[near], np.zeros(len(near), bool))
    tree = TriangleTree(Mesh(torch.from_numpy(vertices), torch.from_numpy(faces)))
    for number in range(_ROUNDS):
        if not _add_round(state, lost, tree, tolerance):
            break
        distance = _distances(state.grid(), lost[:, :3], tolerance)
        lost = np.concatenate([lost[:, :3], distance[:, None]], 1)[distance > tolerance]
        report(0.7 + 0.3 * (number + 1) / _ROUNDS)
        if not len(lost):
            break

    in_quads = torch.unique(dual_grid_to_mesh(state.grid()).faces).long().numpy()
    is_used = np.zeros(len(state.coords), bool)
    is_used[in_quads] = True
    whole.flags[near] = state.flags[~state.is_new]
    keep = state.is_new & is_used
    row = np.searchsorted(whole.keys(coords), whole.keys(state.coords[keep]))
    # Rows of the given grid are moved, not computed again: they keep every bit.
    added = (state.position - state.coords)[keep].clip(0, 1).astype(np.float32)
    added_coords, added_flags = state.coords[keep], state.flags[keep]
    report(1.0)
    return replace(
        grid,
        coords=_inserted(grid.coords, row, added_coords),
        dual_vertices=_inserted(grid.dual_vertices, row, added),
        intersected=_inserted(torch.from_numpy(whole.flags), row, added_flags).to(grid.intersected.device),
    )


def _inserted(column: torch.Tensor, row: np.ndarray, added: np.ndarray) -> torch.Tensor:
    merged = np.insert(column.detach().cpu().numpy(), row, added, axis=0)
    return torch.from_numpy(merged).to(column.device, column.dtype)


def _rebuilt(grid: DualGrid) -> tuple[np.ndarray, ...]:
    """What the kernels read of the rebuilt surface: positions, triangles, their lists per voxel, the brick index."""
    coords = grid.coords.cpu().int().contiguous().numpy()
    position = coords + grid.dual_vertices.detach().to("cpu", torch.float64).numpy()
    triangles = dual_grid_to_mesh(replace(grid, coords=grid.coords.int())).faces.cpu().int().contiguous().numpy()
    table, members = triangles_of_voxels(triangles, len(coords))
    shape = coords.max(0).astype(np.int64) + 1 if len(coords) else np.zeros(3, np.int64)
    top, bricks, _ = index_coords(coords, shape)
    return position, triangles, table, members, top, bricks, shape


def _lost_points(
    grid: DualGrid,
    vertices: np.ndarray,
    faces: np.ndarray,
    tolerance: float,
    num_threads: int | None,
    report: Callable[[float], None],
) -> np.ndarray:
    """Points of the mesh that the grid lost, and their distance: [P, 4]."""
    rebuilt = _rebuilt(grid)
    tasks = [faces[at : at + _FACES_PER_TASK] for at in range(0, len(faces), _FACES_PER_TASK)]

    def solve(task: np.ndarray) -> np.ndarray:
        return np.asarray(lost_pieces(vertices, task, *rebuilt, tolerance))

    # As in `mesh_to_lattice`: the first call compiles, alone.
    parts = [np.empty((0, 4)), *(solve(task) for task in tasks[:1])]
    with ThreadPoolExecutor(num_threads or os.cpu_count() or 1) as pool:
        for done, part in enumerate(pool.map(solve, tasks[1:]), start=2):
            parts.append(part)
            report(done / len(tasks))
    return np.concatenate(parts)


def _distances(grid: DualGrid, points: np.ndarray, tolerance: float) -> np.ndarray:
    return np.asarray(surface_distance(np.ascontiguousarray(points), *_rebuilt(grid), tolerance))


def _surroundings(points: np.ndarray, resolution: int) -> np.ndarray:
    """Voxels within `_MARGIN` of the points' voxels, ascending."""
    voxels = np.unique(np.floor(points).astype(np.int64), axis=0)
    for axis in range(3):
        shifted = np.repeat(voxels[:, None], 2 * _MARGIN + 1, 1)
        shifted[..., axis] += np.arange(-_MARGIN, _MARGIN + 1)
        shifted = shifted.reshape(-1, 3)
        shifted = shifted[(shifted[:, axis] >= 0) & (shifted[:, axis] < resolution)]
        voxels = np.unique(shifted, axis=0)
    return voxels


def _add_round(state: _State, lost: np.ndarray, tree: TriangleTree, tolerance: float) -> bool:
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
    joined = _join_through_faces(state, points, voxels[group], voxels[is_made], tree)
    # What runs on is joined; the rest gets the quad that brings its lost points nearest.
    rest = np.nonzero(~np.isin(state.keys(voxels), joined))[0]
    _add_quads(state, voxels, rest, np.stack([central, worst], 1), points, starts, distance, tree, tolerance)
    return int(state.flags.sum()) > count


def _first_smallest(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Index of the smallest value of each group, the first of equals."""
    group = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    return np.lexsort((np.arange(len(values)), values, group))[starts[:-1]]


def _join_through_faces(
    state: _State, points: np.ndarray, cell: np.ndarray, made: np.ndarray, tree: TriangleTree
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
        state, np.stack(base, 1).reshape(-1, 3), np.stack(edge, 1).reshape(-1), np.repeat(through, 4, axis=0), tree
    )
    choice = np.arange(len(low)) * 4 + quads.stray.reshape(-1, 4).argmin(1)
    choice = choice[quads.stray[choice] <= MAX_STRAY]
    face = _flag(state, quads, choice, tree, np.full(len(choice), MAX_STRAY)) // 4
    low, high = low[face], low[face] + np.eye(3, dtype=np.int64)[axis[face]]
    return np.concatenate([state.keys(low), state.keys(high)])


def _add_quads(
    state: _State,
    voxels: np.ndarray,
    rest: np.ndarray,
    anchors: np.ndarray,
    points: np.ndarray,
    starts: np.ndarray,
    distance: np.ndarray,
    tree: TriangleTree,
    tolerance: float,
) -> None:
    """For each voxel of `rest`, flag the one of its twelve edges whose quad is best for its lost points."""
    if not len(rest):
        return
    per_voxel = 12 * anchors.shape[1]
    base = np.repeat((voxels[rest][:, None] + _EDGE_STEP)[:, None], anchors.shape[1], 1).reshape(-1, 3)
    axis = np.tile(_EDGE_AXIS, len(rest) * anchors.shape[1])
    quads = _quads(state, base, axis, np.repeat(anchors[rest].reshape(-1, 3), 12, axis=0), tree)
    reach = quad_reach(points, starts, np.repeat(rest, per_voxel), quads.corners)
    # Near enough is near enough: then the quad closer to the mesh is better.
    score = np.maximum(reach, tolerance) + 0.1 * quads.stray
    now = np.maximum.reduceat(distance, starts[:-1])[rest]
    at_border = ((voxels[rest] == 0) | (voxels[rest] == state.resolution - 1)).any(1)
    limit = np.where(at_border & (now > _MAX_STRAY_AT_BORDER), _MAX_STRAY_AT_BORDER, MAX_STRAY)
    score += np.maximum(quads.stray - MAX_STRAY, 0)
    score[quads.stray > np.repeat(limit, per_voxel)] = np.inf
    choice = np.arange(len(rest)) * per_voxel + score.reshape(-1, per_voxel).argmin(1)
    is_better = np.isfinite(score[choice]) & (reach[choice] < now)
    _flag(state, quads, choice[is_better], tree, limit[is_better])


def _quads(state: _State, base: np.ndarray, axis: np.ndarray, anchor: np.ndarray, tree: TriangleTree) -> _Quads:
    """Candidates round the grid edge along `axis` of voxel `base` [C, 3]; free voxels turn towards `anchor` [C, 3]."""
    coords = base[:, None] + _CORNERS[axis]
    row = state.rows(coords)
    corners = np.clip(anchor[:, None], coords, coords + 1.0)
    corners[row >= 0] = state.position[row[row >= 0]]
    is_inside = ((coords >= 0) & (coords < state.resolution)).all((1, 2))
    stray = np.full(len(base), np.inf)
    stray[is_inside] = _stray(corners[is_inside], tree)
    return _Quads(base, axis, corners, stray)


def _stray(corners: np.ndarray, tree: TriangleTree) -> np.ndarray:
    """Largest distance from a quad to the mesh, at its corners and the middles of its edges and triangles."""
    q0, q1, q2, q3 = corners.transpose(1, 0, 2)
    middles = [(q0 + q1) / 2, (q1 + q2) / 2, (q2 + q3) / 2, (q3 + q0) / 2, (q0 + q2) / 2]
    samples = np.stack([q0, q1, q2, q3, *middles, (q0 + q1 + q2) / 3, (q0 + q2 + q3) / 3], 1)
    distance = tree.query(torch.from_numpy(samples.reshape(-1, 3))).distance.numpy()
    # Rounded, so that equal candidates stay equal and the first is taken: a rod keeps to one side.
    return np.asarray(distance.reshape(-1, samples.shape[1]).max(1).round(3), np.float64)


def _flag(state: _State, quads: _Quads, choice: np.ndarray, tree: TriangleTree, limit: np.ndarray) -> np.ndarray:
    """Make the voxels that the chosen candidates need and flag their edges; returns those that could be flagged.

    Two candidates may want one free voxel: the first has it, and the second is dropped where it strays for that.
    """
    base, axis, planned = quads.base[choice], quads.axis[choice], quads.corners[choice]
    coords = base[:, None] + _CORNERS[axis]
    state.add(coords.reshape(-1, 3), planned.reshape(-1, 3))
    corners = state.position[state.rows(coords)]
    is_good = np.ones(len(choice), bool)
    is_changed = (corners != planned).any((1, 2))
    is_good[is_changed] = _stray(corners[is_changed], tree) <= limit[is_changed]
    state.flags[state.rows(base[is_good]), axis[is_good]] = True
    return choice[is_good]
