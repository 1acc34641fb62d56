"""Submanifold 3x3x3 convolution against spconv on the CPU, in one process, and against its own bare products.

    uv run --group bench python -m benchmarks sparse_conv [--voxels 20000] [--widths 64 128] [--threads 1]

Voxels are those a sphere's surface touches, as in a structured latent. Both sides convolve with their neighbour map
built beforehand (it is built once per coordinate set and reused by every layer and sampling step); the time to build
it is printed for both as well. Seconds are the processor's on one thread and the clock's on several. Differences are
from the sums that spconv makes on one thread: on several its threads add to the same rows at once.
"""

import time
import warnings
from itertools import product
from typing import Any

import torch

from benchmarks.measure import MissingError, Report, alternate, matmul_peak
from scenewright.sparse.conv import sparse_conv
from scenewright.sparse.kernel_map import KernelMap, submanifold_map
from scenewright.sparse.tensor import VoxelSet


def sphere_voxels(count: int) -> torch.Tensor:
    """About `count` voxels of a thin spherical shell, as rows (0, x, y, z)."""
    resolution = round((count / 2.9) ** 0.5)
    axis = torch.arange(resolution)
    cells = torch.cartesian_prod(axis, axis, axis)
    radius = (cells + 0.5 - resolution / 2).norm(dim=1)
    shell = cells[(radius - 0.45 * resolution).abs() < 0.58]
    return torch.cat([torch.zeros_like(shell[:, :1]), shell], 1).int()


# Seconds for the threads of the other side to come to rest.
PAUSE = 0.02
QUICK = {"voxels": (500,), "widths": (16,), "repeats": 1}


@torch.no_grad()
def section(
    report: Report,
    *,
    voxels: tuple[int, ...] = (20_000, 100_000),
    widths: tuple[int, ...] = (64, 128, 256),
    threads: tuple[int, ...] = (1, 2),
    repeats: int = 5,
) -> None:
    """Prints a row for each number of threads, size and width, and one for the map; then each precision's own ratio."""
    warnings.filterwarnings("ignore")
    try:
        import spconv.pytorch as spconv
    except ImportError as error:
        raise MissingError("spconv (uv run --group bench)") from error
    torch.manual_seed(0)
    usual_threads = torch.get_num_threads()
    columns = ("threads", "voxels", "channels", "ours ms", "spconv ms", "ours / spconv")
    report.table(*columns, "of matmul peak", "our difference", "spconv's difference")
    for count, num_threads in product(voxels, threads):
        clock = time.process_time if num_threads == 1 else time.perf_counter
        coords = sphere_voxels(count)
        shape = [int(coords.max()) + 1] * 3
        kernel_map = submanifold_map(VoxelSet(coords))
        pairs = sum(len(source) for source in kernel_map.sources)
        torch.set_num_threads(num_threads)
        peak = matmul_peak(clock=clock)
        makers = [lambda: submanifold_map(VoxelSet(coords)), lambda: spconv_map(spconv, coords, shape)]
        maps = alternate(makers, repeats, clock=clock, pause=PAUSE)
        where = f"{num_threads} thread{'s'[: num_threads - 1]}, {count:,}"
        for channels in widths:
            feats = torch.randn(len(coords), channels)
            layer = spconv.SubMConv3d(channels, channels, 3, bias=False, indice_key="map")
            torch.set_num_threads(1)
            expected = layer(spconv.SparseConvTensor(feats, coords, shape, 1))  # builds the map under its key
            torch.set_num_threads(num_threads)
            weight, x = layer.weight.flatten(1, 3).permute(1, 2, 0).contiguous(), expected.replace_feature(feats)
            calls = [lambda: sparse_conv(feats, weight, None, kernel_map), lambda: layer(x).features]
            ours, theirs = alternate(calls, repeats, clock=clock, pause=PAUSE)
            differences = [f"{(call() - expected.features).abs().max():.1e}" for call in calls]
            used = 2 * pairs * channels**2 / ours / peak
            times = f"{1e3 * ours:.1f}", f"{1e3 * theirs:.1f}", f"**{ours / theirs:.2f}**"
            report.row(num_threads, f"{len(coords):,}", channels, *times, f"{used:.0%}", *differences)
            report.ratio(f"{where} x {channels}: ours / spconv", ours / theirs)
            first = (maps[0] + ours) / (maps[1] + theirs)
            report.ratio(f"{where} x {channels}, map included: ours / spconv", first)
        times = (*(f"{1e3 * s:.1f}" for s in maps), f"**{maps[0] / maps[1]:.2f}**")
        report.row(num_threads, f"{len(coords):,}", "map", *times, "", "", "")
    torch.set_num_threads(1)
    report.table("dtype", "voxels", "channels", "one thread ms", "products alone ms", "convolution / products")
    for count, channels, dtype in product(voxels, widths, (torch.float32, torch.bfloat16)):
        kernel_map = submanifold_map(VoxelSet(sphere_voxels(count)))
        feats = torch.randn(kernel_map.num_sources, channels, dtype=dtype)
        weight = torch.randn(len(kernel_map.sources), channels, channels, dtype=dtype)
        calls = [lambda: sparse_conv(feats, weight, None, kernel_map), lambda: products(feats, weight, kernel_map)]
        ours, bare = alternate(calls, repeats)
        name = str(dtype).removeprefix("torch.")
        times = f"{1e3 * ours:.1f}", f"{1e3 * bare:.1f}", f"**{ours / bare:.2f}**"
        report.row(name, f"{kernel_map.num_sources:,}", channels, *times)
        report.ratio(f"{name}, {count:,} x {channels}: convolution / products", ours / bare)
    torch.set_num_threads(usual_threads)


def products(feats: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap) -> None:
    """As many rows as each tap gathers, times its weight, a few thousand at a time as they stay in the cache."""
    for tap, sources in enumerate(kernel_map.sources):
        for rows in feats[: len(sources)].split(4096):
            rows @ weight[tap]


def spconv_map(spconv: Any, coords: torch.Tensor, shape: list[int]) -> None:
    layer = spconv.SubMConv3d(1, 1, 3, bias=False, indice_key="map")
    layer(spconv.SparseConvTensor(torch.zeros(len(coords), 1), coords, shape, 1))
