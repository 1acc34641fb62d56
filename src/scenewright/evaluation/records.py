"""The plain JSON of one scored scene, and its safe keeping so that an interrupted evaluation goes on where it stopped.

A record is reused only if its key still fits: protocol, system, seed, package version and the input files' sizes and
times.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scenewright.evaluation.scoring import SceneScore
from scenewright.io.atomic import write_bytes

__all__ = ["files_stamp", "key_of", "load_record", "record_of", "save_record", "to_json"]


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


def key_of(**parts: Any) -> str:
    """A short fingerprint of everything a record depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def files_stamp(*paths: Path | None) -> list[list[Any]]:
    """Name, size and time of files (a folder counts all files in it), for `key_of`."""
    stamps: list[list[Any]] = []
    for path in paths:
        if path is None or not path.exists():
            continue
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        stamps += [[str(f), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
    return stamps


def save_record(folder: Path, key: str, record: Mapping[str, Any]) -> None:
    """Keeps a record as `<name>.json`; slashes of the scene's name become folders."""
    path = folder / f"{record['name']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, to_json({"key": key, "record": record}))


def load_record(folder: Path, key: str, name: str) -> dict[str, Any] | None:
    """The kept record of a scene, or None if there is none that fits the key; what failed is tried again."""
    try:
        kept = json.loads((folder / f"{name}.json").read_text())
        return kept["record"] if kept["key"] == key and kept["record"]["error"] is None else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def to_json(data: Any) -> bytes:
    """Indented JSON; numbers that JSON cannot hold become null."""
    return json.dumps(_plain(data), indent=1, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
