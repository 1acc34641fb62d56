"""Scene-context attention: an object's tokens attend to their own and to those of the scene it stands in.

Every object of a scene is generated in several slots: itself (0), the scene (1), and optionally itself in a crop of its
own (2). Slots above 0 attend to themselves only; slot 0 attends to the keys and values of all of them side by side.
Source: I-Scene, scene-context attention; equal slots are plain self-attention (proposition of its supplement).

Legend: T packed rows, G groups of slots, S slots, L tokens of a sequence, H heads, D width of a head, C channels.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.nn.attention import SelfAttention
from scenewright.sparse.attention import Sequences, attention

__all__ = ["ExternalKeyValues", "SceneContextAttention", "SlotContext"]


@dataclass(frozen=True)
class ExternalKeyValues:
    """Keys (already marked as another slot's) and values that slot 0 reads besides its own; one group serves all."""

    keys: Float[Tensor, "G L H D"]
    values: Float[Tensor, "G L H D"]


class SceneContextAttention(SelfAttention):
    """Self-attention with marks for the keys of other slots; a `SlotContext` lets slot 0 read them.

    Args:
        num_external: slots other than 0.
        has_gate: keys of slot j are multiplied by sigmoid(ext_gate[j - 1]) per head, one half at the start.
        has_key_bias: key_bias_scale * tanh(k_type_bias[j - 1]) is added to them before that, nothing at the start.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        *,
        num_external: int = 1,
        qk_rms_norm: bool = False,
        has_gate: bool = False,
        has_key_bias: bool = False,
        key_bias_scale: float = 0.2,
    ) -> None:
        super().__init__(channels, num_heads, qk_rms_norm=qk_rms_norm)
        self.key_bias_scale = key_bias_scale
        bias_shape = (num_external, num_heads, channels // num_heads)
        self.ext_gate = nn.Parameter(torch.zeros(num_external, num_heads)) if has_gate else None
        self.k_type_bias = nn.Parameter(torch.zeros(bias_shape)) if has_key_bias else None

    def marked_keys(self, keys: Float[Tensor, "*rows H D"], external: int) -> Float[Tensor, "*rows H D"]:
        """Keys of slot `external` + 1 as slot 0 sees them: biased, then gated. Values are never altered."""
        if self.k_type_bias is not None:
            keys = keys + self.key_bias_scale * self.k_type_bias[external].tanh().to(keys.dtype)
        if self.ext_gate is not None:
            keys = keys * self.ext_gate[external].sigmoid()[:, None].to(keys.dtype)
        return keys


@dataclass(frozen=True)
class SlotContext:
    """Rows are sequences of one length in groups of slots, slot fastest; slot 0 reads the others (a `SelfContext`).

    Attributes:
        layer: the attention this context is for; it marks the keys of other slots.
        num_slots: sequences of a group.
        external: read by slot 0 of every group, before the group's own slots in the order of types.
        recorded: receives what slot 0 of this call's rows offers to slot 0 of other rows, as type 0: that is how the
            scene is run only once.
    """

    layer: SceneContextAttention
    num_slots: int = 1
    external: tuple[ExternalKeyValues, ...] = ()
    recorded: list[ExternalKeyValues] | None = field(default=None, compare=False, repr=False)

    def attend(
        self, q: Float[Tensor, "T H D"], k: Float[Tensor, "T H D"], v: Float[Tensor, "T H D"], tokens: Sequences
    ) -> Float[Tensor, "T H D"]:
        q, k, v = (part.unflatten(0, (-1, self.num_slots, tokens.lengths[0])) for part in (q, k, v))
        mark = self.layer.marked_keys
        if self.recorded is not None:
            self.recorded.append(ExternalKeyValues(mark(k[:, 0], 0), v[:, 0]))
        groups = len(k)
        keys, values = [k[:, 0]], [v[:, 0]]
        for given in self.external:
            keys.append(given.keys.expand(groups, -1, -1, -1))
            values.append(given.values.expand(groups, -1, -1, -1))
        for slot in range(1, self.num_slots):
            keys.append(mark(k[:, slot], len(self.external) + slot - 1))
            values.append(v[:, slot])
        attended = [_attended(q[:, 0], torch.cat(keys, 1), torch.cat(values, 1))]
        attended += [_attended(q[:, slot], k[:, slot], v[:, slot]) for slot in range(1, self.num_slots)]
        return torch.stack(attended, 1).flatten(0, 2)


def _attended(
    q: Float[Tensor, "G L H D"], k: Float[Tensor, "G L2 H D"], v: Float[Tensor, "G L2 H D"]
) -> Float[Tensor, "G L H D"]:
    queries, keys = Sequences.uniform(*q.shape[:2]), Sequences.uniform(*k.shape[:2])
    out = attention(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), queries, keys)
    return out.unflatten(0, q.shape[:2])
