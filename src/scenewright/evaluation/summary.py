"""From scene records to means with bootstrap intervals.

A record is the plain JSON of one scene (see `records`). Scene metrics are averaged over scenes, object metrics over all
objects of all scenes (SceneGen's rule), collision rates pooled (I-Scene's), AP computed on all detections at once. A
scene whose truth could not be used enters nothing. Intervals are percentile bootstrap over scenes: a scene is drawn
with all its objects, because objects of one scene are not independent (Efron and Tibshirani 1993).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from scenewright.evaluation.protocols import EvaluationProtocol, PlaceProtocol
from scenewright.evaluation.scoring import AP_THRESHOLDS
from scenewright.metrics.boxes import average_precision

__all__ = [
    "METRICS",
    "bootstrap_means",
    "has_truth",
    "higher_is_better",
    "means",
    "metrics_of",
    "summarize",
]

Record = Mapping[str, Any]

_HIGHER_IS_BETTER = {
    "cd_s": False,
    "cd_o": False,
    "f_s": True,
    "f_o": True,
    "iou_b": True,
    "iou_o": True,
    "layout_iou": True,
    "col_o": False,
    "col_s": False,
    "accuracy": False,
    "completeness": False,
    "box_ap_25": True,
    "box_ap_50": True,
}
METRICS = tuple(_HIGHER_IS_BETTER)
_HIGHER_IS_BETTER |= {
    "f_5cm": True,
    "f_10cm": True,
    "f_arithmetic_5cm": True,
    "f_arithmetic_10cm": True,
    "chamfer_m": False,
    "accuracy_m": False,
    "completeness_m": False,
    "normal_consistency": True,
    "psnr": True,
    "ssim": True,
    "instance_iou": True,
    "room_cd": False,
    "asset_cd": False,
}


def higher_is_better(metric: str) -> bool:
    """Whether more of a metric is better; of rooms, of which only distances are listed, it is of all others."""
    return _HIGHER_IS_BETTER.get(metric, True)


def _scene(key: str, factor: float = 1.0) -> Callable[[Record], tuple[float, int]]:
    return lambda record: (factor * record["scene"][key], 1)


def _objects(key: str, factor: float = 1.0) -> Callable[[Record], tuple[float, int]]:
    return lambda record: (factor * sum(o[key] for o in record["objects"]), len(record["objects"]))


# Each metric as (sum, count) of one record, so that any set of records averages by adding both up.
_PARTS: dict[str, Callable[[Record], tuple[float, int]]] = {
    "cd_s": _scene("cd_s"),
    "cd_o": _objects("cd_o"),
    "f_s": _scene("f_s", 100.0),
    "f_o": _objects("f_o", 100.0),
    "iou_o": _objects("iou_o"),
    "layout_iou": _objects("layout_iou"),
    "col_o": lambda record: (float(sum(record["collisions"])), len(record["collisions"])),
    "col_s": lambda record: (float(any(record["collisions"])), int(bool(record["collisions"]))),
    "accuracy": _scene("accuracy"),
    "completeness": _scene("completeness"),
}


def has_truth(record: Record) -> bool:
    """Whether there was a true scene to score against."""
    return record["num_truths"] > 0


def metrics_of(protocol: EvaluationProtocol | PlaceProtocol) -> tuple[str, ...]:
    """Names of the metrics that a protocol reports."""
    return protocol.metrics if isinstance(protocol, PlaceProtocol) else METRICS


def means(records: Sequence[Record], protocol: EvaluationProtocol | PlaceProtocol) -> dict[str, float]:
    """Every metric over all records; F in percent, the rest as they are; NaN where there is nothing to count."""
    records = [record for record in records if has_truth(record)]
    return {name: float(values[0]) for name, values in _draws(records, protocol, np.ones((1, len(records)))).items()}


def bootstrap_means(
    records: Sequence[Record], protocol: EvaluationProtocol | PlaceProtocol
) -> dict[str, Float[np.ndarray, " draws"]]:
    """Every metric on resamples of the scenes; equal seeds give equal resamples (for paired comparison)."""
    rng = np.random.default_rng(protocol.seed)
    records = [record for record in records if has_truth(record)]
    count = len(records)
    draws = protocol.num_bootstrap
    weights = rng.multinomial(count, np.full(count, 1 / count), size=draws) if count else np.zeros((draws, 0))
    return _draws(records, protocol, weights.astype(float))


def summarize(records: Sequence[Record], protocol: EvaluationProtocol | PlaceProtocol) -> tuple[dict, dict]:
    """(mean, interval) of every metric; the interval is (low, high) at the protocol's level."""
    tail = (1 - protocol.confidence_level) / 2
    draws = bootstrap_means(records, protocol)
    intervals = {}
    for name, values in draws.items():
        finite = values[np.isfinite(values)]
        intervals[name] = [float(q) for q in np.quantile(finite, [tail, 1 - tail])] if len(finite) else [np.nan, np.nan]
    return means(records, protocol), intervals


def _draws(
    records: Sequence[Record], protocol: EvaluationProtocol | PlaceProtocol, weights: Float[np.ndarray, "draws scenes"]
) -> dict[str, Float[np.ndarray, " draws"]]:
    if isinstance(protocol, PlaceProtocol):
        table = np.array([[record["place"][name] for name in protocol.metrics] for record in records], float)
        table = table.reshape(-1, len(protocol.metrics))
        known = np.isfinite(table)
        with np.errstate(invalid="ignore", divide="ignore"):
            values = (weights @ np.where(known, table, 0)) / (weights @ known)
        return dict(zip(protocol.metrics, values.T, strict=True))
    parts = dict(_PARTS)
    parts["iou_b"] = _scene("iou_b_scene") if protocol.iou_b_of == "scene" else _objects("iou_o")
    result = {}
    for name in METRICS:
        if name in parts:
            table = np.array([parts[name](record) for record in records], float).reshape(-1, 2)
            with np.errstate(invalid="ignore", divide="ignore"):
                result[name] = (weights @ table[:, 0]) / (weights @ table[:, 1])
    for level, threshold in enumerate(AP_THRESHOLDS):
        result[f"box_ap_{round(100 * threshold)}"] = np.array([_pooled_ap(records, level, w) for w in weights])
    return result


def _pooled_ap(records: Sequence[Record], level: int, weight: Float[np.ndarray, " scenes"]) -> float:
    if not weight.sum():
        return float("nan")
    hits, confidences, truths = [], [], 0
    for record, times in zip(records, weight.astype(int), strict=True):
        truths += int(times) * record["num_truths"]
        for confidence, flags in record["detections"]:
            hits += [flags[level]] * times
            confidences += [confidence] * times
    return average_precision(np.array(hits, bool), np.array(confidences, float), truths)
