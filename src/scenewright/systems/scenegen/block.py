"""SceneGen's transformer block: TRELLIS's, with attention over the whole scene between cross-attention and MLP.

Each asset attends to itself and to its cut-out as in TRELLIS; then all tokens of all assets attend to each other, and
each asset to everything known about the scene. Position and register tokens take part only in the two scene
attentions: no attention inside the asset and no feed-forward. Source: scenegen sheet section 3.2 (the paper's figure
shows a feed-forward for all tokens; the published weights were trained without).

Legend: N assets, S special tokens, T latent tokens of an asset, C channels.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.nn.attention import ContextKeyValues, CrossAttention, SelfAttention
from scenewright.nn.blocks import NORM_EPS, ModulatedCrossBlock
from scenewright.nn.modulation import adaln_projection, gated_add, modulate
from scenewright.nn.norm import LayerNorm32
from scenewright.sparse.attention import Sequences
from scenewright.systems.scenegen.condition import BlockContext, SceneCondition
from scenewright.systems.scenegen.config import SceneFlowConfig

__all__ = ["SceneBlock"]


class SceneBlock(ModulatedCrossBlock):
    """One block on the dense tokens `[N, S + T, C]` of a scene; parameters carry the published names."""

    def __init__(self, config: SceneFlowConfig) -> None:
        width, heads = config.model_channels, config.num_heads
        super().__init__(
            width,
            config.cond_channels,
            heads,
            config.mlp_ratio,
            modulation="shared" if config.share_mod else "own",
            qk_rms_norm=config.qk_rms_norm,
            qk_rms_norm_cross=config.qk_rms_norm_cross,
        )
        self.num_special_tokens, self.local_context_tokens = config.num_special_tokens, config.local_context_tokens
        self.norm4 = LayerNorm32(width, eps=NORM_EPS, elementwise_affine=True)
        self.norm5 = LayerNorm32(width, eps=NORM_EPS, elementwise_affine=False)
        # The scene's self-attention follows the cross-attentions' flag, as published.
        self.global_attn = SelfAttention(width, heads, qk_rms_norm=config.qk_rms_norm_cross)
        self.global_cross_attn = CrossAttention(
            width, config.cond_channels, heads, qk_rms_norm=config.qk_rms_norm_cross
        )
        self.adaLN_modulation_global = adaln_projection(width, 3)

    def initialize_scene_parts(self) -> None:
        """Published start of what SceneGen adds (scenegen sheet section 3.6); `norm4` starts as the identity."""
        parts = (self.global_attn, self.global_cross_attn)
        for linear in (module for part in parts for module in part.modules() if isinstance(module, nn.Linear)):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.normal_(linear.bias, std=0.2)
        nn.init.constant_(self.global_cross_attn.to_kv.bias, 0.1)
        for parameter in self.adaLN_modulation_global.parameters():
            nn.init.normal_(parameter, std=0.02)

    @torch.no_grad()
    def copy_asset_attention(self) -> None:
        """The other start (off in the published run): each scene attention is a copy of the asset's own."""
        for scene, asset in ((self.global_attn, self.self_attn), (self.global_cross_attn, self.cross_attn)):
            inherited = asset.state_dict()
            scene.load_state_dict({name: inherited[name] for name in scene.state_dict()})
        if self.adaLN_modulation is not None:
            modulation = self.adaLN_modulation.parameters()
            for scene_part, asset_part in zip(self.adaLN_modulation_global.parameters(), modulation, strict=True):
                scene_part.copy_(asset_part[: len(scene_part)])

    def project(self, condition: SceneCondition) -> BlockContext:
        """Keys and values of this block's cross-attentions; the shared tokens are projected once."""
        local = condition.own[:, : self.local_context_tokens]

        def projected(layer: CrossAttention, tokens: Tensor) -> ContextKeyValues:
            return layer.project(tokens.flatten(0, 1), Sequences.uniform(*tokens.shape[:2]))

        return BlockContext(
            projected(self.cross_attn, local),
            projected(self.global_cross_attn, condition.own),
            None if condition.shared is None else projected(self.global_cross_attn, condition.shared[None]),
        )

    def forward(  # type: ignore[override]
        self,
        h: Float[Tensor, "N L C"],
        time: Float[Tensor, "B Cmod"],
        context: BlockContext | None,
        scenes: Sequences | None = None,
        mod: Float[Tensor, "B Cshared"] | None = None,
    ) -> Float[Tensor, "N L C"]:
        """Tokens after the block.

        Args:
            h: L = S + T tokens of each asset: position, registers, latent.
            time: embedding of the flow time, one row for all assets or one each.
            context: `project(condition)`, or None for the all-zero condition.
            scenes: division of the N L rows into scenes; None: they are one.
            mod: the model's shared projection of `time`, where it has one.
        """
        special = self.num_special_tokens
        count, length = h.shape[0], h.shape[1] - special
        vectors = self.modulation_vectors(time if mod is None else mod, h.dtype)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = vectors
        shift_g, scale_g, gate_g = self.adaLN_modulation_global(time).chunk(3, 1)

        latent = Sequences.uniform(count, length)
        x = h[:, special:].flatten(0, 1)
        branch = self.self_attn(modulate(self.norm1(x), shift_a, scale_a, latent), latent)
        x = gated_add(x, gate_a, branch, latent)
        x = x + self.cross_attn(self.norm2(x), latent, None if context is None else context.asset)

        asset = Sequences.uniform(count, length + special)
        rows = torch.cat([h[:, :special], x.unflatten(0, (count, length))], 1).flatten(0, 1)
        together = scenes or Sequences.uniform(1, len(rows))
        branch = self.global_attn(modulate(self.norm4(rows), shift_g, scale_g, asset), together)
        rows = gated_add(rows, gate_g, branch, asset)
        rows = rows + self.global_cross_attn(self.norm5(rows), asset, None if context is None else context.scene())

        h = rows.unflatten(0, (count, -1))
        x = h[:, special:].flatten(0, 1)
        x = gated_add(x, gate_m, self.mlp(modulate(self.norm3(x), shift_m, scale_m, latent)), latent)
        return torch.cat([h[:, :special], x.unflatten(0, (count, length))], 1)
