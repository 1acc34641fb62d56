"""Flow transformer on the dense structure latent (image or text to occupancy latent).

Source: microsoft/TRELLIS trellis/models/sparse_structure_flow.py.

Legend: B batch, R latent resolution, p patch size, L condition tokens, T tokens of one item, C channels.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.backbones.trellis1.config import SLatFlowConfig, StructureFlowConfig
from scenewright.nn.attention import SelfAttention
from scenewright.nn.blocks import ModulatedCrossBlock
from scenewright.nn.embed import TimestepEmbedder, grid_position_embedding
from scenewright.nn.flow_context import FlowContext, apply_blocks, project_context
from scenewright.nn.init import initialize_flow_vanilla
from scenewright.nn.modulation import adaln_projection
from scenewright.nn.precision import torso_dtype
from scenewright.sparse.attention import Sequences

__all__ = ["StructureFlow", "flow_block"]


class StructureFlow(nn.Module):
    """Velocity of the structure latent at flow time t, given condition tokens.

    Args:
        config: sizes.
        blocks: replaces the transformer blocks (systems that extend the backbone).
    """

    def __init__(self, config: StructureFlowConfig, blocks: Sequence[ModulatedCrossBlock] | None = None) -> None:
        super().__init__()
        self.config = config
        width, patch_volume = config.model_channels, config.patch_size**3
        self.t_embedder = TimestepEmbedder(width)
        self.adaLN_modulation = adaln_projection(width) if config.share_mod else None
        positions = grid_position_embedding(config.resolution // config.patch_size, width)
        self.register_buffer("pos_emb", positions)
        self.input_layer = nn.Linear(config.in_channels * patch_volume, width)
        self.blocks = nn.ModuleList(blocks or [flow_block(config) for _ in range(config.num_blocks)])
        self.out_layer = nn.Linear(width, config.out_channels * patch_volume)

    @property
    def torso(self) -> tuple[nn.Module, ...]:
        return (self.blocks,)

    def initialize_weights(self) -> None:
        """Published starting point of training; the velocity is zero."""
        zeroed: list[nn.Module] = [self.out_layer]
        zeroed += [module[1] for name, module in self.named_modules() if name.endswith("adaLN_modulation")]
        initialize_flow_vanilla(self, self.t_embedder, zeroed)

    def project_context(self, cond: Float[Tensor, "B L Ccond"]) -> FlowContext:
        """Keys and values of the condition in every block; they do not depend on the latent or the time."""
        return project_context(self.blocks, cond)

    def patchify(self, x: Float[Tensor, "B C R R R"]) -> Float[Tensor, "B T Cp"]:
        """Tokens in x-slowest order; features are (channel, px, py, pz), channel slowest."""
        p = self.config.patch_size
        return rearrange(x, "b c (x i) (y j) (z k) -> b (x y z) (c i j k)", i=p, j=p, k=p)

    def unpatchify(self, tokens: Float[Tensor, "B T Cp"]) -> Float[Tensor, "B C R R R"]:
        """Inverse of `patchify`."""
        p, side = self.config.patch_size, self.config.resolution // self.config.patch_size
        return rearrange(tokens, "b (x y z) (c i j k) -> b c (x i) (y j) (z k)", x=side, y=side, z=side, i=p, j=p, k=p)

    def embed(self, x: Float[Tensor, "B Cin R R R"]) -> Float[Tensor, "B T C"]:
        """Latent tokens with their position, fp32."""
        return self.input_layer(self.patchify(x)) + self.pos_emb

    def embed_time(self, t: Float[Tensor, " B"]) -> Float[Tensor, "B Cmod"]:
        """The modulation of the blocks: the time embedding, or its shared projection."""
        embedding = self.t_embedder(t)
        return embedding if self.adaLN_modulation is None else self.adaLN_modulation(embedding)

    def transform(
        self, h: Float[Tensor, "B T C"], t: Float[Tensor, " #B"], context: FlowContext | None
    ) -> Float[Tensor, "B T C"]:
        """Tokens after all blocks, in the dtype of `h`; the blocks run in their own. One time may stand for all."""
        dtype, tokens = torso_dtype(self.torso), Sequences.uniform(*h.shape[:2])
        mod, rows = self.embed_time(t).to(dtype), h.to(dtype).flatten(0, 1)
        return apply_blocks(self.blocks, rows, mod, context, tokens).view(h.shape).to(h.dtype)

    def unembed(self, h: Float[Tensor, "B T C"]) -> Float[Tensor, "B Cout R R R"]:
        """Velocity from the last block's tokens; the final norm has no parameters and eps 1e-5, unlike the blocks'."""
        return self.unpatchify(self.out_layer(F.layer_norm(h, h.shape[-1:])))

    def forward(
        self,
        x: Float[Tensor, "B Cin R R R"],
        t: Float[Tensor, " B"],
        cond: Float[Tensor, "B L Ccond"] | FlowContext | None,
    ) -> Float[Tensor, "B Cout R R R"]:
        """Velocity at (x, t).

        Args:
            x: latent.
            t: 1000 times the flow time.
            cond: condition tokens, what the blocks make of them (`project_context`), or None for the all-zero
                condition, which needs no attention.
        """
        context = self.project_context(cond) if isinstance(cond, Tensor) else cond
        return self.unembed(self.transform(self.embed(x), t, context))


def flow_block(
    config: StructureFlowConfig | SLatFlowConfig, self_attention: SelfAttention | None = None
) -> ModulatedCrossBlock:
    """One transformer block of the given sizes, with the plain self-attention or the one given."""
    return ModulatedCrossBlock(
        config.model_channels,
        config.cond_channels,
        config.num_heads,
        config.mlp_ratio,
        modulation="shared" if config.share_mod else "own",
        qk_rms_norm=config.qk_rms_norm,
        qk_rms_norm_cross=config.qk_rms_norm_cross,
        self_attention=self_attention,
    )
