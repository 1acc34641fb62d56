"""The aggregator on a processor: matrix products, and between them one pass over the rows of each block of pairs.

Equal to `MultiViewAggregator` but for rounding. Blocks are so small that the rows of a block stay in the caches between
its steps, and so large that the products run at full speed; blocks run beside each other, one per core. Products may be
bfloat16, which processors with matrix registers compute ten times as fast; sums and statistics are float32.

    tokens --product--> terms of tokens ---------------------------+
    tokens --statistics--> (mean | variance) --product--> terms of voxels --> hidden rows --product--> weighted votes
                                                                                     votes --product--> + mean

Legend: M tokens, S voxels, Q pairs of a voxel and a view that sees it, D channels.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from scenewright.sparse.side_by_side import run_side_by_side
from scenewright.systems.genrecon.aggregator import MultiViewAggregator
from scenewright.systems.genrecon.pair_kernels import gathered, hidden_rows, token_statistics, votes_of_voxels

__all__ = ["FusedAggregator"]

_VOXELS_AT_ONCE, _PAIRS_AT_ONCE = 512, 1024
# Rows of D values that a pair and a voxel need at their peak.
_ROWS_PER_PAIR, _ROWS_PER_VOXEL = 2, 9


class FusedAggregator:
    """The layers of an aggregator without cameras, ready for a processor.

    Args:
        dtype: of the products, float32 or bfloat16.
    """

    def __init__(self, aggregator: MultiViewAggregator, dtype: torch.dtype) -> None:
        first_f, middle, last = (layer for layer in aggregator.feature_mlp if isinstance(layer, nn.Linear))
        first_w, score = (layer for layer in aggregator.weight_mlp if isinstance(layer, nn.Linear))
        self.width, self.dtype = aggregator.config.channels, dtype
        first = torch.cat([first_f.weight, first_w.weight]).to(dtype)
        self._of_token, self._of_voxel = first[:, : self.width], first[:, self.width :]
        self._first_bias = torch.cat([first_f.bias, first_w.bias]).to(dtype)
        self._middle = middle.weight.to(dtype)
        self._middle_bias, self._score = middle.bias.float().numpy(), score.weight[0].float().numpy()
        self._last, self._last_bias = last.weight.to(dtype), last.bias.to(dtype)

    @property
    def term_bytes(self) -> int:
        """Bytes of the terms of one token."""
        return 2 * self.width * self.dtype.itemsize

    def token_terms(self, tokens: Float[Tensor, "M D"], used: Int[Tensor, " U"]) -> Float[Tensor, "U D2"]:
        """The part of the first layers of features and weights that comes from the used tokens."""
        terms = torch.empty(len(used), 2 * self.width, dtype=self.dtype)
        rows_of_token, chosen = _rows(tokens), used.numpy()

        def add(begin: int) -> None:
            own = chosen[begin : begin + _PAIRS_AT_ONCE]
            rows = torch.empty(len(own), self.width, dtype=self.dtype)
            gathered(rows_of_token, own, _rows(rows))
            torch.mm(rows, self._of_token.T, out=terms[begin : begin + len(own)])

        run_side_by_side(add, range(0, len(used), _PAIRS_AT_ONCE), num_threads=torch.get_num_threads())
        return terms

    def aggregate(
        self,
        tokens: Float[Tensor, "M D"],
        terms: Float[Tensor, "M2 D2"],
        token: Int[Tensor, " Q"],
        term: Int[Tensor, " Q"],
        pairs_of_voxel: Int[Tensor, " S"],
        result: Float[Tensor, "S D"],
        *,
        memory_bytes: int,
    ) -> None:
        """Writes one row per voxel, exactly zero without a pair.

        Args:
            token, term: rows of `tokens` and of `terms` of every pair, voxel by voxel.
            memory_bytes: ceiling of the working memory; one voxel with all its pairs is always taken at once.
        """
        start = np.concatenate([[0], pairs_of_voxel.cumsum(0).numpy()])
        num_threads = torch.get_num_threads()
        row_bytes = 4 * self.width * num_threads
        at_once = min(_VOXELS_AT_ONCE, max(1, memory_bytes // (2 * _ROWS_PER_VOXEL * row_bytes)))
        pairs_at_once = min(_PAIRS_AT_ONCE, max(1, memory_bytes // (2 * _ROWS_PER_PAIR * row_bytes)))
        rows_of_token, rows_of_term = _rows(tokens), _rows(terms)
        token_of_pair, term_of_pair = token.numpy(), term.numpy()

        def add(begin: int) -> None:
            own = start[begin : begin + at_once + 1]
            count = len(own) - 1
            mean, both = torch.empty(count, self.width), torch.empty(count, 2 * self.width, dtype=self.dtype)
            token_statistics(own, token_of_pair, rows_of_token, mean.numpy(), _rows(both))
            of_voxel = _rows(F.linear(both, self._of_voxel, self._first_bias))
            votes = torch.empty(count, self.width, dtype=self.dtype)
            for low, high in _pieces(own, pairs_at_once):
                part = own[low : high + 1]
                hidden = torch.empty(int(part[-1] - part[0]), self.width, dtype=self.dtype)
                logits = np.empty(len(hidden), np.float32)
                hidden_rows(part, term_of_pair, rows_of_term, of_voxel[low:high], self._score, _rows(hidden), logits)
                middle = _rows(F.linear(hidden, self._middle))
                votes_of_voxels(part, logits, middle, self._middle_bias, _rows(votes)[low:high])
            seen = torch.from_numpy(np.diff(own) > 0)[:, None]
            mean += F.linear(votes, self._last, self._last_bias) * seen
            result[begin : begin + count] = mean

        run_side_by_side(add, range(0, len(result), at_once), num_threads=num_threads)


def _rows(values: Float[Tensor, "N C"]) -> Shaped[np.ndarray, "N C"]:
    """The same memory for the kernels: float32, or bfloat16 as its bits."""
    return (values.view(torch.int16) if values.dtype == torch.bfloat16 else values).numpy()


def _pieces(start: Int[np.ndarray, " S1"], limit: int) -> Iterator[tuple[int, int]]:
    """Consecutive ranges of voxels with at most `limit` pairs together (or one voxel with more)."""
    low = 0
    while low < len(start) - 1:
        high = max(low + 1, int(np.searchsorted(start, start[low] + limit, side="right")) - 1)
        yield low, high
        low = high
