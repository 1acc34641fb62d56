"""The plain JSON of one scored scene."""

import dataclasses
from typing import Any

from scenewright.evaluation.scoring import SceneScore

__all__ = ["record_of"]


def record_of(name: str, score: SceneScore, *, error: str | None = None, **more: Any) -> dict[str, Any]:
    """The record of a scene; `error` marks it as failed; `more` (timings, memory) is added as it stands."""
    return {
        "name": name,
        "status": "failed" if error else "scored",
        "error": error,
        "warnings": list(score.warnings),
        "scene": {key: getattr(score, key) for key in ("cd_s", "f_s", "accuracy", "completeness", "iou_b_scene")},
        "objects": [dataclasses.asdict(item) for item in score.objects],
        "collisions": list(score.hits),
        "detections": [[confidence, list(flags)] for confidence, flags in score.detections],
        "num_truths": score.num_truths,
        "candidate": score.candidate,
        "matched_by": score.matched_by,
        "truth_from_prediction": [list(row) for row in score.truth_from_prediction],
        "quality": {item: dataclasses.asdict(found) for item, found in score.quality.items()},
        **more,
    }
