"""A triangle mesh as a flexible dual grid, the geometry half of O-Voxel.

Every grid edge that the surface crosses makes four voxels around it; each voxel gets one vertex, the point of the
voxel closest in the least-squares sense to the planes of its triangles, to the mesh's open borders and (weakly) to
its crossings. No inside or outside is needed: open, non-manifold and nested surfaces are all legal. A piece of
surface that crosses no grid edge (smaller than a voxel) leaves nothing.

Legend: V vertices, F faces, N voxels. Frame: grid space, see docs/conventions.md#grid; files are converted in io.
Source: microsoft/TRELLIS.2 o-voxel/src/convert/flexible_dual_grid.cpp. Work and memory are linear in triangles plus
surface voxels (figures: benchmarks/RESULTS.md).
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.ovoxel.dual_grid_kernels import boundary_edges, slab_dual_grid, slabs_of_simplices
from scenewright.geometry.ovoxel.voxelize import Lattice, check_surface
from scenewright.machine import available_cores
from scenewright.progress import Advance, ignore
from scenewright.types import DualGrid, Mesh

__all__ = ["DualGridConfig", "mesh_to_dual_grid", "mesh_to_lattice", "slab_starts"]

# How far (in sizes of the lattice) a vertex may lie outside of it: beyond, the scale is surely wrong.
_MAX_OVERHANG = 16.0
_CUBE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class DualGridConfig:
    """Weights of the terms that place a dual vertex; the defaults are those of all published data and pipelines.

    `face_weight` only switches its term on or off (any positive value counts as 1), as in the published converter.
    `num_threads`: None takes one per processor; the result does not depend on it.
    """

    face_weight: float = 1.0
    boundary_weight: float = 0.2
    regularization_weight: float = 0.01
    num_threads: int | None = None


def mesh_to_dual_grid(
    mesh: Mesh,
    resolution: int,
    config: DualGridConfig = DualGridConfig(),
    progress: Advance = ignore,
) -> DualGrid:
    """The flexible dual grid of a mesh that lies inside [-0.5, 0.5]^3, rows in ascending (x, y, z) order.

    Runs on the CPU (numba, compiled at the first call and cached on disk); the result is on the mesh's device.

    Args:
        mesh: use `fit_unit_cube` first where it is larger; vertices are taken as float32.
        resolution: cells per side.
        progress: called from this thread.

    Raises:
        InputError: no faces, vertices that are not finite, or a mesh that sticks out of the cube.
    """
    check_surface(mesh)
    reach = float(mesh.vertices.abs().max())
    if reach > 0.5 + _CUBE_TOLERANCE:
        raise InputError(
            f"Expected a mesh inside [-0.5, 0.5]^3, got coordinates up to {reach:g}; "
            "scale it with scenewright.geometry.ovoxel.voxelize.fit_unit_cube first."
        )
    coords, dual, intersected = mesh_to_lattice(mesh.vertices, mesh.faces, Lattice.cube(resolution), config, progress)
    return DualGrid(coords, dual, intersected, resolution)


def mesh_to_lattice(
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    lattice: Lattice,
    config: DualGridConfig = DualGridConfig(),
    progress: Advance = ignore,
) -> tuple[Int[Tensor, "N 3"], Float[Tensor, "N 3"], Bool[Tensor, "N 3"]]:
    """Coords (int32), dual vertices (in voxels, [0, 1] from the voxel's low corner) and crossed edges on any lattice.

    What sticks out of the lattice is cut off. Rows ascend in (x, y, z).

    Raises:
        InputError: see `mesh_to_dual_grid`; here a mesh may stick out by up to 16 sizes of the lattice.
    """
    check_surface(Mesh(vertices, faces))
    size = np.array(lattice.voxel_size, np.float64)
    cells = np.array(lattice.cells, np.int64)
    low = torch.tensor(lattice.low_corner, dtype=torch.float32)
    shifted = (vertices.detach().to("cpu", torch.float32) - low).contiguous().numpy()
    overhang = float(np.abs(shifted / (size * cells).astype(np.float32)).max())
    if not overhang < _MAX_OVERHANG:
        raise InputError(
            f"Expected a mesh about as large as its grid, got one {overhang:g} times as large; rescale it."
        )
    triangles = faces.to("cpu", torch.int32).contiguous().numpy()
    weights = np.array([config.face_weight, config.boundary_weight, config.regularization_weight], np.float64)

    starts = slab_starts(int(cells[0]))
    offsets, ids = slabs_of_simplices(shifted, triangles, size[0], cells[0], starts)
    edges = np.empty((0, 2), np.int32)
    if config.boundary_weight > 0:
        edges = boundary_edges(triangles, len(shifted))
    edge_offsets, edge_ids = slabs_of_simplices(shifted, edges, size[0], cells[0], starts)

    def solve(slab: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        of_slab = ids[offsets[slab] : offsets[slab + 1]]
        edges_of_slab = edge_ids[edge_offsets[slab] : edge_offsets[slab + 1]]
        x0, x1 = starts[slab], starts[slab + 1]
        return slab_dual_grid(shifted, triangles, of_slab, edges, edges_of_slab, size, cells, x0, x1, weights)

    occupied = [slab for slab in range(len(starts) - 1) if offsets[slab + 1] > offsets[slab]]
    # Kernels release the interpreter lock. The first call compiles; one thread must do that alone.
    parts = [solve(slab) for slab in occupied[:1]]
    with ThreadPoolExecutor(config.num_threads or available_cores()) as pool:
        for done, part in enumerate(pool.map(solve, occupied[1:]), start=2):
            parts.append(part)
            progress(done, len(occupied))
    if not parts:
        parts = [(np.empty((0, 3), np.int32), np.empty((0, 3), np.float32), np.empty((0, 3), np.bool_))]
    columns = (torch.from_numpy(np.concatenate(column)).to(vertices.device) for column in zip(*parts, strict=True))
    coords, dual, intersected = columns
    return coords, dual, intersected


def slab_starts(cells: int) -> np.ndarray:
    """Borders of the slabs along x: whole layers of bricks, at most 16 slabs."""
    layers = -(-cells // 8)
    per_slab = -(-layers // 16)
    return np.append(np.arange(0, layers, per_slab) * 8, cells).astype(np.int64)
