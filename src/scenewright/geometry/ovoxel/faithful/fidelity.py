"""A dual grid that keeps its mesh: changed where the published conversion loses surface, or strays from it.

Sheets that share a voxel are parted (`dual_grid_separation`), and thin or small parts are given voxels of their own
(`dual_grid_completion`), in turn, until mesh and rebuilt surface are within a tolerance of each other or nothing helps.

Legend: N voxels. Frame: grid space, see docs/conventions.md#grid. Not part of the published conversion.
"""

from collections.abc import Callable

import numpy as np
import torch

from scenewright.errors import InputError
from scenewright.geometry.mesh.near_surface import far_pieces, surface_by_voxels, surface_distance
from scenewright.geometry.ovoxel.faithful.completion import complete
from scenewright.geometry.ovoxel.faithful.editing import EditableGrid
from scenewright.geometry.ovoxel.faithful.separation import separate_sheets
from scenewright.geometry.ovoxel.voxelize import check_surface
from scenewright.types import DualGrid, Mesh

__all__ = ["faithful_dual_grid"]

_PASSES = 4
_MARGIN = 0.04


def faithful_dual_grid(
    grid: DualGrid,
    mesh: Mesh,
    *,
    tolerance: float = 0.49,
    num_threads: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> DualGrid:
    """The grid changed so that `dual_grid_to_mesh` keeps the whole mesh and nothing else.

    After `mesh_to_dual_grid` and this, mesh and rebuilt surface are within half a voxel of each other on nearly all
    furniture (figures and what stays beyond: benchmarks/RESULTS.md). All voxels of `grid` are kept; vertices and flags
    change near what was lost or strayed. Runs on the CPU; the result does not depend on the number of threads.

    Args:
        grid: the dual grid of `mesh`, rows in ascending (x, y, z) order; may be empty.
        mesh: inside [-0.5, 0.5]^3. Triangles without area are ignored.
        tolerance: in voxels, from 0.2 to 0.8: what lies farther than this from the other surface is looked at.
        num_threads: None takes one per processor.
        progress: called with the finished fraction.

    Returns:
        `grid` itself where nothing had to change, else another in ascending order on the same device.

    Raises:
        InputError: the mesh cannot be voxelised, the tolerance is out of range, or the grid has split weights.
    """
    check_surface(mesh)
    if not 0.2 <= tolerance <= 0.8:
        raise InputError(f"Expected a tolerance from 0.2 to 0.8 voxels, got {tolerance:g}.")
    if grid.split_weight is not None:
        raise InputError("Expected a dual grid converted from a mesh, got a decoded one with split weights.")
    report = progress or (lambda _: None)
    vertices = (mesh.vertices.detach().to("cpu", torch.float64) + 0.5).numpy() * grid.resolution
    faces = mesh.faces.cpu().numpy().astype(np.int32)
    corner = vertices[faces]
    faces = faces[np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]).any(1)]
    surface = surface_by_voxels(vertices, faces, grid.resolution)
    state = EditableGrid.of(grid)
    # Pieces are judged by their centre: rods and corners reach beyond it.
    within = tolerance - _MARGIN
    is_changed = False
    lost = np.empty((0, 4))
    for number in range(_PASSES):
        report(number / _PASSES)
        is_separated = separate_sheets(state, lost[:, :3], surface, tolerance, num_threads=num_threads)
        is_changed |= is_separated
        # The mesh was looked at in the last pass, and only a change since then can have lost any of it.
        if number > 0 and not is_separated:
            break
        lost = far_pieces(
            vertices,
            faces,
            state.surface(),
            within,
            num_threads=num_threads,
            progress=_share(report, (number + 0.4) / _PASSES, (number + 0.7) / _PASSES),
        )[:, :4]
        if len(lost) and complete(state, lost, surface, within):
            is_changed = True
            distance = surface_distance(np.ascontiguousarray(lost[:, :3]), state.surface(), within)
            lost = lost[distance > within]
        elif not len(lost):
            break
    report(1.0)
    return state.result(grid) if is_changed else grid


def _share(report: Callable[[float], None], begin: float, end: float) -> Callable[[float], None]:
    """Progress of a step that goes from `begin` to `end` of the whole."""
    return lambda done: report(begin + (end - begin) * done)
