"""A dual grid in the making: voxels can be added, vertices moved and grid edges flagged; rows stay sorted.

Legend: N voxels, T triangles. Frame: lengths in voxels from the grid's low corner, float64.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from scenewright.geometry.mesh.near_surface import NearSurface, surface_by_vertices
from scenewright.geometry.ovoxel.dual_grid_mesh import dual_grid_quads
from scenewright.types import DualGrid

__all__ = ["EditableGrid"]


@dataclass
class EditableGrid:
    """Voxels by ascending key; `position` is each vertex, `is_touched` says whose quads may have changed.

    `crossed` are the flags that there were at first: grid edges that the mesh crosses.
    """

    resolution: int
    coords: Int[np.ndarray, "N 3"]
    position: Float[np.ndarray, "N 3"]
    flags: Bool[np.ndarray, "N 3"]
    is_touched: Bool[np.ndarray, " N"]
    crossed: Bool[np.ndarray, "N 3"]

    @classmethod
    def of(cls, grid: DualGrid) -> "EditableGrid":
        coords = grid.coords.cpu().numpy().astype(np.int32)
        position = coords + grid.dual_vertices.detach().to("cpu", torch.float64).numpy()
        flags = grid.intersected.cpu().numpy().copy()
        return cls(grid.resolution, coords, position, flags, np.ones(len(coords), bool), flags.copy())

    def keys(self, coords: Int[np.ndarray, "*n 3"]) -> Int[np.ndarray, "*n"]:
        """One number per voxel, ascending with (x, y, z)."""
        x, y, z = np.moveaxis(coords.astype(np.int64), -1, 0)
        return np.asarray((x * self.resolution + y) * self.resolution + z)

    def is_inside(self, coords: Int[np.ndarray, "*n 3"]) -> Bool[np.ndarray, "*n"]:
        return np.asarray(((coords >= 0) & (coords < self.resolution)).all(-1))

    def rows(self, coords: Int[np.ndarray, "*n 3"]) -> Int[np.ndarray, "*n"]:
        """Row of each voxel, -1 where there is none (or it lies outside of the grid)."""
        wanted, known = self.keys(coords), self.keys(self.coords)
        if not len(known):
            return np.full(wanted.shape, -1)
        row = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        return np.where(self.is_inside(coords) & (known[row] == wanted), row, -1)

    def voxels_around(self, voxels: Int[np.ndarray, "n 3"], distance: int) -> Int[np.ndarray, "m 3"]:
        """Voxels of the grid within `distance` of others along every axis, each once, ascending."""
        for axis in range(3):
            shifted = np.repeat(np.unique(voxels, axis=0)[:, None], 2 * distance + 1, 1)
            shifted[..., axis] += np.arange(-distance, distance + 1)
            shifted = shifted.reshape(-1, 3)
            voxels = shifted[(shifted[:, axis] >= 0) & (shifted[:, axis] < self.resolution)]
        return np.unique(voxels, axis=0)

    def add(self, coords: Int[np.ndarray, "n 3"], position: Float[np.ndarray, "n 3"]) -> None:
        """Make voxels that are not there yet; of several for one voxel the first counts."""
        is_missing = (self.rows(coords) < 0) & self.is_inside(coords)
        coords, position = coords[is_missing], position[is_missing]
        _, first = np.unique(self.keys(coords), return_index=True)
        count = len(first)
        self.extend(coords[first], position[first], np.zeros((count, 3), bool), np.ones(count, bool))

    def extend(
        self,
        coords: Int[np.ndarray, "n 3"],
        position: Float[np.ndarray, "n 3"],
        flags: Bool[np.ndarray, "n 3"],
        is_touched: Bool[np.ndarray, " n"],
    ) -> None:
        """Add rows of voxels that are not there yet."""
        if not len(coords):
            return
        self.coords = np.concatenate([self.coords, coords.astype(np.int32)])
        order = np.argsort(self.keys(self.coords), kind="stable")
        self.coords = self.coords[order]
        self.position = np.concatenate([self.position, position])[order]
        self.flags = np.concatenate([self.flags, flags])[order]
        self.is_touched = np.concatenate([self.is_touched, is_touched])[order]
        self.crossed = np.concatenate([self.crossed, np.zeros_like(flags)])[order]

    def triangles(self) -> Int[np.ndarray, "T 3"]:
        """Triangles of the rebuilt surface, two for each quad, as rows of its vertices."""
        quads = dual_grid_quads(torch.from_numpy(self.coords), torch.from_numpy(self.flags))
        return quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3).numpy()

    def surface(self) -> NearSurface:
        return surface_by_vertices(self.coords, self.position, self.triangles())

    def part(self, rows: Int[np.ndarray, " n"]) -> "EditableGrid":
        """A copy of some rows (ascending) to work on."""
        touched = np.zeros(len(rows), bool)
        columns = (self.coords[rows], self.position[rows], self.flags[rows], touched, self.crossed[rows])
        return EditableGrid(self.resolution, *columns)

    def merge(self, part: "EditableGrid") -> None:
        """Take over the flags of a part, and its new voxels where a quad uses them; touches what changed."""
        row = self.rows(part.coords)
        is_known, is_used = row >= 0, np.zeros(len(row), bool)
        is_used[np.unique(part.triangles())] = True
        known = row[is_known]
        self.is_touched[known] |= (self.flags[known] != part.flags[is_known]).any(1)
        self.flags[known] = part.flags[is_known]
        new = is_used & ~is_known
        self.extend(part.coords[new], part.position[new], part.flags[new], np.ones(int(new.sum()), bool))

    def result(self, grid: DualGrid) -> DualGrid:
        """The edited grid; rows of `grid` (a subset of the voxels) whose vertex has not moved keep every bit of it."""
        dual = (self.position - self.coords).clip(0, 1).astype(np.float32)
        given = EditableGrid.of(grid)
        row = self.rows(given.coords)
        is_same = (self.position[row] == given.position).all(1)
        dual[row[is_same]] = grid.dual_vertices.detach().cpu().numpy()[is_same]
        device = grid.coords.device
        return replace(
            grid,
            coords=torch.from_numpy(self.coords).to(device, grid.coords.dtype),
            dual_vertices=torch.from_numpy(dual).to(device, grid.dual_vertices.dtype),
            intersected=torch.from_numpy(self.flags).to(device),
        )
