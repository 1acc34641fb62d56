"""Submanifold 3x3x3 convolution against spconv on the CPU, in one process.

    uv run --group bench python -m benchmarks sparse_conv [--voxels 20000] [--widths 64 128]

Voxels are those a sphere's surface touches, as in a structured latent. Both sides convolve with their neighbour map
built beforehand (it is built once per coordinate set and reused by every layer and sampling step); the time to build
it is printed for both as well.
"""

import warnings
from typing import Any

import torch

from benchmarks.measure import MissingError, Report, alternate, matmul_peak
from scenewright.sparse.conv import sparse_conv
from scenewright.sparse.kernel_map import submanifold_map
from scenewright.sparse.tensor import VoxelSet


def sphere_voxels(count: int) -> torch.Tensor:
    """About `count` voxels of a thin spherical shell, as rows (0, x, y, z)."""
    resolution = round((count / 2.9) ** 0.5)
    axis = torch.arange(resolution)
    cells = torch.cartesian_prod(axis, axis, axis)
    radius = (cells + 0.5 - resolution / 2).norm(dim=1)
    shell = cells[(radius - 0.45 * resolution).abs() < 0.58]
    return torch.cat([torch.zeros_like(shell[:, :1]), shell], 1).int()


QUICK = {"voxels": (500,), "widths": (16,), "repeats": 1}


@torch.no_grad()
def section(
    report: Report,
    *,
    voxels: tuple[int, ...] = (20_000, 100_000),
    widths: tuple[int, ...] = (64, 128, 256, 512),
    repeats: int = 5,
) -> None:
    """Prints a row for each size and width, one for the map, and one for a first call, which makes the map."""
    warnings.filterwarnings("ignore")
    try:
        import spconv.pytorch as spconv
    except ImportError as error:
        raise MissingError("spconv (uv run --group bench)") from error
    torch.manual_seed(0)
    peak = matmul_peak()
    report(f"Matmul peak {peak / 1e9:.0f} GFLOP/s fp32.")
    report.table("voxels", "channels", "ours ms", "spconv ms", "ours / spconv", "of matmul peak", "max difference")
    for count in voxels:
        coords = sphere_voxels(count)
        shape = [int(coords.max()) + 1] * 3
        kernel_map = submanifold_map(VoxelSet(coords))
        pairs = sum(len(source) for source in kernel_map.sources)
        maps = alternate([lambda: submanifold_map(VoxelSet(coords)), lambda: spconv_map(spconv, coords, shape)], 3)
        for channels in widths:
            feats = torch.randn(len(coords), channels)
            layer = spconv.SubMConv3d(channels, channels, 3, bias=False, indice_key="map")
            x = spconv.SparseConvTensor(feats, coords, shape, 1)
            expected = layer(x)  # builds the map under its key
            weight = layer.weight.flatten(1, 3).permute(1, 2, 0)
            ours, theirs = alternate(
                [
                    lambda: sparse_conv(feats, weight, None, kernel_map),
                    lambda x=expected.replace_feature(feats): layer(x),
                ],
                repeats,
            )
            difference = (sparse_conv(feats, weight, None, kernel_map) - expected.features).abs().max()
            used = 2 * pairs * channels**2 / ours / peak
            times = f"{1e3 * ours:.1f}", f"{1e3 * theirs:.1f}", f"{ours / theirs:.2f}"
            report.row(f"{len(coords):,}", channels, *times, f"{used:.0%}", f"{difference:.1e}")
            report.ratio(f"{count:,} x {channels}: ours / spconv", ours / theirs)
            first = (maps[0] + ours) / (maps[1] + theirs)
            report.ratio(f"{count:,} x {channels}, map included: ours / spconv", first)
        report.row(f"{len(coords):,}", "map", *(f"{1e3 * s:.1f}" for s in maps), f"{maps[0] / maps[1]:.2f}", "", "")


def spconv_map(spconv: Any, coords: torch.Tensor, shape: list[int]) -> None:
    layer = spconv.SubMConv3d(1, 1, 3, bias=False, indice_key="map")
    layer(spconv.SparseConvTensor(torch.zeros(len(coords), 1), coords, shape, 1))
