"""The detail flow: TRELLIS.2's latent flow over all parts of a room at once, told which part each token belongs to.

Tokens carry the absolute position of their cell in the room plus a learned embedding of their part. Self-attention
runs over all parts of a room; whom a token reads in the cross-attention is in its context (`view_attention`).
Source: naver/inspace trellis2/models/structured_latent_flow.py.

Legend: T tokens, B rooms, C channels.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scenewright.backbones.trellis2.config import FlowConfig
from scenewright.backbones.trellis2.flow_trunk import Condition
from scenewright.backbones.trellis2.latent_flow import LatentFlow
from scenewright.sparse.tensor import SparseTensor
from scenewright.systems.inspace.parts import RoomParts

__all__ = ["MAX_PART_ID", "DetailFlow", "part_ids"]

MAX_PART_ID = 10
"""Parts beyond share the last embedding; the published number."""
_PART_STD = 0.02


class DetailFlow(LatentFlow):
    """Velocity of the shape or texture latent of all parts, one token per cell and part.

    Args:
        config: sizes; positions must be absolute ("ape").
        max_part_id: the last part that has an embedding of its own.
    """

    def __init__(self, config: FlowConfig, max_part_id: int = MAX_PART_ID) -> None:
        super().__init__(config)
        self.part_pe = nn.Embedding(max_part_id + 1, config.model_channels)
        self.part_pe_proj = nn.Linear(config.model_channels, config.model_channels)

    def initialize_weights(self) -> None:
        """As the backbone; the part embedding says nothing at first."""
        super().initialize_weights()
        nn.init.normal_(self.part_pe.weight, std=_PART_STD)
        nn.init.zeros_(self.part_pe_proj.weight)
        nn.init.zeros_(self.part_pe_proj.bias)

    def embed(
        self, x: SparseTensor, ids: Int[Tensor, " T"], concat: Float[Tensor, "T Cconcat"] | None = None
    ) -> Float[Tensor, "T C"]:
        """Tokens before the first block."""
        return self.embed_rows(x, concat) + self.part_pe_proj(self.part_pe(ids))

    def velocity_of_parts(
        self,
        x: SparseTensor,
        ids: Int[Tensor, " T"],
        t: Float[Tensor, " B"],
        cond: Condition,
        concat: Float[Tensor, "T Cconcat"] | None = None,
    ) -> SparseTensor:
        """Velocity at (x, t) of tokens of parts; `ids` of `part_ids`, the rest as in the backbone's flow."""
        return self.velocity(x, self.embed(x, ids, concat), t, cond)


def part_ids(rooms: Sequence[RoomParts], max_part_id: int = MAX_PART_ID) -> Int[Tensor, " T"]:
    """Part of every token of the rooms one after another: 0 the room, then its parts in order, at most the last id."""
    ids = []
    for room in rooms:
        numbers = torch.arange(len(room.parts)).clamp(max=max_part_id)
        ids.append(numbers.repeat_interleave(torch.tensor(room.lengths)))
    return torch.cat(ids)
