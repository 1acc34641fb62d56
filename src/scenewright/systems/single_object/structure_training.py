"""Training tasks on the dense structure: its autoencoder, and the flow on its latent.

Losses as published: microsoft/TRELLIS trellis/trainers, microsoft/TRELLIS.2 trellis2/trainers.

Legend: B samples, R occupancy resolution, r latent resolution, L condition tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

from scenewright.backbones.structure_vae import (
    StructureDecoder,
    StructureEncoder,
    StructureVAEConfig,
    structure_vae_losses,
)
from scenewright.backbones.trellis1.config import StructureFlowConfig
from scenewright.backbones.trellis1.structure_flow import StructureFlow as Trellis1StructureFlow
from scenewright.backbones.trellis2.config import FlowConfig
from scenewright.backbones.trellis2.structure_flow import StructureFlow as Trellis2StructureFlow
from scenewright.errors import InputError
from scenewright.training.flow_matching import TimeSchedule, drop_condition, flow_loss, noised, sample_times
from scenewright.training.task import Task
from scenewright.weights.config import config_from_json

__all__ = [
    "OccupancyBatch",
    "StructureBatch",
    "StructureFlowTask",
    "StructureVAETask",
    "StructureVAETaskConfig",
    "build_structure_flow",
    "silhouettes",
]


@dataclass(frozen=True)
class StructureVAETaskConfig:
    """The autoencoder and its loss; TRELLIS trains with "dice" and 1e-3, TRELLIS.2 with "bce" and 1e-6."""

    network: StructureVAEConfig = field(default_factory=StructureVAEConfig)
    reconstruction: str = "dice"
    kl_weight: float = 1e-3


class OccupancyBatch(TypedDict):
    """Occupied voxels of objects, as bytes or booleans."""

    occupancy: Num[Tensor, "B 1 R R R"]


class StructureVAETask(Task[OccupancyBatch]):
    """Occupancy through the autoencoder."""

    network: nn.ModuleDict

    def __init__(self, config: StructureVAETaskConfig) -> None:
        self.config = config
        encoder, decoder = StructureEncoder(config.network), StructureDecoder(config.network)
        self.network = nn.ModuleDict({"encoder": encoder, "decoder": decoder})

    def loss(self, batch: OccupancyBatch) -> dict[str, Tensor]:
        occupancy = batch["occupancy"].float()
        mean, log_variance = (part.float() for part in self.network["encoder"](occupancy))
        latent = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        logits = self.network["decoder"](latent).float()
        losses = structure_vae_losses(
            logits,
            occupancy,
            mean,
            log_variance,
            reconstruction=self.config.reconstruction,
            kl_weight=self.config.kl_weight,
        )
        return losses | {"iou": _iou(logits > 0, occupancy > 0.5)}

    def sheet(self, batch: OccupancyBatch) -> Tensor:
        """Truth and reconstruction, each seen along the three axes."""
        occupancy = batch["occupancy"].float()
        decoded = self.network["decoder"](self.network["encoder"](occupancy)[0])
        return silhouettes([occupancy[:, 0] > 0.5, decoded[:, 0] > 0])


def silhouettes(volumes: list[Tensor]) -> Tensor:
    """Picture of boolean volumes `[B, R, R, R]`: a row per item; per volume, depth seen along x, y and z."""
    columns = []
    for volume in volumes:
        side = volume.shape[-1]
        near = torch.linspace(1.0, 0.3, side, device=volume.device)
        for axis in (1, 2, 3):
            shape = [1, 1, 1, 1]
            shape[axis] = side
            view = (volume * near.view(shape)).amax(axis).transpose(1, 2).flip(1)  # the last axis, z, points up
            columns.append(torch.nn.functional.pad(view, (1, 1, 1, 1), value=1.0))
    rows = torch.cat([torch.cat(list(column), 0) for column in columns], 1)
    return (rows * 255).byte()[..., None].expand(-1, -1, 3)


def _iou(a: Tensor, b: Tensor) -> Tensor:
    return (a & b).sum() / (a | b).sum().clamp(min=1)


class StructureBatch(TypedDict):
    """Structure latents of objects and the tokens of their pictures."""

    latent: Float[Tensor, "B C r r r"]
    cond: Float[Tensor, "B L Cc"]


class StructureFlowTask(Task[StructureBatch]):
    """Flow matching on structure latents.

    Args:
        network: called as network(x_t, 1000 t, cond).
        drop_probability: share of samples whose condition is replaced by zeros.
    """

    def __init__(self, network: nn.Module, times: TimeSchedule | None = None, drop_probability: float = 0.1) -> None:
        self.network, self.times, self.drop_probability = network, times or TimeSchedule(), drop_probability

    def loss(self, batch: StructureBatch) -> dict[str, Tensor]:
        x_0 = batch["latent"].float()
        t = sample_times(len(x_0), self.times, device=x_0.device)
        x_t, noise = noised(x_0, t)
        cond = drop_condition(batch["cond"].float(), self.drop_probability)
        return {"loss": flow_loss(self.network(x_t, 1000 * t, cond), x_0, noise)}


def build_structure_flow(
    backbone: str = "trellis1",
    network: Mapping[str, Any] | None = None,
    times: Mapping[str, Any] | None = None,
    drop_probability: float = 0.1,
) -> StructureFlowTask:
    """The task of either backbone's structure flow, initialised as published.

    Raises:
        InputError: an unknown backbone or argument.
    """
    flow: Trellis1StructureFlow | Trellis2StructureFlow
    if backbone == "trellis1":
        flow = Trellis1StructureFlow(config_from_json(StructureFlowConfig, network or {}))
    elif backbone == "trellis2":
        flow = Trellis2StructureFlow(config_from_json(FlowConfig, network or {}, irrelevant=()))
    else:
        raise InputError(f"Expected backbone trellis1 or trellis2, got '{backbone}'.")
    flow.initialize_weights()
    return StructureFlowTask(flow, config_from_json(TimeSchedule, times or {}), drop_probability)
