"""Projection conditioning of a chunk's 16^3 cells and of sparse voxels, against the plain per-view form.

    uv run python -m benchmarks.genrecon_conditioning [--voxels 60000] [--views 32] [--channels 1024]

Prints seconds of: reading the sampled features once (gather and sum), the D x D product per visible voxel and view that
no algebra removes, our aggregation, and the plain form on some of the points, scaled up to all.
"""

import argparse
import resource
import time
from collections.abc import Callable

import torch
from torch import Tensor

from scenewright.geometry.camera.cameras import look_at
from scenewright.geometry.camera.patches import patch_of_points
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


def products(aggregator: MultiViewAggregator, pairs: int) -> None:
    """The middle layer of the features alone, on rows that are in the cache already."""
    rows = torch.randn(min(pairs, 1024), aggregator.config.channels)
    for _ in range(-(-pairs // len(rows))):
        aggregator.feature_mlp[2](rows)


def timed(work: Callable[[], object]) -> float:
    """Seconds of processor time of this process, as the machine may be shared."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


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
    axis = (torch.arange(16) + 0.5) / 16 - 0.5
    clouds = {"16^3 cells": torch.cartesian_prod(axis, axis, axis)}
    if arguments.voxels:
        clouds[f"{arguments.voxels} voxels"] = torch.rand(arguments.voxels, 3) - 0.5
    for name, points in clouds.items():
        seen = patch_of_points(points, views.cam_from_joint, views.intrinsics_unit, 32)[1]
        sample = points[torch.randperm(len(points))[:PLAIN_POINTS]]
        torch.testing.assert_close(
            condition_points(aggregator, views, sample), plain(aggregator, views, sample), rtol=1e-3, atol=1e-3
        )
        once = timed(lambda points=points: read_once(views, points))
        floor = timed(lambda seen=seen: products(aggregator, int(seen.sum())))
        ours = timed(lambda points=points: condition_points(aggregator, views, points))
        loop = timed(lambda sample=sample: plain(aggregator, views, sample)) * len(points) / len(sample)
        print(
            f"{name}: {float(seen.float().mean()):.0%} of pairs seen; read once {once:.2f} s, "
            f"products alone {floor:.2f} s, ours {ours:.2f} s, plain {loop:.2f} s (from {len(sample)} points): "
            f"{loop / ours:.1f}x of plain; {ours / once:.1f}x of reading, {ours / floor:.1f}x of the products"
        )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
