"""SceneGen's training losses: flow matching on the structures, Huber distances on the poses, a collision value.

loss = mse + lambda (7 H(t) + 5 H(q) + 3 H(s) + H(collision)), with lambda following the ratio of the two sums. As
published, the collision value counts voxels of assets placed at their true poses and has no gradient: it moves lambda
only (the paper describes predicted poses). Source: Mengmouxu/SceneGen
scenegen/trainers/flow_matching/flow_matching.py, golden `scene_losses`.

Legend: N assets of a scene (row 0 is the query) or of S scenes one after another, M voxels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.samplers.flow import SIGMA_MIN, velocity_target
from scenewright.systems.scenegen.poses import centred_in_unit_cube, scene_points

__all__ = [
    "LossBalance",
    "LossConfig",
    "SceneLosses",
    "collision_ratio",
    "denoised",
    "pose_losses",
    "scene_extent",
    "scene_losses",
]


@dataclass(frozen=True)
class LossConfig:
    """Weights and widths; defaults are the published ones."""

    translation_weight: float = 7.0
    rotation_weight: float = 5.0
    scale_weight: float = 3.0
    collision_weight: float = 1.0
    pose_beta: float = 0.02
    collision_beta: float = 0.05
    min_balance: float = 0.2
    max_balance: float = 1.0
    balance_decay: float = 0.99
    sigma_min: float = SIGMA_MIN


@dataclass
class LossBalance:
    """The moving average behind lambda; it lives as long as the training process and is not saved, as published."""

    average: float | None = None

    def update(self, ratio: float, config: LossConfig) -> float:
        """lambda after one more ratio of the flow loss to the pose loss."""
        decay = config.balance_decay
        self.average = ratio if self.average is None else decay * self.average + (1 - decay) * ratio
        return min(max(self.average, config.min_balance), config.max_balance)


@dataclass(frozen=True)
class SceneLosses:
    """`loss` to differentiate, and its parts; without a scene of several assets there are no pose parts.

    `log` holds plain mean errors of the poses, and the collision value where there is one.
    """

    loss: Float[Tensor, ""]
    mse: Float[Tensor, ""]
    pose: Float[Tensor, ""] | None = None
    pose_weight: float | None = None
    log: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)


def scene_losses(
    velocity: Float[Tensor, "N C R R R"],
    poses: Float[Tensor, "N 8"],
    x_0: Float[Tensor, "N C R R R"],
    noise: Float[Tensor, "N C R R R"],
    true_poses: Float[Tensor, "N 8"],
    balance: LossBalance,
    config: LossConfig = LossConfig(),
    collision: Float[Tensor, ""] | None = None,
    scene_sizes: Sequence[int] | None = None,
) -> SceneLosses:
    """Loss of a scene, or the mean over several scenes of one batch, which share lambda.

    `balance` is advanced once if any scene has more than one asset. Scenes of one asset have no pose loss.

    Args:
        velocity, poses: what the network predicts.
        collision: mean of `collision_ratio(...)` over the scenes of several assets, or None to leave it out.
        scene_sizes: assets of each scene, one scene after another, its query first; None: all are of one scene.
    """
    sizes = [len(poses)] if scene_sizes is None else list(scene_sizes)
    scenes = _Scenes(torch.tensor(sizes, device=poses.device))
    per_asset = (velocity - velocity_target(x_0, noise, config.sigma_min)).square().flatten(1).mean(1)
    mse = scenes.means(per_asset).mean()
    share = sum(size > 1 for size in sizes) / len(sizes)
    if not share:
        return SceneLosses(loss=mse, mse=mse)
    pose, log = pose_losses(poses, true_poses, config, sizes)
    if collision is not None:
        zero = torch.zeros_like(collision)
        pose = pose + config.collision_weight * F.smooth_l1_loss(collision, zero, beta=config.collision_beta)
        log["collision_ratio"] = collision.detach()
    weight = balance.update(float(mse.detach() / (pose.detach() + 1e-8)), config)
    return SceneLosses(loss=mse + share * weight * pose, mse=mse, pose=pose, pose_weight=weight, log=log)


def pose_losses(
    poses: Float[Tensor, "N 8"],
    true_poses: Float[Tensor, "N 8"],
    config: LossConfig,
    scene_sizes: Sequence[int] | None = None,
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
    """Weighted Huber distance of all poses but the queries', averaged over scenes; plain mean errors for the log.

    Translations are measured in units of the scene's extent per axis (not in the log). Quaternions are compared as they
    are: a rotation told by the other of its two quaternions counts as wrong.
    """
    sizes = [len(poses)] if scene_sizes is None else list(scene_sizes)
    scenes = _Scenes(torch.tensor(sizes, device=poses.device))
    unit = torch.ones_like(true_poses)
    unit[:, :3] = scene_extent(true_poses, sizes)[scenes.of_asset]
    weights = (config.translation_weight, config.rotation_weight, config.scale_weight)
    distance = F.smooth_l1_loss(poses / unit, true_poses / unit, beta=config.pose_beta, reduction="none")
    parts = zip(weights, distance.split((3, 4, 1), 1), strict=True)
    per_asset = torch.stack([weight * part.mean(1) for weight, part in parts]).sum(0)

    plain = (poses.detach() - true_poses).abs()[~scenes.is_query]
    names = ("translation_error", "rotation_error", "scale_error")
    log = {name: error.mean() for name, error in zip(names, plain.split((3, 4, 1), 1), strict=True)}
    return scenes.means_without_query(per_asset).mean(), log


def scene_extent(poses: Float[Tensor, "N 8"], scene_sizes: Sequence[int] | None = None) -> Float[Tensor, "S 3"]:
    """Size of each scene per axis, at least 0.01: from cubes of side s about every asset's position."""
    half = poses[:, 7:] / 2
    high, low = poses[:, :3] + half, poses[:, :3] - half
    sizes = [len(poses)] if scene_sizes is None else list(scene_sizes)
    extents = [h.amax(0) - l.amin(0) for h, l in zip(high.split(sizes), low.split(sizes), strict=True)]
    return torch.stack(extents).clamp(min=0.01)


