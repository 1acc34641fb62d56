"""Seconds and peak memory of mesh extraction on the grid of the published mesh decoder (256^3).

    uv run python -m benchmarks mesh_extraction [--voxels 60000] [--resolution 256] [--repeat 3] [--device cpu]

The surface is a bumpy sphere whose voxel shell has about `--voxels` active voxels. Every size runs in a process of its
own; the memory is that process's peak resident size, with the size after importing torch in brackets.
"""

import time

import torch

from benchmarks.measure import Report, in_new_process
from scenewright.geometry.isosurface.dual_marching_cubes_table import CORNER_OFFSETS
from scenewright.geometry.isosurface.mesh_extraction import extract_mesh
from scenewright.machine import peak_memory_bytes


def sphere_features(num_voxels: int, resolution: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Voxels that a noisy sphere crosses, its radius chosen to give about `num_voxels`, with random weights."""
    generator = torch.Generator().manual_seed(0)
    # A sphere of r voxels crosses about 1.5 * 4 pi r^2 voxels.
    radius = (num_voxels / (6 * torch.pi)) ** 0.5 / resolution
    axis = (torch.arange(resolution) + 0.5) / resolution - 0.5
    coords = []
    for x in range(resolution):
        distance = (axis[x] ** 2 + axis[:, None] ** 2 + axis[None] ** 2).sqrt() - radius
        yz = (distance.abs() < 0.87 / resolution).nonzero()
        coords.append(torch.cat([torch.full_like(yz[:, :1], x), yz], 1))
    coords = torch.cat(coords)
    corners = (coords[:, None] + torch.tensor(CORNER_OFFSETS)) / resolution - 0.5
    feats = 0.3 * torch.randn(len(coords), 101, generator=generator)
    feats[:, :8] = corners.norm(dim=-1) - radius + 1 / resolution
    return coords, feats


def peak_mb() -> float:
    return peak_memory_bytes() / 2**20


def measure(num_voxels: int, resolution: int, repeat: int, device: str) -> dict[str, float]:
    baseline = peak_mb()
    coords, feats = sphere_features(num_voxels, resolution)
    coords, feats = coords.to(device), feats.to(device)
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        mesh = extract_mesh(coords, feats, resolution)
        if feats.is_cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    peak = peak_mb() if device == "cpu" else torch.cuda.max_memory_allocated() / 2**20
    return {
        "voxels": len(coords),
        "faces": len(mesh.faces),
        "first_s": seconds[0],
        "best_s": min(seconds),
        "peak_mb": peak,
        "import_mb": baseline,
    }


QUICK = {"voxels": (500,), "resolution": 32, "repeat": 1}


def section(
    report: Report,
    *,
    voxels: tuple[int, ...] = (10_000, 60_000, 200_000),
    resolution: int = 256,
    repeat: int = 3,
    device: str = "cpu",
) -> None:
    """Prints a row for each size."""
    each: list[float] = []
    report.table("voxels", "faces", "first s", "best s", "peak MB", "after import MB")
    for number in voxels:
        found = in_new_process(measure, number, resolution, repeat, device)
        keys = {"first_s": 2, "best_s": 2, "peak_mb": 0, "import_mb": 0}
        figures = (f"{found[key]:.{digits}f}" for key, digits in keys.items())
        report.row(found["voxels"], found["faces"], *figures)
        each.append(found["best_s"] / found["voxels"])
    report.ratio("a voxel of the largest / of the smallest", each[-1] / each[0])
