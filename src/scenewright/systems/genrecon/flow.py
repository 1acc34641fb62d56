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
from scenewright.nn.flow_context import FlowContext, OnDemand, project_context
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
"""The projected conditions of all chunks are kept over all steps up to this size, else made anew each time."""


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
    kept_bytes: int = PROJECTION_BYTES,
) -> FlowContext:
    """The condition of the blocks: one picture's tokens per sample, and the aggregated condition of every voxel.

    Args:
        condition: rows of all samples, packed.
        kept_bytes: keys, values and projections are kept while they are smaller, keys and values alone while those
            are, at about 3 % more work per step; else nothing is, at about 5 %.
    """
    dtype = torso_dtype(flow.torso)
    rows = condition.to(dtype)
    item = rows.element_size()
    width, blocks = flow.config.model_channels, len(flow.blocks)
    pictures_bytes = blocks * tokens.shape[0] * tokens.shape[1] * 2 * width * item
    if pictures_bytes > kept_bytes:
        parts = zip(flow.blocks, flow.proj_linears, strict=True)
        return FlowContext(OnDemand([partial(_block_context, block, tokens, linear, rows) for block, linear in parts]))
    contexts = list(flow.project_context(tokens).blocks)
    if pictures_bytes + blocks * len(rows) * width * item <= kept_bytes:
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


def _block_context(
    block: nn.Module, tokens: Float[Tensor, "B L D"], linear: nn.Module, rows: Float[Tensor, "T D"]
) -> BlockContext:
    return _with_added(project_context([block], tokens).blocks[0], linear, rows)
