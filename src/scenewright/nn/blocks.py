"""Transformer blocks shared by both backbones and all systems, on packed sequences.

A flow's block is conditioned in three places, which one `BlockContext` per block fills: a term added to the rows before
the block, whom rows read in the self-attention, and what they read in the cross-attention.

Legend: T packed rows, B sequences, C channels.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.nn.attention import CrossAttention, CrossContext, SelfAttention, SelfContext
from scenewright.nn.mlp import FeedForward
from scenewright.nn.modulation import adaln_projection, gated_add, modulate
from scenewright.nn.norm import LayerNorm32
from scenewright.nn.rope import RotaryPhases
from scenewright.sparse.attention import Sequences

__all__ = ["BlockContext", "ModulatedCrossBlock", "TransformerBlock"]

NORM_EPS = 1e-6


@dataclass(frozen=True)
class BlockContext:
    """The condition of one block; an empty one is the all-zero condition of the published networks.

    Attributes:
        cross: what rows read in the cross-attention; None is the all-zero condition, which needs no attention.
        own: whom rows read in the self-attention; None: the rows of their sequence.
        added: added to the rows before the block, in the rows' dtype; one row stands for all.
    """

    cross: CrossContext | None = None
    own: SelfContext | None = None
    added: Float[Tensor, "T_or_1 C"] | None = None


class TransformerBlock(nn.Module):
    """x += attn(LN(x)); x += mlp(LN(x)); norms without parameters (latent encoder and decoders of TRELLIS)."""

    def __init__(self, channels: int, num_heads: int, mlp_ratio: float = 4.0, *, qk_rms_norm: bool = False) -> None:
        super().__init__()
        self.norm1 = LayerNorm32(channels, eps=NORM_EPS, elementwise_affine=False)
        self.norm2 = LayerNorm32(channels, eps=NORM_EPS, elementwise_affine=False)
        self.attn = SelfAttention(channels, num_heads, qk_rms_norm=qk_rms_norm)
        self.mlp = FeedForward(channels, mlp_ratio)

    def forward(self, x: Float[Tensor, "T C"], tokens: Sequences) -> Float[Tensor, "T C"]:
        x = x + self.attn(self.norm1(x), tokens)
        return x + self.mlp(self.norm2(x))


class ModulatedCrossBlock(nn.Module):
    """Modulated self-attention, cross-attention to the condition, modulated feed-forward (both backbones' flows).

    Args:
        modulation: where shift, scale and gate (order: attention's three, then the feed-forward's three) come from:
            "own": the block projects the time embedding `[B, C]` itself;
            "shared": it receives the model's projection `[B, 6C]`;
            "shared_offset": it adds a learned vector to that projection, in fp32 (TRELLIS.2).
        self_attention: replaces the plain self-attention, with parameters of its own.
    """

    def __init__(
        self,
        channels: int,
        context_channels: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        *,
        modulation: Literal["own", "shared", "shared_offset"] = "own",
        qk_rms_norm: bool = False,
        qk_rms_norm_cross: bool = False,
        self_attention: SelfAttention | None = None,
    ) -> None:
        super().__init__()
        self.norm1 = LayerNorm32(channels, eps=NORM_EPS, elementwise_affine=False)
        self.norm2 = LayerNorm32(channels, eps=NORM_EPS, elementwise_affine=True)
        self.norm3 = LayerNorm32(channels, eps=NORM_EPS, elementwise_affine=False)
        self.self_attn = self_attention or SelfAttention(channels, num_heads, qk_rms_norm=qk_rms_norm)
        self.cross_attn = CrossAttention(channels, context_channels, num_heads, qk_rms_norm=qk_rms_norm_cross)
        self.mlp = FeedForward(channels, mlp_ratio)
        self.adaLN_modulation = adaln_projection(channels) if modulation == "own" else None
        self.modulation = (
            nn.Parameter(torch.empty(6 * channels).normal_(std=channels**-0.5))
            if modulation == "shared_offset"
            else None
        )

    def modulation_vectors(self, mod: Float[Tensor, "B Cmod"], dtype: torch.dtype) -> tuple[Float[Tensor, "B C"], ...]:
        """(shift, scale, gate) of the attention, then of the feed-forward."""
        if self.adaLN_modulation is not None:
            mod = self.adaLN_modulation(mod)
        elif self.modulation is not None:
            mod = (self.modulation + mod.float()).to(dtype)
        return mod.chunk(6, 1)

    def forward(
        self,
        x: Float[Tensor, "T C"],
        mod: Float[Tensor, "B Cmod"],
        context: BlockContext,
        tokens: Sequences,
        phases: RotaryPhases | None = None,
    ) -> Float[Tensor, "T C"]:
        vectors = self.modulation_vectors(mod, x.dtype)
        x = self.attend(x, vectors[:3], context, tokens, phases)
        return self.feed_forward(x, vectors[3:], tokens)

    def attend(
        self,
        x: Float[Tensor, "T C"],
        vectors: tuple[Float[Tensor, "B C"], ...],
        context: BlockContext,
        tokens: Sequences,
        phases: RotaryPhases | None = None,
    ) -> Float[Tensor, "T C"]:
        """The part of the block that reads other rows and the condition."""
        shift, scale, gate = vectors
        if context.added is not None:
            x = x + context.added
        h = self.self_attn(modulate(self.norm1(x), shift, scale, tokens), tokens, phases, context.own)
        x = gated_add(x, gate, h, tokens)
        return x + self.cross_attn(self.norm2(x), tokens, context.cross)

    def feed_forward(
        self, x: Float[Tensor, "T C"], vectors: tuple[Float[Tensor, "B C"], ...], tokens: Sequences
    ) -> Float[Tensor, "T C"]:
        """The part of the block that treats every row alone."""
        shift, scale, gate = vectors
        return gated_add(x, gate, self.mlp(modulate(self.norm3(x), shift, scale, tokens)), tokens)
