"""Flow transformer on the dense structure latent `[8, 16, 16, 16]` (image to occupancy latent).

Source: microsoft/TRELLIS.2 trellis2/models/sparse_structure_flow.py.

Legend: B samples, R latent resolution, L condition tokens, C channels.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from scenewright.backbones.trellis2.config import FlowConfig
from scenewright.backbones.trellis2.flow_trunk import Condition, FlowTrunk
from scenewright.nn.blocks import ModulatedCrossBlock
from scenewright.nn.embed import grid_coords, grid_position_embedding
from scenewright.nn.rope import rotary_phases
from scenewright.sparse.attention import Sequences

__all__ = ["StructureFlow"]


class StructureFlow(FlowTrunk):
    """Velocity of the structure latent at flow time t, given condition tokens. One token per cell, x slowest."""

    def __init__(self, config: FlowConfig, blocks: Sequence[ModulatedCrossBlock] | None = None) -> None:
        super().__init__(config, blocks)
        if config.pe_mode == "ape":
            positions = grid_position_embedding(config.resolution, config.model_channels)
            self.register_buffer("pos_emb", positions)

    def forward(
        self, x: Float[Tensor, "B C R R R"], t: Float[Tensor, " B"], cond: Condition
    ) -> Float[Tensor, "B Cout R R R"]:
        """Velocity at (x, t); arguments as in `FlowTrunk.trunk`."""
        config = self.config
        h = self.input_layer(x.flatten(2).transpose(1, 2))
        phases = None
        if config.pe_mode == "ape":
            h = h + self.pos_emb
        else:
            # The published dense model always uses the default frequencies, whatever `rope_freq` says.
            cells = grid_coords(config.resolution).to(x.device).repeat(len(x), 1)
            phases = rotary_phases(cells, config.model_channels // config.heads)
        rows = self.trunk(h.flatten(0, 1), t, cond, Sequences.uniform(*h.shape[:2]), phases)
        return rows.view(len(x), -1, config.out_channels).transpose(1, 2).reshape(len(x), -1, *x.shape[2:])
