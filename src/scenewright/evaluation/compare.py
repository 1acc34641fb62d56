"""Two evaluations of the same scenes side by side, and the gate that refuses to let quality slip.

The difference of every metric is bootstrapped over the scenes both runs have, with the same resamples on both sides
(paired bootstrap, Efron and Tibshirani 1993). A difference is called significant when its interval excludes zero.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scenewright.errors import InputError
from scenewright.evaluation.protocols import EvaluationProtocol, PlaceProtocol, find_protocol
from scenewright.evaluation.room_scoring import ROOM_PROTOCOLS, RoomProtocol
from scenewright.evaluation.rooms import room_draws, room_means
from scenewright.evaluation.summary import bootstrap_means, has_truth, higher_is_better, means, metrics_of
from scenewright.files import read_json, reading

__all__ = ["GUARDED", "Difference", "common_scenes", "compare_results", "failures_of_gate", "left_out", "read_result"]

GUARDED = ("layout_iou", "col_o", "col_s")
"""Metrics whose loss beyond the gate's tolerance fails even when it is not significant."""


@dataclass(frozen=True)
class Difference:
    """`second - first` of one metric over the common scenes, with its interval and two-sided p-value."""

    metric: str
    first: float
    second: float
    low: float
    high: float
    p_value: float

    @property
    def difference(self) -> float:
        return self.second - self.first

    @property
    def verdict(self) -> Literal["better", "worse", "no difference"]:
        """The second compared with the first: better, worse, or no difference."""
        if not (self.low > 0 or self.high < 0):
            return "no difference"
        return "better" if (self.difference > 0) == higher_is_better(self.metric) else "worse"

    @property
    def relative_loss(self) -> float:
        """Loss of the second relative to the first; negative where it is better."""
        loss = -self.difference if higher_is_better(self.metric) else self.difference
        if loss == 0:
            return 0.0
        return loss / abs(self.first) if self.first else math.copysign(math.inf, loss)


def read_result(path: str | Path) -> dict[str, Any]:
    """The content of an OUT.json.

    Raises:
        InputError: it is missing or not the result of `scenewright evaluate`.
    """
    path = Path(path)
    with reading(path, "a result of 'scenewright evaluate'", "evaluate again"):
        result = read_json(path, dict)
    if not isinstance(result, dict) or not {"protocol", "scenes", "mean"} <= result.keys() or not result["scenes"]:
        raise InputError(f"'{path}' is not a result of 'scenewright evaluate' (it lacks protocol, scenes or mean).")
    return result


def compare_results(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """Every metric of `second` against `first`, on the scenes both have.

    Raises:
        InputError: the protocols differ, or there is no common scene.
    """
    with reading("the two results", "two results of 'scenewright evaluate'", "evaluate again"):
        if first["protocol"] != second["protocol"]:
            protocols = f"'{first['protocol']}' and '{second['protocol']}'"
            raise InputError(f"Expected two results under one protocol, got {protocols}; evaluate one of them again.")
        name = first["protocol"]
        protocol = ROOM_PROTOCOLS[name] if name in ROOM_PROTOCOLS else find_protocol(name)
        by_name = [{record["name"]: record for record in result["scenes"]} for result in (first, second)]
        common = common_scenes(first, second)
        if not common:
            raise InputError("The two results have no scene in common; evaluate both on the same folder.")
        sides = [[side[name] for name in common] for side in by_name]
        return _differences(sides[0], sides[1], protocol)


def common_scenes(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Names of the scenes that both results have numbers of, sorted."""
    return sorted(_with_numbers(first) & _with_numbers(second))


def left_out(baseline: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Names of the scenes that only the baseline has numbers of, sorted."""
    return sorted(_with_numbers(baseline) - _with_numbers(current))


def _with_numbers(result: Mapping[str, Any]) -> set[str]:
    return {record["name"] for record in result["scenes"] if has_truth(record)}


def failures_of_gate(
    differences: list[Difference], *, tolerance: float = 0.01, missing: Sequence[str] = ()
) -> list[str]:
    """Sentences for what got worse: significantly, or (layout and collisions) by more than `tolerance` relative.

    Args:
        missing: scenes of the baseline that the other side lacks: what is not measured cannot pass.
    """
    found = []
    if missing:
        named = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        found.append(f"{len(missing)} scenes of the baseline were not evaluated: {named}.")
    for item in differences:
        if item.verdict == "worse":
            found.append(f"{item.metric} is significantly worse: {item.first:.4g} -> {item.second:.4g}.")
        elif item.metric in GUARDED and item.relative_loss > tolerance:
            found.append(f"{item.metric} lost more than {100 * tolerance:g} %: {item.first:.4g} -> {item.second:.4g}.")
    return found


def _differences(
    first: list, second: list, protocol: EvaluationProtocol | PlaceProtocol | RoomProtocol
) -> list[Difference]:
    if isinstance(protocol, RoomProtocol):
        draws = room_draws(first, protocol), room_draws(second, protocol)
        values = room_means(first), room_means(second)
        metrics = tuple(name for name in values[0] if name in values[1])
    else:
        draws = bootstrap_means(first, protocol), bootstrap_means(second, protocol)
        values, metrics = (means(first, protocol), means(second, protocol)), metrics_of(protocol)
    tail = (1 - protocol.confidence_level) / 2
    found = []
    for metric in metrics:
        gap = draws[1][metric] - draws[0][metric]
        gap = gap[np.isfinite(gap)]
        if len(gap) == 0:
            low = high = p_value = math.nan
        else:
            low, high = (float(q) for q in np.quantile(gap, [tail, 1 - tail]))
            p_value = min(1.0, 2 * float(min((gap <= 0).mean(), (gap >= 0).mean())))
        found.append(Difference(metric, values[0][metric], values[1][metric], low, high, p_value))
    return found
