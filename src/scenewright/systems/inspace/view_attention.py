"""Cross-attention in which every token reads only the image tokens that concern it, without a mask over all of them.

Rows that read the same image tokens form a group and attend to those keys alone, so the cost follows what they see:
1.65 faces of six on average in the coarse stage. Keys and values are projected once per panorama and block; groups
select among them. The coarse bias is a constant per voxel and face: inside a group only its differences between faces
remain, and a group of one face needs none.

Legend: T packed rows, L packed image tokens of all panoramas, H heads, D width of a head, B panoramas, C channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenewright.backbones.trellis2.flow_trunk import FlowTrunk
from scenewright.nn.attention import ContextKeyValues
from scenewright.nn.flow_context import FlowContext
from scenewright.sparse.attention import Sequences
from scenewright.systems.inspace.image_keys import KeySets

__all__ = ["Reading", "ViewKeyValues", "dense_readings", "face_readings", "key_set_readings", "project_views"]

# A face this far below the best one of its voxel is left out: what it could add is below exp(-100) times the largest
# ratio of exponentiated logits, nothing in fp32 for logits up to +-40.
_NEGLIGIBLE = -100.0


@dataclass(frozen=True)
class Reading:
    """A group of rows and the keys all of them read, with what is added to their logits (None: nothing)."""

    rows: Int[Tensor, " n"]
    keys: Int[Tensor, " k"]
    bias: Float[Tensor, "n k"] | None = None


@dataclass(frozen=True)
class ViewKeyValues:
    """Keys and values of all panoramas, and who reads which (a `CrossContext`); rows in no group get zeros.

    Each head's keys lie in one piece, so that picking some of them is one copy (a seventh of the attention's time).
    """

    keys: Float[Tensor, "H L D"]
    values: Float[Tensor, "H L D"]
    readings: tuple[Reading, ...]

    def attend(self, q: Float[Tensor, "T H D"], tokens: Sequences) -> Float[Tensor, "T H D"]:
        """Attention of each group to its keys; `tokens` is not needed, since readings name rows and keys."""
        out = torch.zeros_like(q)
        for reading in self.readings:
            q_1HnD = q[reading.rows].transpose(0, 1)[None]
            k_1HkD, v_1HkD = self.keys[:, reading.keys][None], self.values[:, reading.keys][None]
            bias = None if reading.bias is None else reading.bias.to(q.dtype)
            attended = F.scaled_dot_product_attention(q_1HnD, k_1HkD, v_1HkD, attn_mask=bias)
            out = out.index_copy(0, reading.rows, attended[0].transpose(0, 1))
        return out


def project_views(flow: FlowTrunk, tokens: Float[Tensor, "B K C"], readings: Sequence[Reading]) -> FlowContext:
    """Keys and values of the image tokens of B panoramas in every block of `flow`, read as the readings say."""
    blocks = []
    for block in flow.project_context(tokens).blocks:
        assert isinstance(block.cross, ContextKeyValues)
        keys, values = (rows.transpose(0, 1).contiguous() for rows in (block.cross.keys, block.cross.values))
        cross = ViewKeyValues(keys, values, tuple(readings))
        blocks.append(replace(block, cross=cross))
    return FlowContext(blocks)


def face_readings(bias: Float[Tensor, "B cells 6"], tokens_per_face: int) -> list[Reading]:
    """Groups of a dense grid's cells by the faces they see, for a bias per cell and face (`voxel_view_bias`).

    Cells of panorama b are rows b * cells, b * cells + 1, ...; its image tokens are keys b * 6 * `tokens_per_face`, ...
    """
    relative = bias - bias.amax(-1, keepdim=True)
    offsets = torch.arange(tokens_per_face, device=bias.device)
    readings = []
    for panorama, values in enumerate(relative):
        patterns, pattern_of_cell = (values > _NEGLIGIBLE).unique(dim=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            cells, faces = (pattern_of_cell == number).nonzero()[:, 0], pattern.nonzero()[:, 0]
            keys = ((panorama * 6 + faces[:, None]) * tokens_per_face + offsets).flatten()
            differences = values[cells][:, faces]
            # The grid of keys is large; cells that read one face, or several alike, need no bias.
            is_even = bool((differences == differences[:, :1]).all())
            expanded = None if is_even else differences.repeat_interleave(tokens_per_face, 1)
            readings.append(Reading(cells + panorama * bias.shape[1], keys, expanded))
    return readings


def key_set_readings(panoramas: Sequence[KeySets]) -> list[Reading]:
    """Groups of the tokens of several rooms, packed one after another; rows whose set is empty are in no group."""
    readings, first_row, first_key = [], 0, 0
    for sets in panoramas:
        for number, mask in enumerate(sets.masks):
            rows, keys = (sets.set_of_row == number).nonzero()[:, 0], mask.nonzero()[:, 0]
            if len(rows) and len(keys):
                readings.append(Reading(rows + first_row, keys + first_key))
        first_row, first_key = first_row + len(sets.set_of_row), first_key + sets.masks.shape[1]
    return readings


def dense_readings(biases: Sequence[Float[Tensor, "_ _"] | Bool[Tensor, "_ _"]]) -> list[Reading]:
    """One group per panorama with the bias (or mask: True where a row reads a key) of all its keys: the plain form."""
    readings, first_row, first_key = [], 0, 0
    for bias in biases:
        rows, keys = (torch.arange(size, device=bias.device) for size in bias.shape)
        if bias.dtype == torch.bool:
            bias = torch.zeros(bias.shape, device=bias.device).masked_fill(~bias, -torch.inf)
        readings.append(Reading(rows + first_row, keys + first_key, bias))
        first_row, first_key = first_row + len(rows), first_key + len(keys)
    return readings
