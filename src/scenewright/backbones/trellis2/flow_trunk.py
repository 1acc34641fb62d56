"""The transformer under all flows of TRELLIS.2: time modulation, cross-attention to image tokens, rotary positions.

Only linear layers inside the blocks may be half precision; time embedding, shared modulation, first and last layer stay
fp32. Source: microsoft/TRELLIS.2 trellis2/models/sparse_structure_flow.py and structured_latent_flow.py.

Legend: T packed rows, B samples, L condition tokens, C channels.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.backbones.trellis2.config import FlowConfig
from scenewright.nn.attention import SelfAttention
from scenewright.nn.blocks import ModulatedCrossBlock
from scenewright.nn.embed import TimestepEmbedder
from scenewright.nn.flow_context import FlowContext, apply_blocks, project_context
from scenewright.nn.init import initialize_flow_scaled, initialize_flow_vanilla
from scenewright.nn.modulation import adaln_projection
from scenewright.nn.precision import torso_dtype
from scenewright.nn.rope import RotaryPhases
from scenewright.sparse.attention import Sequences

__all__ = ["Condition", "FlowTrunk", "flow_block"]

Condition = Float[Tensor, "B L Ccond"] | Sequence[Tensor] | FlowContext | None


class FlowTrunk(nn.Module):
    """Common parts of the dense and the sparse flow.

    Args:
        config: sizes.
        blocks: replaces the transformer blocks (systems that extend the backbone).
    """

    def __init__(self, config: FlowConfig, blocks: Sequence[ModulatedCrossBlock] | None = None) -> None:
        super().__init__()
        self.config = config
        width = config.model_channels
        self.t_embedder = TimestepEmbedder(width)
        self.adaLN_modulation = adaln_projection(width) if config.share_mod else None
        self.input_layer = nn.Linear(config.in_channels, width)
        self.blocks = nn.ModuleList(blocks or [flow_block(config) for _ in range(config.num_blocks)])
        self.out_layer = nn.Linear(width, config.out_channels)

    @property
    def torso(self) -> tuple[nn.Module, ...]:
        return (self.blocks,)

    def initialize_weights(self) -> None:
        """Published starting point of training; the velocity is zero."""
        zeroed: list[nn.Module] = [self.out_layer]
        zeroed += [module[1] for name, module in self.named_modules() if name.endswith("adaLN_modulation")]
        if self.config.initialization == "scaled":
            initialize_flow_scaled(self, self.t_embedder, self.input_layer, self.blocks, zeroed)
        else:
            initialize_flow_vanilla(self, self.t_embedder, zeroed)

    def project_context(self, cond: Float[Tensor, "B L Ccond"] | Sequence[Tensor]) -> FlowContext:
        """Keys and values of the condition in every block; they do not depend on the latent or the time."""
        return project_context(self.blocks, cond)

    def trunk(
        self,
        rows: Float[Tensor, "T C"],
        t: Float[Tensor, " B"],
        cond: Condition,
        tokens: Sequences,
        phases: RotaryPhases | None,
    ) -> Float[Tensor, "T Cout"]:
        """Velocity of packed rows that have passed the input layer (and hold their position where it is absolute).

        Args:
            t: 1000 times the flow time.
            cond: condition tokens of every sample, what the blocks make of them (`project_context`), or None for the
                all-zero condition, which needs no attention.
            tokens: division of the rows into samples.
        """
        context = cond if cond is None or isinstance(cond, FlowContext) else self.project_context(cond)
        dtype = torso_dtype(self.torso)
        modulation = self.t_embedder(t)
        if self.adaLN_modulation is not None:
            modulation = self.adaLN_modulation(modulation)
        modulation, h = modulation.to(dtype), rows.to(dtype)
        h = apply_blocks(self.blocks, h, modulation, context, tokens, phases)
        # The last norm has no parameters and eps 1e-5, unlike the blocks' 1e-6.
        return self.out_layer(F.layer_norm(h.to(rows.dtype), h.shape[-1:]))


def flow_block(config: FlowConfig, self_attention: SelfAttention | None = None) -> ModulatedCrossBlock:
    """One transformer block of the given sizes, with the plain self-attention or the one given."""
    return ModulatedCrossBlock(
        config.model_channels,
        config.cond_channels,
        config.heads,
        config.mlp_ratio,
        modulation="shared_offset" if config.share_mod else "own",
        qk_rms_norm=config.qk_rms_norm,
        qk_rms_norm_cross=config.qk_rms_norm_cross,
        self_attention=self_attention,
    )
