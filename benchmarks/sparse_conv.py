"""Submanifold 3x3x3 convolution against spconv on the CPU, in one process.

    uv run --group bench python -m benchmarks.sparse_conv

Voxels are those a sphere's surface touches, as in a structured latent. Both sides convolve with their neighbour map
built beforehand (it is built once per coordinate set and reused by every layer and sampling step); the time to build
it is printed for both as well.
"""

import warnings

import torch

from benchmarks.measure import alternate, machine, matmul_peak
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


def main() -> None:
    warnings.filterwarnings("ignore")
    import spconv.pytorch as spconv

    torch.manual_seed(0)
    peak = matmul_peak()
    print(f"{machine()}; matmul peak {peak / 1e9:.0f} GFLOP/s fp32\n")
    print("| voxels | channels | ours ms | spconv ms | spconv / ours | of matmul peak | max difference |")
    print("|---|---|---|---|---|---|---|")
    for count in (20_000, 100_000):
        coords = sphere_voxels(count)
        shape = [int(coords.max()) + 1] * 3
        build = alternate(
            [
                lambda coords=coords: submanifold_map(VoxelSet(coords)),
                lambda coords=coords, shape=shape: build_spconv_map(spconv, coords, shape),
            ],
            repeats=3,
        )
        kernel_map = submanifold_map(VoxelSet(coords))
        pairs = sum(len(source) for source in kernel_map.sources)
        for channels in (64, 128, 256, 512):
            feats = torch.randn(len(coords), channels)
            layer = spconv.SubMConv3d(channels, channels, 3, bias=False, indice_key="map")
            x = spconv.SparseConvTensor(feats, coords, shape, 1)
            with torch.no_grad():
                expected = layer(x)  # builds the map under its key
                weight = layer.weight.flatten(1, 3).permute(1, 2, 0)
                ours, theirs = alternate(
                    [
                        lambda feats=feats, weight=weight: sparse_conv(feats, weight, None, kernel_map),
                        lambda layer=layer, x=expected.replace_feature(feats): layer(x),
                    ],
                    repeats=5,
                )
                difference = (sparse_conv(feats, weight, None, kernel_map) - expected.features).abs().max()
            used = 2 * pairs * channels**2 / ours / peak
            print(
                f"| {len(coords):,} | {channels} | {1e3 * ours:.1f} | {1e3 * theirs:.1f} | {theirs / ours:.2f} "
                f"| {used:.0%} | {difference:.1e} |"
            )
        print(
            f"| {len(coords):,} | map | {1e3 * build[0]:.1f} | {1e3 * build[1]:.1f} | {build[1] / build[0]:.2f} | | |"
        )


def build_spconv_map(spconv: object, coords: torch.Tensor, shape: list[int]) -> None:
    layer = spconv.SubMConv3d(1, 1, 3, bias=False, indice_key="map")
    with torch.no_grad():
        layer(spconv.SparseConvTensor(torch.zeros(len(coords), 1), coords, shape, 1))


if __name__ == "__main__":
    main()
