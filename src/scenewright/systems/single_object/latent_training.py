"""Training tasks of TRELLIS.2's latent flows: shape latents from a picture, texture latents from picture and shape.

Uniform times, condition dropped for one sample in ten (the shape latent never), plain mean squared error over all
tokens of the batch. Source: microsoft/TRELLIS.2
trellis2/trainers/flow_matching.

Legend: B samples, M tokens of all samples, C channels, L condition tokens.
"""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.backbones.trellis2.config import FlowConfig
from scenewright.backbones.trellis2.latent_flow import LatentFlow
from scenewright.samplers.flow import interpolate
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.training.flow_matching import TimeSchedule, drop_condition, flow_loss, sample_times
from scenewright.training.task import Task
from scenewright.weights.config import config_from_json

__all__ = ["LatentFlowTask", "TokenBatch", "build_latent_flow"]


class TokenBatch(TypedDict):
    """Normalised latents on the tokens of all samples, `coords` (sample, x, y, z); texture flows need both latents."""

    coords: Int[Tensor, "M 4"]
    latent: Float[Tensor, "M C"]
    shape_latent: NotRequired[Float[Tensor, "M Cs"]]
    cond: Float[Tensor, "B L Cc"]


class LatentFlowTask(Task[TokenBatch]):
    """Flow matching on latent tokens."""

    def __init__(self, network: LatentFlow, times: TimeSchedule, drop_probability: float = 0.1) -> None:
        self.network, self.times, self.drop_probability = network, times, drop_probability

    def loss(self, batch: TokenBatch) -> dict[str, Tensor]:
        x_0 = batch["latent"].float()
        cond = drop_condition(batch["cond"].float(), self.drop_probability)
        voxels = VoxelSet(batch["coords"], len(cond))
        t = sample_times(len(cond), self.times, device=x_0.device)
        noise = torch.randn_like(x_0)
        x_t = interpolate(x_0, noise, t[voxels.batch_index, None])
        shape = batch["shape_latent"].float() if "shape_latent" in batch else None
        velocity = self.network(SparseTensor(x_t, voxels), 1000 * t, cond, shape)
        return {"loss": flow_loss(velocity.feats, x_0, noise), "tokens": x_0.new_tensor(float(len(x_0)))}


def build_latent_flow(
    network: Mapping[str, Any], times: Mapping[str, Any] | None = None, drop_probability: float = 0.1
) -> LatentFlowTask:
    """The task of a latent flow, initialised as published."""
    flow = LatentFlow(config_from_json(FlowConfig, network, irrelevant=()))
    flow.initialize_weights()
    schedule = config_from_json(TimeSchedule, {"kind": "uniform"} | dict(times or {}))
    return LatentFlowTask(flow, schedule, drop_probability)
