"""Multi-head attention layers over packed sequences.

Self-attention stays inside each sequence; cross-attention lets sequence b read context b. Keys and values of a context
depend on neither the latent nor the time, so they are projected once (`CrossAttention.project`) and reused by every
sampling step. The published negative image condition is all zeros: its values are all the bias, so attention to it is
the constant `to_out(bias)`, which `context=None` stands for.

Legend: T packed rows, B sequences, L context rows per sequence, H heads, D width of a head, C channels.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from scenewright.nn.norm import MultiHeadRMSNorm
from scenewright.nn.rope import RotaryPhases, rotate
from scenewright.sparse.attention import Sequences, attention

__all__ = ["ContextKeyValues", "CrossAttention", "SelfAttention"]


@dataclass(frozen=True)
class ContextKeyValues:
    """Projected keys and values of the context of every sequence, packed."""

    keys: Float[Tensor, "L H D"]
    values: Float[Tensor, "L H D"]
    sequences: Sequences


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
        self, x: Float[Tensor, "T C"], tokens: Sequences, phases: RotaryPhases | None = None
    ) -> Float[Tensor, "T C"]:
        q, k, v = self.project(x, phases)
        return self.to_out(attention(q, k, v, tokens).flatten(1))


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

    def forward(
        self, x: Float[Tensor, "T C"], tokens: Sequences, context: ContextKeyValues | None
    ) -> Float[Tensor, "T C"]:
        if context is None:
            value_bias = self.to_kv.bias[self.to_kv.bias.shape[0] // 2 :]
            return self.to_out(value_bias).expand(x.shape[0], -1)
        q = self.to_q(x).unflatten(1, (self.num_heads, -1))
        if self.q_rms_norm is not None:
            q = self.q_rms_norm(q)
        return self.to_out(attention(q, context.keys, context.values, tokens, context.sequences).flatten(1))
