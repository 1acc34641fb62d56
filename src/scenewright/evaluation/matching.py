"""Pairs predicted objects with true ones: by name, by number in the name, or by position.

Names count when both sides have the same unique names; then the same unique trailing numbers (`instance_03` and
`obj_03`); otherwise the assignment with the least total cost (1 - box IoU + distance of centres, in units of the
scene's longest side) is taken, as many pairs as the smaller side has.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from scenewright.metrics.boxes import aabb_iou, bounds_of

__all__ = ["Matching", "match_by_name", "match_by_place"]


@dataclass(frozen=True)
class Matching:
    """`pairs` of (prediction, truth) indices; what is left on each side; how it was decided."""

    pairs: tuple[tuple[int, int], ...]
    extra: tuple[int, ...]
    missing: tuple[int, ...]
    by: Literal["name", "number", "place"]


def match_by_name(predictions: Sequence[str], truths: Sequence[str]) -> Matching | None:
    """Pairs by equal names or equal trailing numbers; None where neither is a safe guide.

    A side may lack names that the other has (missing or extra objects), but must share at least one.
    """
    by_number = ([_number(n) for n in predictions], [_number(n) for n in truths])
    attempts: tuple[tuple[Literal["name", "number"], Sequence, Sequence], ...] = (
        ("name", predictions, truths),
        ("number", *by_number),
    )
    for by, left, right in attempts:
        if None in left or None in right or len(set(left)) < len(left) or len(set(right)) < len(right):
            continue
        common = set(left) & set(right)
        if common and (common == set(left) or common == set(right)):
            pairs = tuple((left.index(n), j) for j, n in enumerate(right) if n in common)
            return _with_rest(pairs, len(left), len(right), by)
    return None


def match_by_place(predictions: Sequence[Float[Tensor, "N 3"]], truths: Sequence[Float[Tensor, "M 3"]]) -> Matching:
    """The cheapest assignment of aligned clouds; empty clouds stay unmatched."""
    filled = (
        [i for i, cloud in enumerate(predictions) if len(cloud)],
        [j for j, cloud in enumerate(truths) if len(cloud)],
    )
    left, right = [bounds_of(predictions[i]) for i in filled[0]], [bounds_of(truths[j]) for j in filled[1]]
    pairs: tuple[tuple[int, int], ...] = ()
    if left and right:
        everything = torch.cat(right)
        side = float((everything.amax(0) - everything.amin(0)).amax().clamp_min(1e-9))
        cost = np.array([[1 - aabb_iou(p, t) + float((p - t).mean(0).norm()) / side for t in right] for p in left])
        rows, columns = linear_sum_assignment(cost)
        pairs = tuple((filled[0][r], filled[1][c]) for r, c in zip(rows, columns, strict=True))
    return _with_rest(pairs, len(predictions), len(truths), "place")


def _with_rest(
    pairs: tuple[tuple[int, int], ...], num_left: int, num_right: int, by: Literal["name", "number", "place"]
) -> Matching:
    used_left, used_right = {p for p, _ in pairs}, {t for _, t in pairs}
    return Matching(
        pairs,
        tuple(i for i in range(num_left) if i not in used_left),
        tuple(j for j in range(num_right) if j not in used_right),
        by,
    )


def _number(name: str) -> int | None:
    found = re.search(r"(\d+)\D*$", name)
    return int(found.group(1)) if found else None
