"""Projection conditioning of a chunk's 16^3 cells and of sparse voxels, against the plain per-view form.

    uv run python -m benchmarks genrecon_conditioning [--voxels 60000] [--views 32] [--channels 1024]

Prints, in single precision and in bfloat16, processor seconds of: reading the sampled features once (gather and sum),
the matrix products that the algebra leaves (once per token, once per voxel, one per visible pair of voxel and view) on
rows that are in the cache, our aggregation, and the plain form on some of the points, scaled up to all.
"""

import time
from functools import partial

import torch
from torch import Tensor

from benchmarks.measure import Report, alternate
from scenewright.geometry.camera.cameras import look_at
from scenewright.geometry.camera.patches import patch_of_points
from scenewright.machine import peak_memory_bytes
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


QUICK = {"voxels": 0, "views": 2, "channels": 32}


@torch.no_grad()
def section(report: Report, *, voxels: int = 60_000, views: int = 32, channels: int = 1024) -> None:
    """Prints a row for each cloud of points and precision of the products."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    seen_by = room_views(views, 32, channels)
    aggregator = MultiViewAggregator(AggregatorConfig(channels)).eval()
    for parameter in aggregator.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    axis = (torch.arange(16) + 0.5) / 16 - 0.5
    clouds = {"16^3 cells": torch.cartesian_prod(axis, axis, axis)}
    if voxels:
        # Some of 64^3 cells, in the order of a lattice.
        chosen = torch.randperm(64**3)[:voxels].sort().values
        clouds[f"{voxels:,} voxels"] = (grid_coords(64)[chosen] + 0.5) / 64 - 0.5
    names = "read once s", "products s", "ours s", "plain s"
    shares = "plain / ours", "ours / products", "ours / (products + reading)", "ours / read once"
    report.table("points", "pairs seen", "products in", *names, *shares)
    for name, points in clouds.items():
        patch, seen = patch_of_points(points, seen_by.cam_from_joint, seen_by.intrinsics_unit, 32)
        used = len((patch + 1024 * torch.arange(len(patch))[:, None])[seen].unique())
        sample = points[torch.randperm(len(points))[:PLAIN_POINTS]]
        expected = plain(aggregator, seen_by, sample)
        sizes = used, len(points), int(seen.sum())
        for dtype, tolerance in ((torch.float32, 1e-3), (torch.bfloat16, 1e-2)):
            found = condition_points(aggregator, seen_by, sample, dtype=dtype)
            assert (found - expected).norm() < tolerance * expected.norm()
            once, floor, ours, loop = alternate(
                [
                    partial(read_once, seen_by, points),
                    partial(products, channels, dtype, *sizes),
                    partial(condition_points, aggregator, seen_by, points, dtype=dtype),
                    partial(plain, aggregator, seen_by, sample),
                ],
                repeats=2,
                warmup=0,
                clock=time.process_time,
            )
            loop *= len(points) / len(sample)
            times = (f"{value:.3g}" for value in (once, floor, ours, loop))
            ratios = (f"{value:.2f}" for value in (loop / ours, ours / floor, ours / (floor + once), ours / once))
            kind = str(dtype).removeprefix("torch.")
            report.row(name, f"{float(seen.float().mean()):.0%}", kind, *times, *ratios)
            report.ratio(f"{name}, {kind}: ours / (products + reading)", ours / (floor + once))
    report(f"\nPeak memory {peak_memory_bytes() / 2**30:.2f} GiB.")
