"""GenRecon's flows: TRELLIS.2's with a term from the pictures added to every voxel before every block.

Nothing in the backbone changes: the term is the `added` part of each block's context, and the low-rank adapters of the
published files are merged into the weights when they are loaded. The negative condition is zero for both parts; the
biases of the projections still act. Keys, values and projections depend on neither latent nor time and are made once.
Source: GenRecon, `genrecon/models/{sparse_structure_flow,structured_latent_flow}.py`.

Legend: B samples, L tokens of a picture, T packed voxels, D channels of the condition, C channels of the model.
"""

from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.backbones.trellis2.config import FlowConfig
from scenewright.backbones.trellis2.latent_flow import LatentFlow
from scenewright.backbones.trellis2.structure_flow import StructureFlow
from scenewright.nn.blocks import BlockContext
from scenewright.nn.flow_context import FlowContext, OnDemand
from scenewright.nn.precision import torso_dtype
from scenewright.systems.genrecon.aggregator import AggregatorConfig, MultiViewAggregator
from scenewright.weights.checkpoint import Checkpoint
from scenewright.weights.lora import MergedLora

__all__ = [
    "ADAPTER_ALPHA",
    "PROJECTION_BYTES",
    "ProjectedFlow",
    "ProjectedLatentFlow",
    "ProjectedStructureFlow",
    "merged_adapters",
    "scene_context",
    "unconditional_context",
]

ADAPTER_ALPHA = 16.0
"""Strength of the published adapters, whose rank is 8."""
PROJECTION_BYTES = 1 << 30
"""Projected conditions up to this size are kept over all steps; larger ones are made anew for every block."""


class ProjectedStructureFlow(StructureFlow):
    """Velocity of the structure latents of chunks; one term per cell, x slowest."""

    def __init__(self, config: FlowConfig, aggregator: AggregatorConfig | None = None) -> None:
        super().__init__(config)
        self.aggregator, self.proj_linears = _conditioning(config, aggregator)

    @property
    def torso(self) -> tuple[nn.Module, ...]:
        return (self.blocks, self.proj_linears)


class ProjectedLatentFlow(LatentFlow):
    """Velocity of the shape or texture latents of chunks; one term per token."""

    def __init__(self, config: FlowConfig, aggregator: AggregatorConfig | None = None) -> None:
        super().__init__(config)
        self.aggregator, self.proj_linears = _conditioning(config, aggregator)

    @property
    def torso(self) -> tuple[nn.Module, ...]:
        return (self.blocks, self.proj_linears)


ProjectedFlow = ProjectedStructureFlow | ProjectedLatentFlow


def scene_context(
    flow: ProjectedFlow,
    tokens: Float[Tensor, "B L D"],
    condition: Float[Tensor, "T D"],
    *,
    projection_bytes: int = PROJECTION_BYTES,
) -> FlowContext:
    """The condition of the blocks: one picture's tokens per sample, and the aggregated condition of every voxel.

    Args:
        condition: rows of all samples, packed.
        projection_bytes: from here on projections are not kept, at about 3 % more work per step.
    """
    dtype = torso_dtype(flow.torso)
    rows = condition.to(dtype)
    size = len(flow.blocks) * len(rows) * flow.config.model_channels * rows.element_size()
    contexts = list(flow.project_context(tokens).blocks)
    if size <= projection_bytes:
        return FlowContext([
            replace(context, added=linear(rows)) for context, linear in zip(contexts, flow.proj_linears, strict=True)
        ])  # fmt: skip
    return FlowContext(OnDemand([
        partial(_with_added, context, linear, rows)
        for context, linear in zip(contexts, flow.proj_linears, strict=True)
    ]))  # fmt: skip


def unconditional_context(flow: ProjectedFlow) -> FlowContext:
    """The negative condition: zero tokens and zero voxel conditions, of which the projections' biases remain."""
    return FlowContext([BlockContext(added=linear.bias[None]) for linear in flow.proj_linears])  # type: ignore[index]


def merged_adapters(checkpoint: Checkpoint, alpha: float = ADAPTER_ALPHA) -> MergedLora:
    """The published files as plain weights of our networks (a `view` for `load_weights`)."""
    return MergedLora(checkpoint, alpha)


def _conditioning(config: FlowConfig, aggregator: AggregatorConfig | None) -> tuple[MultiViewAggregator, nn.ModuleList]:
    """Aggregator, and one projection per block that starts at zero."""
    linears = nn.ModuleList(nn.Linear(config.cond_channels, config.model_channels) for _ in range(config.num_blocks))
    for parameter in linears.parameters():
        nn.init.zeros_(parameter)
    return MultiViewAggregator(aggregator or AggregatorConfig(config.cond_channels)), linears


def _with_added(context: BlockContext, linear: nn.Module, rows: Float[Tensor, "T D"]) -> BlockContext:
    added: torch.Tensor = linear(rows)
    return replace(context, added=added)
