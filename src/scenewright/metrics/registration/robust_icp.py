"""Yaw sweep, trimmed Chamfer pre-score and coarse-to-fine robust ICP, with the numbers of the I-Scene supplement.

Both clouds are brought into the unit box they share; the source is turned about the up axis in steps of 45 degrees;
the best three turns (trimmed symmetric Chamfer distance) seed short ICP runs; the best seeds are refined point-to-point
on voxel means and then point-to-plane with Tukey's loss on the full clouds. The supplement's numbers are the defaults
of `RobustIcpConfig`; what it leaves open is marked there. Where it is silent, or where following it to the letter loses
poses that its own steps can find (benchmarks/registration.py measures it), we do more:

* each turn is tried about the origin and with the means or the boxes' centres laid on each other (and, with a scale, at
  equal radii): clouds that do not share their middle would else be swept past each other;
* turns that nearly tie with the third are kept: the trimmed score may drop the right one of four yaws of a table;
* not one but the best few seeds are refined; the distances of both whole clouds decide in the end;
* the fine step follows the scale where one is estimated.

Frame: any; `up` names the vertical axis. Legend: N source points, M target points.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from scenewright.metrics.point_tree import PointTree
from scenewright.metrics.registration.icp import check_cloud, estimate_normals, icp_point_to_plane, icp_point_to_point
from scenewright.metrics.registration.similarity import Points, Similarity, nearest_rotation

__all__ = ["RobustIcpConfig", "robust_icp"]


@dataclass(frozen=True)
class RobustIcpConfig:
    """Lengths are in units of the longest side of the box around both clouds."""

    voxel_size: float = 0.03
    yaw_step_deg: float = 45.0
    trim_fraction: float = 0.2
    num_score_points: int = 2000
    num_seeds: int = 3
    tie_share: float = 1.5  # ours: a pre-score up to this multiple of the last seed's is a tie; 1 is the supplement
    num_refined: int = 4  # ours; 1 is the supplement
    tie_share_refined: float = 1.25  # ours: coarse poses that fit up to this much worse than the best are refined too
    seed_iterations: int = 15  # open in the supplement; 8 to 30 end in the same pose on all our cases
    seed_distance_voxels: float = 2.5  # open in the supplement
    coarse_distance_voxels: float = 2.5
    fine_distance_voxels: float = 1.0
    fine_distance_without_normals_voxels: float = 1.5
    tukey_voxels: float = 1.5
    num_iterations: int = 100  # open in the supplement; half of them coarse, at least ten each
    num_normal_neighbours: int = 20  # open in the supplement
    max_scale_change: float = 5.0  # sanity limits: open in the supplement
    max_translation: float = 2.0


def robust_icp(
    source: Points,
    target: Points,
    *,
    up: Literal["x", "y", "z"] = "z",
    estimate_scale: bool = False,
    config: RobustIcpConfig = RobustIcpConfig(),
    seed: int = 0,
) -> Similarity:
    """The transform that brings `source` (the prediction) onto `target` (the truth); never a reflection.

    Deterministic: random subsets come from `seed`. Tiny, flat or symmetric clouds give a finite transform.

    Raises:
        InputError: a cloud is empty or not finite.
    """
    source, target = check_cloud("source", source), check_cloud("target", target)
    low = np.minimum(source.min(0), target.min(0))
    high = np.maximum(source.max(0), target.max(0))
    centre, side = (low + high) / 2, float((high - low).max())
    if side == 0:
        return Similarity()
    source, target = (source - centre) / side, (target - centre) / side

    coarse = _coarse(source, target, "xyz".index(up), estimate_scale, config, np.random.default_rng(seed))
    inside = _fine(source, target, coarse, estimate_scale, config)
    turn = inside.scale * inside.rotation
    return Similarity(inside.rotation, centre + side * inside.translation - turn @ centre, inside.scale)


def _coarse(
    source: Points,
    target: Points,
    axis: int,
    estimate_scale: bool,
    config: RobustIcpConfig,
    rng: np.random.Generator,
) -> list[Similarity]:
    """Coarse poses, one per seed worth refining."""
    source, target = _voxel_means(source, config.voxel_size), _voxel_means(target, config.voxel_size)
    tree = PointTree(target)
    reach = config.seed_distance_voxels * config.voxel_size
    seeds = [
        icp_point_to_point(source, tree, start, reach, config.seed_iterations, estimate_scale=estimate_scale)
        for start in _best_starts(source, target, axis, estimate_scale, config, rng)
    ]
    seeds.sort(key=lambda result: result.rmse + config.voxel_size * (1 - result.fitness))
    reach = config.coarse_distance_voxels * config.voxel_size
    budget = max(10, config.num_iterations // 2)
    poses = [
        icp_point_to_point(source, tree, seed.transform, reach, budget, estimate_scale=estimate_scale).transform
        for seed in seeds[: config.num_refined]
    ]
    costs = [_misfit(pose, source, target, tree, config) for pose in poses]
    return [pose for pose, cost in zip(poses, costs, strict=True) if cost <= config.tie_share_refined * min(costs)]


def _best_starts(
    source: Points,
    target: Points,
    axis: int,
    estimate_scale: bool,
    config: RobustIcpConfig,
    rng: np.random.Generator,
) -> list[Similarity]:
    """The `num_seeds` best yaws by trimmed Chamfer distance, and those that tie with the last of them."""
    source, target = (_subset(cloud, config.num_score_points, rng) for cloud in (source, target))
    trees = PointTree(source), PointTree(target)
    scales = [1.0, _radius(target) / _radius(source)] if estimate_scale and _radius(source) > 0 else [1.0]
    scored = []
    for yaw in np.arange(0.0, 360.0, config.yaw_step_deg):
        options = []
        for scale in scales:
            turn = Similarity(_turn(axis, yaw), scale=scale)
            moved = turn(source)
            shifts = [np.zeros(3), target.mean(0) - moved.mean(0), _middle(target) - _middle(moved)]
            options += [Similarity(turn.rotation, shift, scale) for shift in shifts]
        scored.append(
            min(
                ((_trimmed_chamfer(o, source, target, trees, config.trim_fraction), o) for o in options),
                key=lambda p: p[0],
            )
        )
    scored.sort(key=lambda pair: pair[0])
    limit = config.tie_share * scored[min(config.num_seeds, len(scored)) - 1][0]
    return [start for score, start in scored if score <= limit]


def _fine(
    source: Points, target: Points, coarse: list[Similarity], estimate_scale: bool, config: RobustIcpConfig
) -> Similarity:
    """The best refinement of the coarse poses on the full clouds; the better a pose, the more of both clouds fits."""
    budget = max(10, config.num_iterations - max(10, config.num_iterations // 2))
    tree, normals = PointTree(target), estimate_normals(target, config.num_normal_neighbours)
    best, best_cost = coarse[0], np.inf
    for pose in coarse:
        # With a scale the points are moved first and refined from the identity: refinement is rigid.
        moved, start, after = (pose(source), Similarity(), pose) if estimate_scale else (source, pose, Similarity())
        if normals is None:
            reach = config.fine_distance_without_normals_voxels * config.voxel_size
            refined = icp_point_to_point(moved, tree, start, reach, budget).transform @ after
        else:
            reach, tukey = config.fine_distance_voxels * config.voxel_size, config.tukey_voxels * config.voxel_size
            refined = (
                icp_point_to_plane(
                    moved, tree, normals, start, reach, budget, tukey=tukey, estimate_scale=estimate_scale
                ).transform
                @ after
            )
        final = Similarity(nearest_rotation(refined.rotation), refined.translation, refined.scale)
        result = next((t for t in (final, pose) if _is_sane(t, config)), Similarity())
        cost = _misfit(result, source, target, tree, config) if len(coarse) > 1 else 0.0
        if cost < best_cost:
            best, best_cost = result, cost
    return best


def _is_sane(transform: Similarity, config: RobustIcpConfig) -> bool:
    finite = np.isfinite(transform.matrix).all()
    proper = finite and abs(np.linalg.det(transform.rotation) - 1) < 0.1
    plausible = 1 / config.max_scale_change <= transform.scale <= config.max_scale_change
    return bool(proper and plausible and np.linalg.norm(transform.translation) < config.max_translation)


def _voxel_means(points, voxel_size):
    keys = np.floor(points / voxel_size).astype(np.int64)
    _, inverse, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    inverse = inverse.ravel()
    return np.stack([np.bincount(inverse, points[:, a]) for a in range(3)], axis=1) / counts[:, None]


def _subset(points, num, rng):
    return points if len(points) <= num else points[rng.choice(len(points), num, replace=False)]


def _turn(axis, yaw_deg):
    angle = np.deg2rad(yaw_deg)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    rotation = np.eye(3)
    rotation[i, i] = rotation[j, j] = np.cos(angle)
    rotation[i, j], rotation[j, i] = -np.sin(angle), np.sin(angle)
    return rotation


def _middle(points):
    return (points.min(0) + points.max(0)) / 2


def _radius(points):
    return float(np.sqrt(np.square(points - points.mean(0)).sum(1).mean()))


def _trimmed_chamfer(motion: Similarity, source: Points, target: Points, trees: tuple, trim: float) -> float:
    # The way back is measured in the source's frame, so that its tree serves every start.
    there = trees[1].nearest(motion(source))[0]
    back = trees[0].nearest(motion.inverse()(target))[0] * motion.scale
    return sum(float(np.sort(d)[: max(1, int(np.ceil((1 - trim) * len(d))))].mean()) for d in (there, back))


def _misfit(motion: Similarity, source: Points, target: Points, tree: PointTree, config: RobustIcpConfig) -> float:
    """Mean distance of both clouds, cut off at the coarse reach: missing parts count alike, a small object counts."""
    reach = config.coarse_distance_voxels * config.voxel_size
    rng = np.random.default_rng(0)
    there = tree.nearest(motion(_subset(source, config.num_score_points, rng)))[0]
    back = PointTree(motion(source)).nearest(_subset(target, config.num_score_points, rng))[0]
    return float(np.minimum(there, reach).mean() + np.minimum(back, reach).mean())
