"""Adaptive layer-norm modulation: shift, scale and gate of each branch of a block, from the time embedding.

Legend: T packed rows, B sequences, C channels.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.sparse.attention import Sequences

__all__ = ["adaln_projection", "gated_add", "modulate"]


def adaln_projection(channels: int, chunks: int = 6) -> nn.Sequential:
    """SiLU, Linear to `chunks` vectors of C; zero at the start so that every gate is closed (published key `.1`)."""
    projection = nn.Sequential(nn.SiLU(), nn.Linear(channels, chunks * channels))
    linear = projection[1]
    assert isinstance(linear, nn.Linear)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return projection


def modulate(
    x: Float[Tensor, "T C"], shift: Float[Tensor, "B C"], scale: Float[Tensor, "B C"], tokens: Sequences
) -> Float[Tensor, "T C"]:
    """x * (1 + scale) + shift, with the vectors of each row's sequence."""
    rows, (shift, scale) = _per_sequence(x, (shift, 1 + scale), tokens)
    return torch.addcmul(shift, rows, scale).view_as(x)


def gated_add(
    x: Float[Tensor, "T C"], gate: Float[Tensor, "B C"], branch: Float[Tensor, "T C"], tokens: Sequences
) -> Float[Tensor, "T C"]:
    """x + gate * branch, with the gate of each row's sequence."""
    rows, (gate,) = _per_sequence(branch, (gate,), tokens)
    return torch.addcmul(x.view_as(rows), gate, rows).view_as(x)


def _per_sequence(x: Tensor, vectors: tuple[Tensor, ...], tokens: Sequences) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Rows and vectors in shapes that broadcast: without a copy of the vectors per row where lengths are equal."""
    length = tokens.uniform_length
    if length is not None:
        return x.view(-1, length, x.shape[1]), tuple(vector[:, None] for vector in vectors)
    index = tokens.row_index(x.device)
    return x, tuple(vector[index] for vector in vectors)
