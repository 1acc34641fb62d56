"""Cross-attention in which every token reads only the image tokens that concern it, without a mask over all of them.

Rows are attended to one cube face at a time: all rows that see a face read its keys where they lie, and each row's
parts are combined by the logarithms of their sums of exponentials. So the cost follows what rows see, 1.65 faces of six
on average in the coarse stage, in six large products instead of one for each of the 26 sets of faces. The coarse bias
is a constant per voxel and face: it only weighs the parts. What an asset reads of a face (patches) is a product of
its own. Keys and values are projected once per panorama and block.

Legend: T packed rows, L packed image tokens of all panoramas, H heads, D width of a head, B panoramas, C channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
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
_BLOCK = 1 << 26
"""Logits at once where no kernel sums them: a quarter of a gigabyte."""


@dataclass(frozen=True)
class Reading:
    """Rows and keys that all of them read; a row in several readings reads the keys of all, which must be disjoint.

    Attributes:
        level: added to all logits of a row; None is nothing.
        bias: added to the logits; None is nothing.
        is_run: the keys are consecutive, so that they need not be copied.
    """

    rows: Int[Tensor, " n"]
    keys: Int[Tensor, " k"]
    level: Float[Tensor, " n"] | None = None
    bias: Float[Tensor, "n k"] | None = None
    is_run: bool = False

    def to(self, device: torch.device) -> "Reading":
        """The same on a device."""
        level, bias = (None if part is None else part.to(device) for part in (self.level, self.bias))
        return Reading(self.rows.to(device), self.keys.to(device), level, bias, self.is_run)


@dataclass(frozen=True)
class ViewKeyValues:
    """Keys and values of all panoramas, and who reads which (a `CrossContext`); rows in no reading get zeros.

    Each head's keys lie in one piece, so that picking some of them is one copy, and a run of them none.
    """

    keys: Float[Tensor, "H L D"]
    values: Float[Tensor, "H L D"]
    readings: tuple[Reading, ...]

    def attend(self, q: Float[Tensor, "T H D"], tokens: Sequences) -> Float[Tensor, "T H D"]:
        """Attention of each row to its keys; `tokens` is not needed, since readings name rows and keys."""
        out = torch.zeros_like(q)
        sums = q.new_full(q.shape[:2], -torch.inf, dtype=torch.float32)  # logarithms of what was summed so far
        for reading in self.readings:
            rows = reading.rows
            part, level = _partial_attention(q[rows].transpose(0, 1), *self._read(reading), reading.bias)
            part, level = part.transpose(0, 1), level.T
            if reading.level is not None:
                level = level + reading.level[:, None]
            before = sums[rows]
            after = torch.logaddexp(before, level)
            mixed = out[rows] * (before - after).exp()[..., None] + part * (level - after).exp()[..., None]
            out.index_copy_(0, rows, mixed.to(out.dtype))
            sums.index_copy_(0, rows, after)
        return out

    def _read(self, reading: Reading) -> tuple[Float[Tensor, "H k D"], Float[Tensor, "H k D"]]:
        if reading.is_run:
            first, count = int(reading.keys[0]), len(reading.keys)
            return self.keys[:, first : first + count], self.values[:, first : first + count]
        return self.keys[:, reading.keys], self.values[:, reading.keys]


def _partial_attention(
    q: Float[Tensor, "H n D"],
    keys: Float[Tensor, "H k D"],
    values: Float[Tensor, "H k D"],
    bias: Float[Tensor, "n k"] | None,
) -> tuple[Float[Tensor, "H n D"], Float[Tensor, "H n"]]:
    """Attention to some keys, and the logarithm of the sum of exponentiated logits, fp32."""
    has_gradient = torch.is_grad_enabled() and any(part.requires_grad for part in (q, keys, values))
    if q.device.type == "cpu" and not has_gradient:
        # The kernel behind torch's attention on a CPU. It gives the sums, too, but no gradient through them.
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        mask = None if bias is None else bias.to(q.dtype)
        attended, sums = kernel(q[None], keys[None], values[None], attn_mask=mask)
        return attended[0], sums[0].float()
    scaled, block = q * q.shape[-1] ** -0.5, max(1, _BLOCK // (len(q) * keys.shape[1]))
    parts, levels = [], []
    for first in range(0, q.shape[1], block):
        logits = (scaled[:, first : first + block] @ keys.transpose(1, 2)).float()
        if bias is not None:
            logits = logits + bias[first : first + block].float()
        level = logits.logsumexp(-1)
        parts.append((logits - level[..., None]).exp().to(values.dtype) @ values)
        levels.append(level)
    return torch.cat(parts, 1), torch.cat(levels, 1)


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
    """One reading per face of the cells of a dense grid that see it, for a bias per cell and face (`voxel_view_bias`).

    Cells of panorama b are rows b * cells, b * cells + 1, ...; its image tokens are keys b * 6 * `tokens_per_face`, ...
    """
    relative = bias - bias.amax(-1, keepdim=True)
    offsets = torch.arange(tokens_per_face, device=bias.device)
    readings = []
    for panorama, values in enumerate(relative):
        for face, column in enumerate(values.T):
            cells = (column > _NEGLIGIBLE).nonzero()[:, 0]
            if len(cells):
                keys = (panorama * 6 + face) * tokens_per_face + offsets
                readings.append(Reading(cells + panorama * bias.shape[1], keys, column[cells], is_run=True))
    return readings


def key_set_readings(panoramas: Sequence[KeySets], tokens_per_face: int) -> list[Reading]:
    """Readings of the tokens of several rooms, packed one after another: whole faces, then what sets read of others.

    Rows whose set is empty are in no reading.
    """
    readings, first_row, first_key = [], 0, 0
    for sets in panoramas:
        device, num_keys = sets.masks.device, sets.masks.shape[1]
        rest = sets.masks.clone()
        for start in range(0, num_keys, tokens_per_face):
            keys = torch.arange(start, min(start + tokens_per_face, num_keys), device=device)
            is_whole = sets.masks[:, keys].all(1)
            rest[is_whole.nonzero(), keys] = False
            rows = is_whole[sets.set_of_row].nonzero()[:, 0]
            if len(rows):
                readings.append(Reading(rows + first_row, keys + first_key, is_run=True))
        for number, mask in enumerate(rest):
            rows, keys = (sets.set_of_row == number).nonzero()[:, 0], mask.nonzero()[:, 0]
            if len(rows) and len(keys):
                readings.append(Reading(rows + first_row, keys + first_key))
        first_row, first_key = first_row + len(sets.set_of_row), first_key + num_keys
    return readings


def dense_readings(biases: Sequence[Float[Tensor, "_ _"] | Bool[Tensor, "_ _"]]) -> list[Reading]:
    """One group per panorama with the bias (or mask: True where a row reads a key) of all its keys: the plain form."""
    readings, first_row, first_key = [], 0, 0
    for bias in biases:
        rows, keys = (torch.arange(size, device=bias.device) for size in bias.shape)
        if bias.dtype == torch.bool:
            bias = torch.zeros(bias.shape, device=bias.device).masked_fill(~bias, -torch.inf)
        readings.append(Reading(rows + first_row, keys + first_key, bias=bias))
        first_row, first_key = first_row + len(rows), first_key + len(keys)
    return readings
