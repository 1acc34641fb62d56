"""The condition of a flow transformer, projected to keys and values once and reused by every sampling step."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.nn.attention import ContextKeyValues, CrossAttention
from scenewright.sparse.attention import Sequences

__all__ = ["FlowContext", "project_context"]


@dataclass(frozen=True)
class FlowContext:
    """A condition projected to keys and values by every block, for reuse over all steps of a sampling run."""

    blocks: tuple[ContextKeyValues, ...]


def project_context(
    layers: Sequence[CrossAttention], cond: Float[Tensor, "B L C"] | Sequence[Float[Tensor, "_ C"]]
) -> FlowContext:
    """`FlowContext` of condition tokens for a stack of cross-attention layers.

    Args:
        cond: tokens of every sample, as one tensor or, where their numbers differ, one tensor per sample.
    """
    if isinstance(cond, Tensor):
        tokens, rows = Sequences.uniform(*cond.shape[:2]), cond.flatten(0, 1)
    else:
        tokens, rows = Sequences(tuple(len(tokens) for tokens in cond)), torch.cat(list(cond))
    return FlowContext(tuple(layer.project(rows, tokens) for layer in layers))