class _Scenes:
    """Which scene each asset of a batch belongs to, and means over scenes."""

    def __init__(self, sizes: Int[Tensor, " S"]) -> None:
        self.sizes = sizes
        self.of_asset = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)
        starts = sizes.cumsum(0) - sizes
        self.is_query = torch.zeros(len(self.of_asset), dtype=torch.bool, device=sizes.device)
        self.is_query[starts] = True

    def means(self, values: Float[Tensor, " N"]) -> Float[Tensor, " S"]:
        """Mean over the assets of each scene."""
        return values.new_zeros(len(self.sizes)).index_add(0, self.of_asset, values) / self.sizes

    def means_without_query(self, values: Float[Tensor, " N"]) -> Float[Tensor, " M"]:
        """Mean over the assets but the query, of the M scenes that have any."""
        rest = ~self.is_query
        sums = values.new_zeros(len(self.sizes)).index_add(0, self.of_asset[rest], values[rest])
        several = self.sizes > 1
        return sums[several] / (self.sizes[several] - 1)


def denoised(
    x_t: Float[Tensor, "N C R R R"],
    velocity: Float[Tensor, "N C R R R"],
    t: Float[Tensor, " N"],
    sigma_min: float = SIGMA_MIN,
) -> Float[Tensor, "N C R R R"]:
    """The clean latent that `velocity` points to, in the trainer's form.

    It divides by (1 - t) + sigma_t / (1 - sigma_min), about 1, where `samplers.flow.clean_sample` does not.
    """
    t = t.view(-1, 1, 1, 1, 1)
    sigma = sigma_min + (1 - sigma_min) * t
    return (x_t - sigma * velocity / (1 - sigma_min)) / ((1 - t) + sigma / (1 - sigma_min))


def collision_ratio(
    coords: Int[Tensor, "M 4"], true_poses: Float[Tensor, "N 8"], *, occupancy_resolution: int = 64, cells: int = 64
) -> Float[Tensor, ""]:
    """Share of the scene's occupied cells that more than one asset claims.

    As published, assets stand at their true poses and the query's voxels shape the frame but are not counted.

    Args:
        coords: occupied voxels (asset, x, y, z) on a grid of `occupancy_resolution`.
        cells: the scene is cut into so many cells per axis.
    """
    if not len(coords):
        return true_poses.new_zeros(())
    poses = torch.cat([true_poses.new_tensor([[0, 0, 0, 1, 0, 0, 0, 1]]), true_poses[1:]])
    points = centred_in_unit_cube(scene_points(coords, poses, occupancy_resolution))
    cell = (points * (cells - 1)).trunc().long().clamp(0, cells - 1)
    asset = coords[:, 0].long()
    key = ((cell[:, 0] * cells + cell[:, 1]) * cells + cell[:, 2]) + asset * cells**3
    claimed = key[asset > 0].unique() % cells**3
    counts = claimed.unique(return_counts=True)[1]
    return ((counts > 1).sum() / ((counts > 0).sum() + 1e-8)).to(true_poses.dtype)
