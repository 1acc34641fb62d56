"""Movement of a surface, mesh -> O-Voxel -> mesh: the published conversion and the faithful one.

    python -m benchmarks.round_trip [PACK] [--files GLB ...] [--split val] [--count 20] [--resolutions 128 256]

Models are every n-th of the split by name, or GLB files with `--files`. Distances are in voxels, from random points of
either surface, largest and the share beyond half a voxel, original to rebuilt and rebuilt to original. Seconds are CPU
seconds of one thread after a first call for compilation: the published conversion, and what the faithful one adds.
Stored bytes add up to 0.007 voxel.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import trimesh

from benchmarks.measure import machine
from scenewright.data.model_pack import ModelPack
from scenewright.geometry.mesh.triangle_tree import closest_points
from scenewright.geometry.ovoxel.dual_grid import DualGridConfig, mesh_to_dual_grid
from scenewright.geometry.ovoxel.dual_grid_mesh import dual_grid_to_mesh
from scenewright.geometry.ovoxel.faithful.fidelity import faithful_dual_grid
from scenewright.geometry.ovoxel.voxelize import fit_unit_cube
from scenewright.io.glb import load_glb
from scenewright.types import DualGrid, Mesh, merged_mesh


def chosen_models(pack: ModelPack, split: str, count: int) -> list[str]:
    names = sorted(row.id for row in pack.rows.values() if row.split == split)
    return names[:: max(len(names) // count, 1)][:count]


def models(arguments: argparse.Namespace) -> Iterator[tuple[str, Mesh]]:
    for path in arguments.files:
        yield path.stem, joined([part for scene_object in load_glb(path).objects for part in scene_object.parts])
    if arguments.pack:
        pack = ModelPack(arguments.pack)
        for name in chosen_models(pack, arguments.split, arguments.count):
            yield name, joined(pack.read(name).parts)


def joined(parts: Sequence[Mesh]) -> Mesh:
    mesh = merged_mesh(parts)
    return Mesh(fit_unit_cube(mesh.vertices.float())[0], mesh.faces)


def random_points(mesh: Mesh, count: int, seed: int) -> torch.Tensor:
    surface = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    return torch.from_numpy(np.asarray(trimesh.sample.sample_surface(surface, count, seed=seed)[0])).float()


def distances(mesh: Mesh, grid: DualGrid, count: int) -> list[tuple[float, float]]:
    """(largest, percent beyond half a voxel) from the mesh to the rebuilt surface, and back."""
    rebuilt = dual_grid_to_mesh(grid)
    figures = []
    for seed, (source, target) in enumerate([(mesh, rebuilt), (rebuilt, mesh)]):
        distance = closest_points(target, random_points(source, count, seed)).distance * grid.resolution
        figures.append((float(distance.max()), 100 * float((distance > 0.5).float().mean())))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack", nargs="?")
    parser.add_argument("--files", nargs="+", type=Path, default=[])
    parser.add_argument("--split", default="val")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--points", type=int, default=50_000)
    arguments = parser.parse_args()
    print(machine(), flush=True)
    single = DualGridConfig(num_threads=1)
    for resolution in arguments.resolutions:
        print(f"\n{resolution}^3\n\n| model | voxels | added | published: there | back ", end="")
        print("| faithful: there | back | s | added s |")
        print("|---|---|---|---|---|---|---|---|---|")
        held, count = np.zeros(2, int), 0
        for name, mesh in models(arguments):
            faithful_dual_grid(mesh_to_dual_grid(mesh, 16, single), mesh, num_threads=1)
            begin = time.process_time()
            grid = mesh_to_dual_grid(mesh, resolution, single)
            middle = time.process_time()
            more = faithful_dual_grid(grid, mesh, num_threads=1)
            end = time.process_time()
            figures = distances(mesh, grid, arguments.points) + distances(mesh, more, arguments.points)
            held += [max(figures[n][0], figures[n + 1][0]) <= 0.5 for n in (0, 2)]
            count += 1
            cells = " | ".join(f"{largest:.2f} ({share:.3f} %)" for largest, share in figures)
            counts = f"{len(grid.coords):,} | {len(more.coords) - len(grid.coords):,}"
            print(f"| {name} | {counts} | {cells} | {middle - begin:.2f} | {end - middle:.2f} |", flush=True)
        print(f"\nhalf a voxel both ways: published {held[0]}, faithful {held[1]} of {count}", flush=True)


if __name__ == "__main__":
    main()
