"""Multi-head attention layers over packed sequences.

Self-attention stays inside each sequence; cross-attention lets sequence b read context b. Keys and values of a context
depend on neither the latent nor the time, so they are projected once (`CrossAttention.project`) and reused by every
sampling step. The published negative image condition is all zeros: its values are all the bias, so attention to it is
the constant `to_out(bias)`, which `context=None` stands for.

The layers project queries, keys and values; a context says which of them meet. Systems that change who reads whom
(other objects of a scene, only the views that see a voxel) give a context of their own, not a layer of their own.

Legend: T packed rows, B sequences, L context rows per sequence, H heads, D width of a head, C channels.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.nn.norm import MultiHeadRMSNorm
from scenewright.nn.rope import RotaryPhases, rotate
from scenewright.sparse.attention import Sequences, attention

__all__ = ["ContextKeyValues", "CrossAttention", "CrossContext", "SelfAttention", "SelfContext", "plain_attention"]


@runtime_checkable
class SelfContext(Protocol):
    """Chooses the rows that each row reads in a self-attention; without one, rows read their sequence."""

    def attend(
        self, q: Float[Tensor, "T H D"], k: Float[Tensor, "T H D"], v: Float[Tensor, "T H D"], tokens: Sequences
    ) -> Float[Tensor, "T H D"]:
        """Attention of the projected rows, before the output layer."""
        ...


@runtime_checkable
class CrossContext(Protocol):
    """A condition that rows read in a cross-attention: projected keys and values, and which rows meet which of them."""

    def attend(self, q: Float[Tensor, "T H D"], tokens: Sequences) -> Float[Tensor, "T H D"]:
        """Attention of the queries to the condition, before the output layer."""
        ...


@dataclass(frozen=True)
class ContextKeyValues:
    """Projected keys and values, packed; sequence b of the rows reads sequence b of these (a `CrossContext`)."""

    keys: Float[Tensor, "L H D"]
    values: Float[Tensor, "L H D"]
    sequences: Sequences

    def attend(self, q: Float[Tensor, "T H D"], tokens: Sequences) -> Float[Tensor, "T H D"]:
        return attention(q, self.keys, self.values, tokens, self.sequences)


class SelfAttention(nn.Module):
    """Attention of packed rows to the rows of the same sequence; `to_qkv` holds q, k, v blocks of C channels each."""

    def __init__(self, channels: int, num_heads: int, *, qk_rms_norm: bool = False) -> None:
        super().__init__()
        if channels % num_heads:
            raise ValueError(f"{channels} channels do not divide into {num_heads} heads.")
        self.num_heads = num_heads
        self.to_qkv = nn.Linear(channels, 3 * channels)
        self.to_out = nn.Linear(channels, channels)
        self.q_rms_norm = MultiHeadRMSNorm(num_heads, channels // num_heads) if qk_rms_norm else None
        self.k_rms_norm = MultiHeadRMSNorm(num_heads, channels // num_heads) if qk_rms_norm else None

    def project(
        self, x: Float[Tensor, "T C"], phases: RotaryPhases | None = None
    ) -> tuple[Float[Tensor, "T H D"], Float[Tensor, "T H D"], Float[Tensor, "T H D"]]:
        """Queries, keys and values, normalised and rotated where the layer does so."""
        q, k, v = self.to_qkv(x).unflatten(1, (3, self.num_heads, -1)).unbind(1)
        if self.q_rms_norm is not None and self.k_rms_norm is not None:
            q, k = self.q_rms_norm(q), self.k_rms_norm(k)
        if phases is not None:
            q, k = rotate(q, phases), rotate(k, phases)
        return q, k, v

    def forward(
        self,
        x: Float[Tensor, "T C"],
        tokens: Sequences,
        phases: RotaryPhases | None = None,
        context: SelfContext | None = None,
    ) -> Float[Tensor, "T C"]:
        q, k, v = self.project(x, phases)
        rows = attention(q, k, v, tokens) if context is None else context.attend(q, k, v, tokens)
        return self.to_out(rows.flatten(1))


class CrossAttention(nn.Module):
    """Attention of packed rows to the context of their sequence; `to_kv` holds k, v blocks of C channels each."""

    def __init__(self, channels: int, context_channels: int, num_heads: int, *, qk_rms_norm: bool = False) -> None:
        super().__init__()
        if channels % num_heads:
            raise ValueError(f"{channels} channels do not divide into {num_heads} heads.")
        self.num_heads = num_heads
        self.to_q = nn.Linear(channels, channels)
        self.to_kv = nn.Linear(context_channels, 2 * channels)
        self.to_out = nn.Linear(channels, channels)
        self.q_rms_norm = MultiHeadRMSNorm(num_heads, channels // num_heads) if qk_rms_norm else None
        self.k_rms_norm = MultiHeadRMSNorm(num_heads, channels // num_heads) if qk_rms_norm else None

    def project(self, context: Float[Tensor, "L Cctx"], sequences: Sequences) -> ContextKeyValues:
        """Keys and values of packed context rows, for reuse over all steps of a sampling run."""
        keys, values = self.to_kv(context.to(self.to_kv.weight.dtype)).unflatten(1, (2, self.num_heads, -1)).unbind(1)
        if self.k_rms_norm is not None:
            keys = self.k_rms_norm(keys)
        return ContextKeyValues(keys, values, sequences)

    def forward(self, x: Float[Tensor, "T C"], tokens: Sequences, context: CrossContext | None) -> Float[Tensor, "T C"]:
        if context is None:
            value_bias = self.to_kv.bias[self.to_kv.bias.shape[0] // 2 :]
            return self.to_out(value_bias).expand(x.shape[0], -1)
        q = self.to_q(x).unflatten(1, (self.num_heads, -1))
        if self.q_rms_norm is not None:
            q = self.q_rms_norm(q)
        return self.to_out(context.attend(q, tokens).flatten(1))


def plain_attention(q: Float[Tensor, "B N C"], kv: Float[Tensor, "B T C2"], num_heads: int) -> Float[Tensor, "B N C"]:
    """Attention of a padded batch by plain products, for short contexts: the CPU's fused one is slow backwards in bf16.

    Args:
        kv: keys, then values, along the channels.
    """
    q = rearrange(q, "b n (h d) -> b h n d", h=num_heads)
    k, v = rearrange(kv, "b t (s h d) -> s b h t d", s=2, h=num_heads)
    weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)
    return rearrange(weights.to(v.dtype) @ v, "b h n d -> b n (h d)")
