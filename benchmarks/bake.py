"""Seconds and peak memory of finishing: unwrap, and bake from a sparse voxel grid.

    uv run python -m benchmarks bake [--resolution 512] [--faces 20000 100000] [--size 2048]

The object is a bumpy sphere (radius 0.35 of the unit cube) with all voxels that its surface crosses, six PBR channels
each. Points are projected on to the full-resolution surface before sampling, as exports do. The first row includes
compilation where no cache exists; "bake" is the second of two runs.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import trimesh

from benchmarks.measure import Report
from scenewright.geometry.mesh.bake import bake
from scenewright.geometry.mesh.simplify import simplify
from scenewright.geometry.mesh.surface_color import VoxelField
from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.geometry.mesh.uv import unwrap
from scenewright.machine import peak_memory_bytes
from scenewright.types import Mesh, SparseVoxels


def bumpy_sphere(subdivisions: int) -> Mesh:
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions, radius=0.35)
    x, y, z = np.asarray(sphere.vertices).T
    bumps = 1 + 0.12 * np.sin(27 * x) * np.sin(24 * y) * np.sin(21 * z)
    return Mesh(torch.tensor(sphere.vertices * bumps[:, None]).float(), torch.tensor(sphere.faces))


def shell_voxels(mesh: Mesh, resolution: int) -> SparseVoxels:
    """Voxels within one cell of dense samples on the surface, coloured by position."""
    weights = torch.tensor([[1.0, 1, 1], [4, 1, 1], [1, 4, 1], [1, 1, 4]])
    weights = weights / weights.sum(1, keepdim=True)
    samples = torch.einsum("sk,fkd->fsd", weights, mesh.vertices[mesh.faces]).reshape(-1, 3)
    cells = torch.unique(((samples + 0.5) * resolution).long(), dim=0)
    offsets = torch.tensor([[0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
    cells = torch.unique((cells[:, None] + offsets).reshape(-1, 3), dim=0).int()
    position = (cells + 0.5) / resolution
    attributes = {
        "base_color": position,
        "metallic": position[:, :1],
        "roughness": position[:, 1:2],
        "alpha": torch.ones(len(cells), 1),
    }
    return SparseVoxels(cells, resolution, attributes)


QUICK = {"resolution": 32, "faces": (500,), "size": 128, "subdivisions": 4}
TARGET_S = 20.0


def section(
    report: Report,
    *,
    resolution: int = 512,
    faces: tuple[int, ...] = (20_000, 100_000),
    size: int = 2048,
    subdivisions: int = 8,
) -> None:
    """Prints a row for each number of faces and way to unwrap; `subdivisions` 8 is a surface of 1.3 M faces."""
    fine = bumpy_sphere(subdivisions)
    voxels = shell_voxels(fine, resolution)
    field = VoxelField(voxels)
    tree_s, tree = timed(lambda: TriangleTree(fine))
    report(f"{len(voxels.coords):,} voxels, {len(fine.faces):,} faces; processor seconds; tree {tree_s:.2f} s.")
    report.table("faces", "method", "simplify s", "unwrap s", "bake s", "all / target", "max error")
    for budget in faces:
        simplify_s, coarse = timed(lambda: simplify(fine, budget))
        for method in ("boxes", "charts"):
            unwrap_s, unwrapped = timed(lambda: unwrap(coarse, texture_size=size, method=method))
            for _ in range(2):
                bake_s, baked = timed(
                    lambda: bake(unwrapped, field.at, size, project=lambda points, normals: tree.query(points).points)
                )
            error = (baked.values[..., 3:4] - baked.values[..., :1]).abs().max()
            share = (tree_s + simplify_s + unwrap_s + bake_s) / TARGET_S
            times = (f"{value:.2f}" for value in (simplify_s, unwrap_s, bake_s, share))
            report.row(len(coarse.faces), method, *times, f"{error:.2g}")
            report.ratio(f"{budget:,} faces, {method}: CPU s / {TARGET_S:.0f}", share)
    report(f"\nPeak memory {peak_memory_bytes() / 2**20:.0f} MB.")


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.process_time()
    result = work()
    return time.process_time() - begin, result
