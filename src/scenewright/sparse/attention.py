"""Exact softmax attention over sequences of different lengths, on torch's scaled dot-product attention.

Rows of several sequences are packed one after another; `Sequences` says where each begins, and optionally in which
order rows must be taken (windows). Sequences of like length are stacked, padded and masked where they differ a
little; sequences of equal length are a plain reshape. Nothing is computed between different sequences.

Legend: T packed rows, S sequences, H heads, D width of a head.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.machine import processor_flags
from scenewright.sparse.hashing import coord_keys
from scenewright.sparse.side_by_side import run_side_by_side
from scenewright.sparse.tensor import VoxelSet

__all__ = ["Sequences", "attention", "window_sequences"]

# Sequences are stacked while the longest is at most this much longer than the shortest: at worst this share of the
# products is spent on padding.
_BUCKET_RATIO = 1.25
# Upper bound on the padded query rows of one stack, so that memory does not grow with the number of windows.
_MAX_STACK_ROWS = 1 << 17
# From this many queries on, a CPU reads keys and values often enough to lay each head's out in one piece first
# (an eighth of the attention's time at 4096 rows).
_MIN_QUERIES_TO_PACK = 512
# Rows of scores made at a time where attention is done by products.
_ROWS_A_PRODUCT = 256


@dataclass(frozen=True)
class Sequences:
    """The division of packed rows into sequences; `order[i]` is the row that comes i-th (None: as they are)."""

    lengths: tuple[int, ...]
    order: Int[Tensor, " T"] | None = None
    _row_index: dict[torch.device, Tensor] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def uniform(cls, count: int, length: int) -> "Sequences":
        """`count` sequences of `length` rows: what a dense `[count, length, C]` tensor is when packed."""
        return cls((length,) * count)

    @property
    def uniform_length(self) -> int | None:
        """The common length of all sequences, or None where they differ, are empty, or rows need reordering."""
        is_uniform = self.order is None and len(set(self.lengths)) == 1 and self.lengths[0] > 0
        return self.lengths[0] if is_uniform else None

    def row_index(self, device: torch.device) -> Int[Tensor, " T"]:
        """Sequence of each packed row (rows in order), for broadcasting one vector per sequence to its rows."""
        if device not in self._row_index:
            lengths = torch.tensor(self.lengths, device=device)
            self._row_index[device] = torch.repeat_interleave(torch.arange(len(lengths), device=device), lengths)
        return self._row_index[device]


def attention(
    q: Float[Tensor, "T H D"],
    k: Float[Tensor, "T2 H D"],
    v: Float[Tensor, "T2 H D2"],
    query_sequences: Sequences,
    key_sequences: Sequences | None = None,
) -> Float[Tensor, "T H D2"]:
    """softmax(q k^T / sqrt(D)) v within each sequence; the s-th query sequence attends to the s-th key sequence.

    Args:
        query_sequences: division of the query rows, and of the keys too where `key_sequences` is None.
        key_sequences: division of the key rows for cross-attention; every sequence that has queries needs a key.

    Returns:
        One row per query row, in the order of `q`.
    """
    keys = query_sequences if key_sequences is None else key_sequences
    if len(keys.lengths) != len(query_sequences.lengths):
        raise ValueError(
            f"{len(query_sequences.lengths)} query sequences need as many key sequences, got {len(keys.lengths)}."
        )
    length_q, length_k = query_sequences.uniform_length, keys.uniform_length
    if length_q is not None and length_k is not None:
        stack = [x.unflatten(0, (-1, n)) for x, n in ((q, length_q), (k, length_k), (v, length_k))]
        return _stacked_attention(*stack).flatten(0, 1)

    if query_sequences.order is not None:
        q = q[query_sequences.order]
    if keys.order is not None:
        k, v = k[keys.order], v[keys.order]
    out = torch.empty_like(q[..., :1]).expand(-1, -1, v.shape[-1]).contiguous()
    for rows_q, rows_k, lengths in _buckets(query_sequences.lengths, keys.lengths, q.device):
        out = _attend_bucket(out, q, k, v, rows_q, rows_k, lengths)
    if query_sequences.order is None:
        return out
    return torch.empty_like(out).index_copy(0, query_sequences.order, out)


def _stacked_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention on `[S, L, H, D]` stacks; `mask` `[S, 1, 1, Lk]` is True where a key is real."""
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    if _products_are_faster(q, k):
        return _attention_by_products(q, k, v, mask).transpose(1, 2)
    if q.device.type == "cpu" and q.shape[2] >= _MIN_QUERIES_TO_PACK:
        k, v = k.contiguous(), v.contiguous()
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)


def _products_are_faster(q: Tensor, k: Tensor) -> bool:
    """Whether torch's attention loses to plain products: bfloat16 on processors that have it without matrix registers.

    There its kernel is no faster than in float32 while products are (77 against 117 GFLOP/s on an EPYC core at 4096
    rows); with short sequences the calls outweigh that.
    """
    return (
        q.dtype == torch.bfloat16
        and q.device.type == "cpu"
        and min(q.shape[2], k.shape[2]) >= _ROWS_A_PRODUCT
        and not torch.is_grad_enabled()
        and "avx512_bf16" in processor_flags()
        and "amx_bf16" not in processor_flags()
    )


