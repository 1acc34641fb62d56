"""GenRecon's networks at toy size, with random weights that are nowhere zero."""

from dataclasses import replace

import torch
from torch import nn

from scenewright.backbones.trellis2.config import FlowConfig
from scenewright.systems.genrecon.flow import ProjectedLatentFlow, ProjectedStructureFlow

FLOW = FlowConfig(
    resolution=4,
    in_channels=3,
    model_channels=24,
    cond_channels=10,
    out_channels=3,
    num_blocks=2,
    num_heads=2,
    mlp_ratio=2.0,
    pe_mode="rope",
    share_mod=True,
    initialization="scaled",
    qk_rms_norm=True,
    qk_rms_norm_cross=True,
)
LATENT = replace(FLOW, resolution=8, in_channels=4, out_channels=4)


def randomised(network: nn.Module, seed: int = 0, std: float = 0.2) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(std * torch.randn(parameter.shape, generator=generator))
    return network.eval().requires_grad_(False)


def structure_flow() -> ProjectedStructureFlow:
    return randomised(ProjectedStructureFlow(FLOW))  # type: ignore[return-value]


def latent_flow() -> ProjectedLatentFlow:
    return randomised(ProjectedLatentFlow(LATENT), 1)  # type: ignore[return-value]
