"""The condition of a flow transformer: one `BlockContext` per block, made once and reused by every sampling step.

Legend: T packed rows, B samples, L condition tokens, C channels.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import cast, overload

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.nn.attention import CrossAttention
from scenewright.nn.blocks import BlockContext
from scenewright.nn.rope import RotaryPhases
from scenewright.sparse.attention import Sequences

__all__ = ["FlowContext", "OnDemand", "apply_blocks", "project_context"]


@dataclass(frozen=True)
class FlowContext:
    """The condition of every block of a flow; flows take None for the all-zero condition."""

    blocks: Sequence[BlockContext]


class OnDemand(Sequence[BlockContext]):
    """Contexts made when their block's turn comes and not kept: less memory, more work where they are reused."""

    def __init__(self, makers: Sequence[Callable[[], BlockContext]]) -> None:
        self._makers = makers

    def __len__(self) -> int:
        return len(self._makers)

    @overload
    def __getitem__(self, index: int) -> BlockContext: ...
    @overload
    def __getitem__(self, index: slice) -> "OnDemand": ...
    def __getitem__(self, index: int | slice) -> "BlockContext | OnDemand":
        return OnDemand(self._makers[index]) if isinstance(index, slice) else self._makers[index]()


def project_context(
    blocks: Iterable[nn.Module], cond: Float[Tensor, "B L C"] | Sequence[Float[Tensor, "_ C"]]
) -> FlowContext:
    """Keys and values of condition tokens in the cross-attention of every block.

    Args:
        blocks: `ModulatedCrossBlock`s.
        cond: tokens of every sample, as one tensor or, where their numbers differ, one tensor per sample.
    """
    if isinstance(cond, Tensor):
        tokens, rows = Sequences.uniform(*cond.shape[:2]), cond.flatten(0, 1)
    else:
        tokens, rows = Sequences(tuple(len(tokens) for tokens in cond)), torch.cat(list(cond))
    layers = [cast(CrossAttention, block.cross_attn) for block in blocks]
    return FlowContext(tuple(BlockContext(layer.project(rows, tokens)) for layer in layers))


def apply_blocks(
    blocks: Iterable[nn.Module],
    rows: Float[Tensor, "T C"],
    mod: Float[Tensor, "B Cmod"],
    context: FlowContext | None,
    tokens: Sequences,
    phases: RotaryPhases | None = None,
) -> Float[Tensor, "T C"]:
    """Rows after all blocks of a flow, each with its own context; arguments as in `ModulatedCrossBlock.forward`."""
    for index, block in enumerate(blocks):
        rows = block(rows, mod, BlockContext() if context is None else context.blocks[index], tokens, phases)
    return rows