def _attention_by_products(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Attention `[S, H, Lq, D2]` head by head, a few rows at a time, so that scores stay in the cache.

    Products so small do not gain by threads of their own, so each core does whole heads.
    """
    out = q.new_empty(*q.shape[:3], v.shape[3])
    scale, ignored = q.shape[3] ** -0.5, q.new_empty(1)

    def attend(piece: tuple[int, int]) -> None:
        stack, head = piece
        hidden = None if mask is None else ~mask[stack, 0]
        keys, values = k[stack, head].t(), v[stack, head].contiguous()
        for begin in range(0, q.shape[2], _ROWS_A_PRODUCT):
            rows = slice(begin, begin + _ROWS_A_PRODUCT)
            # The scale goes into the product, before its sums are rounded.
            scores = torch.addmm(ignored, q[stack, head, rows], keys, beta=0, alpha=scale)
            if hidden is not None:
                scores.masked_fill_(hidden, -torch.inf)
            torch.mm(scores.softmax(1), values, out=out[stack, head, rows])

    heads = list(itertools.product(range(q.shape[0]), range(q.shape[1])))
    run_side_by_side(attend, heads, num_threads=torch.get_num_threads())
    return out


@dataclass(frozen=True)
class _BucketLengths:
    queries: Int[Tensor, " S"]
    keys: Int[Tensor, " S"]
    is_padded: bool


def _buckets(
    lengths_q: tuple[int, ...], lengths_k: tuple[int, ...], device: torch.device
) -> Iterator[tuple[Tensor, Tensor, _BucketLengths]]:
    """Stacks of sequences of like length: row indices `[S, L]` of queries and keys, padding clamped to a real row."""
    starts_q, starts_k = _starts(lengths_q), _starts(lengths_k)
    todo = sorted((s for s in range(len(lengths_q)) if lengths_q[s]), key=lambda s: (lengths_k[s], lengths_q[s]))
    begin = 0
    while begin < len(todo):
        first = todo[begin]
        if not lengths_k[first]:
            raise ValueError(f"Sequence {first} has queries but no key to attend to.")
        end, longest_q, shortest_q = begin, 0, lengths_q[first]
        while end < len(todo):
            length_q, length_k = lengths_q[todo[end]], lengths_k[todo[end]]
            grown_q, shrunk_q = max(longest_q, length_q), min(shortest_q, length_q)
            is_alike = length_k <= _BUCKET_RATIO * lengths_k[first] and grown_q <= _BUCKET_RATIO * shrunk_q
            if end > begin and (not is_alike or grown_q * (end - begin + 1) > _MAX_STACK_ROWS):
                break
            longest_q, shortest_q = grown_q, shrunk_q
            end += 1
        bucket = todo[begin:end]
        queries = torch.tensor([lengths_q[s] for s in bucket], device=device)
        keys = torch.tensor([lengths_k[s] for s in bucket], device=device)
        is_padded = len({(lengths_q[s], lengths_k[s]) for s in bucket}) > 1
        yield (
            _padded_rows([starts_q[s] for s in bucket], queries),
            _padded_rows([starts_k[s] for s in bucket], keys),
            _BucketLengths(queries, keys, is_padded),
        )
        begin = end


def _starts(lengths: tuple[int, ...]) -> list[int]:
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    return starts


def _padded_rows(starts: list[int], lengths: Tensor) -> Tensor:
    steps = torch.arange(int(lengths.max()), device=lengths.device)
    return torch.tensor(starts, device=lengths.device)[:, None] + torch.minimum(steps, lengths[:, None] - 1)


def _attend_bucket(
    out: Tensor, q: Tensor, k: Tensor, v: Tensor, rows_q: Tensor, rows_k: Tensor, lengths: _BucketLengths
) -> Tensor:
    if not lengths.is_padded:
        return out.index_copy(0, rows_q.flatten(), _stacked_attention(q[rows_q], k[rows_k], v[rows_k]).flatten(0, 1))
    is_key = torch.arange(rows_k.shape[1], device=q.device) < lengths.keys[:, None]
    is_query = torch.arange(rows_q.shape[1], device=q.device) < lengths.queries[:, None]
    attended = _stacked_attention(q[rows_q], k[rows_k], v[rows_k], is_key[:, None, None, :])
    return out.index_copy(0, rows_q[is_query], attended[is_query])


def window_sequences(
    voxels: VoxelSet, window_size: int | tuple[int, int, int], shift: int | tuple[int, int, int] = 0
) -> Sequences:
    """Division of the voxels into cubic windows; the shift is added to the coordinates before dividing.

    Windows start at coordinate 0 and do not wrap; border windows are just smaller. They come in ascending order of
    (batch, x, y, z) of the window. Built once per coordinate set.
    """
    sizes = (window_size,) * 3 if isinstance(window_size, int) else window_size
    shifts = (shift,) * 3 if isinstance(shift, int) else shift

    def build() -> Sequences:
        device = voxels.coords.device
        spatial = (voxels.coords[:, 1:] + torch.tensor(shifts, device=device)) // torch.tensor(sizes, device=device)
        keys = coord_keys(torch.cat([voxels.coords[:, :1], spatial.int()], 1))
        order = keys.argsort(stable=True)
        lengths = keys[order].unique_consecutive(return_counts=True)[1]
        return Sequences(tuple(lengths.tolist()), order)

    return voxels.cached(("windows", sizes, shifts), build)
