"""Flow transformer on the tokens of a shape or texture latent; both stages use this network with their own weights.

A texture flow sees the (normalised) shape latent of the same voxels concatenated behind its own channels.
Source: microsoft/TRELLIS.2 trellis2/models/structured_latent_flow.py.

Legend: N tokens, B samples, L condition tokens, C channels.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.backbones.trellis2.flow_trunk import Condition, FlowTrunk
from scenewright.nn.embed import absolute_position_embedding
from scenewright.nn.rope import RotaryPhases, rotary_phases
from scenewright.sparse.attention import Sequences
from scenewright.sparse.tensor import SparseTensor, VoxelSet

__all__ = ["LatentFlow"]


class LatentFlow(FlowTrunk):
    """Velocity of a sparse latent at flow time t, given condition tokens."""

    def forward(
        self,
        x: SparseTensor,
        t: Float[Tensor, " B"],
        cond: Condition,
        concat: Float[Tensor, "N Cconcat"] | None = None,
    ) -> SparseTensor:
        """Velocity at (x, t) on the voxels of `x`; arguments as in `FlowTrunk.trunk`.

        Args:
            concat: what stands behind the channels of `x` in the input, row by row.
        """
        return self.velocity(x, self.embed_rows(x, concat), t, cond)

    def embed_rows(self, x: SparseTensor, concat: Float[Tensor, "N Cconcat"] | None = None) -> Float[Tensor, "N C"]:
        """Tokens after the input layer, with their position where it is absolute."""
        h = self.input_layer(x.feats if concat is None else torch.cat([x.feats, concat], 1))
        if self.config.pe_mode == "ape":
            h = h + absolute_position_embedding(x.coords[:, 1:], h.shape[1])
        return h

    def velocity(
        self, x: SparseTensor, rows: Float[Tensor, "N C"], t: Float[Tensor, " B"], cond: Condition
    ) -> SparseTensor:
        """Velocity on the voxels of `x`, whose embedded tokens are `rows`."""
        phases = self._phases(x.voxels) if self.config.pe_mode == "rope" else None
        return x.replace(self.trunk(rows, t, cond, Sequences(x.voxels.lengths), phases))

    def _phases(self, voxels: VoxelSet) -> RotaryPhases:
        head_channels, frequencies = self.config.model_channels // self.config.heads, self.config.rope_freq
        return voxels.cached(
            ("rotary", head_channels, frequencies),
            lambda: rotary_phases(voxels.coords[:, 1:], head_channels, frequencies),
        )
