"""Projection conditioning of a chunk's 16^3 cells and of sparse voxels, against the plain per-view form.

    uv run python -m benchmarks.genrecon_conditioning [--voxels 60000] [--views 32] [--channels 1024]

Prints, in single precision and in bfloat16, processor seconds of: reading the sampled features once (gather and sum),
the matrix products that the algebra leaves (once per token, once per voxel, one per visible pair of voxel and view) on
rows that are in the cache, our aggregation, and the plain form on some of the points, scaled up to all.
"""

import argparse
import resource
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from scenewright.geometry.camera.cameras import look_at
from scenewright.geometry.camera.patches import patch_of_points
from scenewright.nn.embed import grid_coords
from scenewright.systems.genrecon.aggregator import AggregatorConfig, MultiViewAggregator
from scenewright.systems.genrecon.conditioning import NUM_GLOBAL_TOKENS, EncodedViews, condition_points

PLAIN_POINTS = 256


def room_views(count: int, patches: int, channels: int) -> EncodedViews:
    """Cameras inside the cube, half a side around its middle, looking across it."""
    angle = torch.arange(count) / count * 2 * torch.pi
    direction = torch.stack([angle.cos(), angle.sin(), torch.zeros(count)], 1)
    poses = look_at(-0.4 * direction, 0.3 * direction)
    intrinsics = torch.tensor([[0.7, 0.0, 0.5], [0.0, 0.7, 0.5], [0.0, 0.0, 1.0]]).repeat(count, 1, 1)
    return EncodedViews(torch.randn(count, patches**2 + NUM_GLOBAL_TOKENS, channels), poses, intrinsics)


def plain(aggregator: MultiViewAggregator, views: EncodedViews, points: Tensor) -> Tensor:
    """All layers once per point and view, seen or not, as published."""
    patch, seen = patch_of_points(points, views.cam_from_joint, views.intrinsics_unit, views.patches)
    index = (patch + views.num_global)[..., None].expand(*patch.shape, views.tokens.shape[2])
    feats = views.tokens.gather(1, index) * seen[..., None]
    count = seen.sum(0)[:, None].clamp(min=1)
    mean = feats.sum(0) / count
    variance = ((feats - mean).square() * seen[..., None]).sum(0) / count
    h = torch.cat([feats, mean.expand_as(feats), variance.expand_as(feats)], -1)
    weight = torch.where(seen, aggregator.weight_mlp(h)[..., 0], -1e9).softmax(0) * seen.any(0)
    return mean + (weight[..., None] * aggregator.feature_mlp(h)).sum(0)


def read_once(views: EncodedViews, points: Tensor) -> Tensor:
    """The mean of the sampled features, which reads each of them once."""
    patch, seen = patch_of_points(points, views.cam_from_joint, views.intrinsics_unit, views.patches)
    total = points.new_zeros(len(points), views.tokens.shape[2])
    for view in range(len(patch)):
        rows = seen[view].nonzero()[:, 0]
        total[rows] += views.tokens[view, patch[view, rows] + views.num_global]
    return total


def products(channels: int, dtype: torch.dtype, tokens: int, voxels: int, pairs: int) -> None:
    """The products alone: rows times matrix in blocks of 1024 rows."""
    for count, rows, columns in ((tokens, 1, 2), (voxels, 2, 2), (voxels, 1, 1), (pairs, 1, 1)):
        block = torch.randn(min(count, 1024), rows * channels).to(dtype)
        matrix = torch.randn(columns * channels, rows * channels).to(dtype)
        for _ in range(-(-count // len(block))):
            torch.nn.functional.linear(block, matrix)


def fastest(work: Callable[[], object]) -> float:
    """Seconds of processor time of this process, as the machine may be shared; the better of two runs."""
    seconds = []
    for _ in range(2):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return min(seconds)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voxels", type=int, default=60_000)
    parser.add_argument("--views", type=int, default=32)
    parser.add_argument("--channels", type=int, default=1024)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    views = room_views(arguments.views, 32, arguments.channels)
    aggregator = MultiViewAggregator(AggregatorConfig(arguments.channels)).eval()
    for parameter in aggregator.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    axis = (torch.arange(16) + 0.5) / 16 - 0.5
    clouds = {"16^3 cells": torch.cartesian_prod(axis, axis, axis)}
    if arguments.voxels:
        # Some of 64^3 cells, in the order of a lattice.
        chosen = torch.randperm(64**3)[: arguments.voxels].sort().values
        clouds[f"{arguments.voxels} voxels"] = (grid_coords(64)[chosen] + 0.5) / 64 - 0.5
    for name, points in clouds.items():
        patch, seen = patch_of_points(points, views.cam_from_joint, views.intrinsics_unit, 32)
        used = len((patch + 1024 * torch.arange(len(patch))[:, None])[seen].unique())
        sample = points[torch.randperm(len(points))[:PLAIN_POINTS]]
        expected = plain(aggregator, views, sample)
        once = fastest(partial(read_once, views, points))
        loop = fastest(partial(plain, aggregator, views, sample)) * len(points) / len(sample)
        print(
            f"{name}: {float(seen.float().mean()):.0%} of pairs and {used} tokens in use; read once {once:.2f} s, "
            f"plain {loop:.2f} s (from {len(sample)} points)"
        )
        for dtype, tolerance in ((torch.float32, 1e-3), (torch.bfloat16, 1e-2)):
            found = condition_points(aggregator, views, sample, dtype=dtype)
            assert (found - expected).norm() < tolerance * expected.norm()
            sizes = used, len(points), int(seen.sum())
            floor = fastest(partial(products, arguments.channels, dtype, *sizes))
            ours = fastest(partial(condition_points, aggregator, views, points, dtype=dtype))
            print(
                f"    {dtype}: products alone {floor:.2f} s, ours {ours:.2f} s: plain / ours {loop / ours:.1f}, "
                f"ours / products {ours / floor:.2f}, ours / (products + reading) {ours / (floor + once):.2f}, "
                f"ours / reading {ours / once:.2f}"
            )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
