"""SceneGen's transformer block: TRELLIS's, with attention over the whole scene between cross-attention and MLP.

Each asset attends to itself and to its cut-out as in TRELLIS; then all tokens of all assets attend to each other, and
each asset to everything known about the scene. Position and register tokens take part only in the two scene
attentions: no attention inside the asset and no feed-forward. Source: SceneGen (3DV 2026), local and
global attention blocks; the paper's figure shows a feed-forward for all tokens, the published weights (hub
haoningwu/SceneGen) were trained without.

Legend: N assets, S special tokens, T latent tokens of an asset, C channels.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.nn.attention import ContextKeyValues, CrossAttention, SelfAttention
from scenewright.nn.blocks import NORM_EPS, BlockContext, ModulatedCrossBlock
from scenewright.nn.modulation import adaln_projection, gated_add, modulate
from scenewright.nn.norm import LayerNorm32
from scenewright.nn.rope import RotaryPhases
from scenewright.sparse.attention import Sequences
from scenewright.systems.scenegen.condition import SceneBlockContext, SceneCondition, SceneKeyValues
from scenewright.systems.scenegen.config import SceneFlowConfig

__all__ = ["SceneBlock"]


class SceneBlock(ModulatedCrossBlock):
    """One block on the tokens of all assets, one sequence of S + T per asset; parameters carry the published names."""

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
        """Published start of what SceneGen adds; `norm4` starts as the identity."""
        parts = (self.global_attn, self.global_cross_attn)
        for linear in (module for part in parts for module in part.modules() if isinstance(module, nn.Linear)):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.normal_(linear.bias, std=0.2)
        nn.init.constant_(self.global_cross_attn.to_kv.bias, 0.1)
        for parameter in self.adaLN_modulation_global.parameters():
            nn.init.normal_(parameter, std=0.02)

    def project(self, condition: SceneCondition, scene_sizes: tuple[int, ...]) -> SceneBlockContext:
        """Keys and values of this block's cross-attentions; the shared tokens are projected once."""

        def projected(layer: CrossAttention, tokens: Float[Tensor, "N L Ccond"]) -> ContextKeyValues:
            return layer.project(tokens.flatten(0, 1), Sequences.uniform(*tokens.shape[:2]))

        own = projected(self.global_cross_attn, condition.own)
        shared = None if condition.shared is None else projected(self.global_cross_attn, condition.shared[None])
        asset = projected(self.cross_attn, condition.own[:, : self.local_context_tokens])
        return SceneBlockContext(asset, scene=SceneKeyValues(own, shared), scene_sizes=scene_sizes)

    def forward(
        self,
        x: Float[Tensor, "NL C"],
        mod: Float[Tensor, "B Cmod"],
        context: BlockContext,
        tokens: Sequences,
        phases: RotaryPhases | None = None,
    ) -> Float[Tensor, "NL C"]:
        """Tokens after the block.

        Args:
            x: L = S + T tokens of each asset: position, registers, latent.
            mod: embedding of the flow time and, where the model shares one, its projection behind it; one row for all
                assets or one each.
            context: a `SceneBlockContext`.
            tokens: one sequence per asset.
        """
        if not isinstance(context, SceneBlockContext):
            raise TypeError(f"A scene block is conditioned on a SceneBlockContext, got {type(context).__name__}.")
        special, count = self.num_special_tokens, len(tokens.lengths)
        time, mod = (mod, mod) if self.adaLN_modulation is not None else mod.split([x.shape[1], 6 * x.shape[1]], 1)
        vectors = self.modulation_vectors(mod, x.dtype)
        assets = x.unflatten(0, (count, -1))
        latent = Sequences.uniform(count, assets.shape[1] - special)
        rows = self.attend(assets[:, special:].flatten(0, 1), vectors[:3], context, latent, phases)

        rows = torch.cat([assets[:, :special], rows.unflatten(0, (count, -1))], 1).flatten(0, 1)
        rows = self.attend_scene(rows, self.adaLN_modulation_global(time).chunk(3, 1), context, tokens)

        assets = rows.unflatten(0, (count, -1))
        rows = self.feed_forward(assets[:, special:].flatten(0, 1), vectors[3:], latent)
        return torch.cat([assets[:, :special], rows.unflatten(0, (count, -1))], 1).flatten(0, 1)

    def attend_scene(
        self,
        x: Float[Tensor, "NL C"],
        vectors: tuple[Float[Tensor, "B C"], ...],
        context: SceneBlockContext,
        tokens: Sequences,
    ) -> Float[Tensor, "NL C"]:
        """The part of the block in which all tokens of a scene read each other and all that is known about it."""
        shift, scale, gate = vectors
        scenes = Sequences(tuple(size * tokens.lengths[0] for size in context.scene_sizes))
        h = self.global_attn(modulate(self.norm4(x), shift, scale, tokens), scenes)
        x = gated_add(x, gate, h, tokens)
        return x + self.global_cross_attn(self.norm5(x), tokens, context.scene)
