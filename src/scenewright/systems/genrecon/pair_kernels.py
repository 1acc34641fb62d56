"""Kernels of the aggregator on a processor: the work per pair between its matrix products, one pass over rows each.

Rows are float32, or bfloat16 given as its bits in int16; arithmetic is float32. Pairs of a voxel are next to each
other: voxel v has the pairs [start[v], start[v + 1]). Only numba kernels live here; they carry no annotations because
they are compiled.

Legend: M tokens, S voxels, Q pairs, D channels.
"""

from typing import no_type_check

import numpy as np
from numba import njit, types
from numba.extending import overload

__all__ = ["gathered", "hidden_rows", "token_statistics", "votes_of_voxels"]

# Sums in any order, so that they run in the lanes of a register.
_ANY_ORDER = {"reassoc", "nsz", "contract"}
_ZERO = np.float32(0)


@no_type_check
def _wide(value):
    """A row's value as float32."""


@overload(_wide, inline="always")
@no_type_check
def _wide_of(value):
    if value == types.float32:
        return lambda value: value
    return lambda value: np.int32(np.int32(value) << 16).view(np.float32)


@no_type_check
def _stored(value, row):
    """A float32 as `row` holds it, rounded to the nearest, ties to even."""


@overload(_stored, inline="always")
@no_type_check
def _stored_of(value, row):
    if row.dtype == types.float32:
        return lambda value, row: value

    def rounded(value, row):
        bits = np.float32(value).view(np.int32)
        return np.int16((bits + np.int32(32767) + ((bits >> 16) & np.int32(1))) >> 16)

    return rounded


@njit(cache=True, nogil=True)
@no_type_check
def gathered(tokens, chosen, rows):
    """The chosen rows as `rows` holds them."""
    for at in range(len(chosen)):
        for d in range(tokens.shape[1]):
            rows[at, d] = _stored(_wide(tokens[chosen[at], d]), rows)


@njit(cache=True, nogil=True, fastmath=_ANY_ORDER)
@no_type_check
def token_statistics(start, token, tokens, mean, both):
    """Mean [S, D], and mean and population variance of every voxel's tokens as `both` [S, 2D]; zero without any.

    Sums are of differences from the first token, which takes no digits from the variance.
    """
    width = tokens.shape[1]
    total, squares = np.empty(width, np.float32), np.empty(width, np.float32)
    for voxel in range(len(start) - 1):
        begin, end = start[voxel], start[voxel + 1]
        if begin == end:
            mean[voxel, :] = 0
            both[voxel, :] = 0
            continue
        total[:] = 0
        squares[:] = 0
        first = token[begin]
        for pair in range(begin + 1, end):
            row = token[pair]
            for d in range(width):
                off = _wide(tokens[row, d]) - _wide(tokens[first, d])
                total[d] += off
                squares[d] += off * off
        share = np.float32(1 / (end - begin))
        for d in range(width):
            off = total[d] * share
            mean[voxel, d] = off + _wide(tokens[first, d])
            both[voxel, d] = _stored(mean[voxel, d], both)
            both[voxel, width + d] = _stored(max(squares[d] * share - off * off, _ZERO), both)


@njit(cache=True, nogil=True, fastmath=_ANY_ORDER)
@no_type_check
def hidden_rows(start, token, of_token, of_voxel, score, hidden, logits):
    """Rows behind the first layer of the features, and the logits of the weights, less their constant.

    `of_token` [M, 2D] and `of_voxel` [S, 2D] hold what token and voxel bring to the first layers of features and
    weights; `score` [D] is the last layer of the weights.
    """
    width = hidden.shape[1]
    for voxel in range(len(start) - 1):
        for pair in range(start[voxel], start[voxel + 1]):
            row, at = token[pair], pair - start[0]
            for d in range(width):
                value = _wide(of_token[row, d]) + _wide(of_voxel[voxel, d])
                hidden[at, d] = _stored(max(value, _ZERO), hidden)
            logit = _ZERO
            for d in range(width):
                value = _wide(of_token[row, width + d]) + _wide(of_voxel[voxel, width + d])
                logit += score[d] * max(value, _ZERO)
            logits[at] = logit


@njit(cache=True, nogil=True, fastmath=_ANY_ORDER)
@no_type_check
def votes_of_voxels(start, logits, middle, bias, votes):
    """Weighted sums of rectified rows, weights the softmax of each voxel's logits.

    `middle` [Q, D] is the product of the middle layer, to which `bias` [D] is still to be added.
    """
    width = votes.shape[1]
    total = np.empty(width, np.float32)
    for voxel in range(len(start) - 1):
        begin, end = start[voxel] - start[0], start[voxel + 1] - start[0]
        total[:] = 0
        if begin < end:
            largest = logits[begin]
            for pair in range(begin + 1, end):
                largest = max(largest, logits[pair])
            weights = _ZERO
            for pair in range(begin, end):
                weight = np.exp(logits[pair] - largest)
                weights += weight
                for d in range(width):
                    total[d] += weight * max(_wide(middle[pair, d]) + bias[d], _ZERO)
            for d in range(width):
                total[d] /= weights
        for d in range(width):
            votes[voxel, d] = _stored(total[d], votes)
