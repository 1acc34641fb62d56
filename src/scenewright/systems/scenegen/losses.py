"""SceneGen's training losses: flow matching on the structures, Huber distances on the poses, a collision value.

loss = mse + lambda (7 H(t) + 5 H(q) + 3 H(s) + H(collision)), with lambda following the ratio of the two sums. As
published, the collision value counts voxels of assets placed at their true poses and has no gradient: it moves lambda
only (the paper describes predicted poses). Source: scenegen sheet section 5.2, golden `scene_losses`.

Legend: N assets of one scene (row 0 is the query), M voxels.
"""

from dataclasses import dataclass

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
    """`loss` to differentiate and the numbers worth logging; a scene of one asset has no pose loss."""

    loss: Float[Tensor, ""]
    mse: Float[Tensor, ""]
    pose: Float[Tensor, ""] | None = None
    pose_weight: float | None = None
    log: dict[str, float] | None = None


def scene_losses(
    velocity: Float[Tensor, "N C R R R"],
    poses: Float[Tensor, "N 8"],
    x_0: Float[Tensor, "N C R R R"],
    noise: Float[Tensor, "N C R R R"],
    true_poses: Float[Tensor, "N 8"],
    balance: LossBalance,
    config: LossConfig = LossConfig(),
    collision: Float[Tensor, ""] | None = None,
) -> SceneLosses:
    """Loss of one scene; `balance` is advanced if the scene has more than one asset.

    Args:
        velocity, poses: what the network predicts.
        collision: `collision_ratio(...)`, or None to leave it out.
    """
    mse = F.mse_loss(velocity, velocity_target(x_0, noise, config.sigma_min))
    if len(poses) == 1:
        return SceneLosses(loss=mse, mse=mse)
    pose, log = pose_losses(poses, true_poses, config)
    if collision is not None:
        zero = torch.zeros_like(collision)
        pose = pose + config.collision_weight * F.smooth_l1_loss(collision, zero, beta=config.collision_beta)
        log["collision_ratio"] = float(collision)
    weight = balance.update(float(mse.detach() / (pose.detach() + 1e-8)), config)
    return SceneLosses(loss=mse + weight * pose, mse=mse, pose=pose, pose_weight=weight, log=log)


def pose_losses(
    poses: Float[Tensor, "N 8"], true_poses: Float[Tensor, "N 8"], config: LossConfig
) -> tuple[Float[Tensor, ""], dict[str, float]]:
    """Weighted Huber distance of all poses but the query's, and plain mean errors for the log.

    Translations are measured in units of the scene's extent per axis (not in the log). Quaternions are compared as they
    are: a rotation told by the other of its two quaternions counts as wrong.
    """
    extent = scene_extent(true_poses)
    told, true = ((rows[1:, :3] / extent, rows[1:, 3:7], rows[1:, 7:]) for rows in (poses, true_poses))
    weights = (config.translation_weight, config.rotation_weight, config.scale_weight)
    terms = [F.smooth_l1_loss(a, b, beta=config.pose_beta) for a, b in zip(told, true, strict=True)]
    total = sum((w * term for w, term in zip(weights, terms, strict=True)), start=poses.new_zeros(()))
    names = ("translation_error", "rotation_error", "scale_error")
    plain = (poses[1:].detach() - true_poses[1:]).abs().split((3, 4, 1), 1)
    log = {name: float(error.mean()) for name, error in zip(names, plain, strict=True)}
    return total, log


def scene_extent(poses: Float[Tensor, "N 8"], smallest: float = 0.01) -> Float[Tensor, " 3"]:
    """Size of the scene per axis: from cubes of side s about every asset's position."""
    half = poses[:, 7:] / 2
    return ((poses[:, :3] + half).amax(0) - (poses[:, :3] - half).amin(0)).clamp(min=smallest)


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
