"""Rectified-flow training: times, noised samples, condition dropout and the loss.

x_t = (1 - t) x_0 + (sigma_min + (1 - sigma_min) t) noise; the network is fed 1000 t and predicts
v = (1 - sigma_min) noise - x_0. Source: TRELLIS (arXiv 2412.01506); microsoft/TRELLIS trellis/trainers/flow_matching
and the same folder of microsoft/TRELLIS.2.

Legend: B samples.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from scenewright.errors import InputError
from scenewright.samplers.flow import SIGMA_MIN, interpolate, velocity_target

__all__ = ["TimeSchedule", "drop_condition", "flow_loss", "noised", "sample_times", "without_condition"]


@dataclass(frozen=True)
class TimeSchedule:
    """Distribution of training times: t = sigmoid(N(mean, std)), or uniform in [0, 1).

    The published structure flows draw logit-normal with mean 1 and std 1, TRELLIS.2's latent flows uniform.
    """

    kind: str = "logit_normal"
    mean: float = 1.0
    std: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ("logit_normal", "uniform"):
            raise InputError(f"Expected the time schedule logit_normal or uniform, got '{self.kind}'.")

    def logit_normal(self, normal: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Flow times of standard normal draws."""
        return (normal * self.std + self.mean).sigmoid()


def sample_times(
    count: int, schedule: TimeSchedule = TimeSchedule(), *, device: torch.device | str = "cpu"
) -> Float[Tensor, " B"]:
    """`count` independent flow times in fp32."""
    if schedule.kind == "uniform":
        return torch.rand(count, device=device)
    return schedule.logit_normal(torch.randn(count, device=device))


def noised(
    x_0: Float[Tensor, " B *rest"], t: Float[Tensor, " B"], *, sigma_min: float = SIGMA_MIN
) -> tuple[Float[Tensor, " B *rest"], Float[Tensor, " B *rest"]]:
    """x_t and the noise in it, one time per row."""
    noise = torch.randn_like(x_0)
    return interpolate(x_0, noise, t.view(-1, *[1] * (x_0.ndim - 1)), sigma_min), noise


def drop_condition(cond: Float[Tensor, " B *rest"], probability: float) -> Float[Tensor, " B *rest"]:
    """`cond` with whole rows set to zero, each with the given probability: the published negative image condition."""
    return without_condition(cond, torch.rand(len(cond), device=cond.device) < probability)


def without_condition(cond: Float[Tensor, " B *rest"], is_dropped: Bool[Tensor, " B"]) -> Float[Tensor, " B *rest"]:
    """`cond` with the given rows set to zero."""
    return torch.where(is_dropped.view(-1, *[1] * (cond.ndim - 1)), torch.zeros_like(cond), cond)


def flow_loss(
    velocity: Float[Tensor, "*shape"],
    x_0: Float[Tensor, "*shape"],
    noise: Float[Tensor, "*shape"],
    *,
    sigma_min: float = SIGMA_MIN,
) -> Float[Tensor, ""]:
    """Mean squared error of the velocity over all elements, in fp32; no weighting by time, large samples weigh more."""
    return F.mse_loss(velocity.float(), velocity_target(x_0.float(), noise.float(), sigma_min))
