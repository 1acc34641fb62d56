"""Seconds and peak memory of finishing: unwrap, and bake from a sparse voxel grid.

    uv run python benchmarks/bake.py [--resolution 512] [--faces 20000 100000] [--size 2048]

The object is a bumpy sphere (radius 0.35 of the unit cube) with all voxels that its surface crosses, six PBR channels
each. Points are projected on to the full-resolution surface before sampling, as exports do. The first row includes
compilation where no cache exists; "bake" is the second of two runs.
"""

import argparse
import time

import numpy as np
import torch
import trimesh

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolution", type=int, default=512)
    parser.add_argument("--faces", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--subdivisions", type=int, default=8, help="of the full-resolution surface; 8 = 1.3 M faces")
    arguments = parser.parse_args()
    fine = bumpy_sphere(arguments.subdivisions)
    voxels = shell_voxels(fine, arguments.resolution)
    field = VoxelField(voxels)
    start = time.perf_counter()
    tree = TriangleTree(fine)
    print(f"{len(voxels.coords)} voxels, {len(fine.faces)} faces; tree {time.perf_counter() - start:.2f} s")
    print(f"{'faces':>8} {'method':>7} {'simplify':>9} {'unwrap':>7} {'bake':>7} {'max error':>10}")
    for budget in arguments.faces:
        start = time.perf_counter()
        coarse = simplify(fine, budget)
        simplify_s = time.perf_counter() - start
        for method in ("boxes", "charts"):
            start = time.perf_counter()
            unwrapped = unwrap(coarse, texture_size=arguments.size, method=method)
            unwrap_s = time.perf_counter() - start
            for _ in range(2):
                start = time.perf_counter()
                baked = bake(unwrapped, field.at, arguments.size, project=lambda points: tree.query(points).points)
                bake_s = time.perf_counter() - start
            error = (baked.values[..., 3:4] - baked.values[..., :1]).abs().max()
            times = f"{simplify_s:>8.2f}s {unwrap_s:>6.2f}s {bake_s:>6.2f}s"
            print(f"{len(coarse.faces):>8} {method:>7} {times} {error:>10.2g}")
    print(f"peak memory {peak_memory_bytes() / 2**20:.0f} MB")


if __name__ == "__main__":
    main()
