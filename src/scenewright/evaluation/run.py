"""Evaluates folders: score files of any system, or let a system generate the scenes first. Resumable.

Scene by scene: take the kept record if it still fits, else generate or read, score, keep the record and the pictures
for the report. A scene that fails is named, scored as failed, and the run goes on.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from scenewright import __version__
from scenewright.data.test_scenes import TestScene, find_test_scenes, read_test_scene
from scenewright.errors import InputError, ScenewrightError
from scenewright.evaluation.folders import find_pairs
from scenewright.evaluation.machine import machine_facts, peak_memory_mb
from scenewright.evaluation.pictures import save_pictures
from scenewright.evaluation.protocols import EvaluationProtocol
from scenewright.evaluation.records import files_stamp, key_of, load_record, record_of, save_record
from scenewright.evaluation.scoring import SceneScore, failed_scene, score_scene
from scenewright.evaluation.shapes import ShapeScene, shapes_from_scene, shapes_from_test_scene
from scenewright.evaluation.summary import summarize
from scenewright.evaluation.systems import SceneSystem
from scenewright.io.images import load_image
from scenewright.io.scene_file import load_scene, save_scene
from scenewright.types import Scene

__all__ = ["Evaluation", "evaluate_folders", "evaluate_system"]

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Evaluation:
    """Everything a run found; `records` are plain JSON data, one per scene."""

    system: str
    protocol: EvaluationProtocol
    records: tuple[dict[str, Any], ...]
    mean: dict[str, float]
    ci95: dict[str, list[float]]
    machine: dict[str, Any]
    work: Path

    def to_dict(self) -> dict[str, Any]:
        """The content of OUT.json."""
        return {
            "system": self.system,
            "protocol": self.protocol.name,
            "version": __version__,
            "num_scenes": len(self.records),
            "num_failed": sum(record["status"] == "failed" for record in self.records),
            "mean": self.mean,
            "ci95": self.ci95,
            "machine": self.machine,
            "scenes": list(self.records),
        }


def evaluate_folders(
    predictions: str | Path,
    truths: str | Path,
    protocol: EvaluationProtocol,
    *,
    work: str | Path,
    pictures: bool = True,
    progress: Progress | None = None,
) -> Evaluation:
    """Scores the scene files in `predictions` against those in `truths` (see `folders` for what may lie there).

    Args:
        work: folder for records and pictures; created if missing, reused to resume.

    Raises:
        InputError: a folder is missing or holds no scene, or a true scene cannot be read.
    """
    pairs, work = find_pairs(predictions, truths), Path(work)
    records = []
    for index, pair in enumerate(pairs):
        _report(progress, index, len(pairs), pair.name)
        stamp = files_stamp(pair.truth, pair.prediction)
        key = key_of(kind="folders", protocol=_facts(protocol), version=__version__, files=stamp)
        record = load_record(work, key, pair.name)
        if record is None:
            truth = pair.read_truth()
            started = time.perf_counter()
            score, error = _score(pair.read_prediction, truth, protocol)
            record = record_of(pair.name, score, error=error, seconds={"score": time.perf_counter() - started})
            if pictures and pair.prediction is not None and error is None:
                image = load_image(pair.picture) if pair.picture is not None else None
                truth_scene = read_test_scene(pair.truth) if pair.truth.is_dir() else load_scene(pair.truth)
                prediction = load_scene(pair.prediction)
                record["pictures"] = save_pictures(work, pair.name, image, prediction, truth_scene, score)
            save_record(work, key, record)
        records.append(record)
    _report(progress, len(pairs), len(pairs), "")
    return _finish(Path(predictions).name, protocol, records, work)


def evaluate_system(
    system: SceneSystem,
    scenes: str | Path,
    protocol: EvaluationProtocol,
    *,
    work: str | Path,
    seed: int = 0,
    preset: str | None = None,
    pictures: bool = True,
    progress: Progress | None = None,
) -> Evaluation:
    """Generates every single-view test scene below `scenes` with `system` and scores the result.

    Args:
        work: folder for generated scenes (`NAME.glb`), records and pictures; created if missing, reused to resume.
        seed: passed to the system, the same for every scene.

    Raises:
        InputError: there is no single-view scene, or one cannot be read.
    """
    root, work = Path(scenes), Path(work)
    folders = [folder for folder in find_test_scenes(root) if (folder / "instances.png").exists()]
    folders = [folder for folder in folders if read_kind(folder) == "single_view"]
    if not folders:
        raise InputError(f"No single-view scene below '{root}'; this command needs pictures with instance masks.")
    records = []
    for index, folder in enumerate(folders):
        name = folder.relative_to(root).as_posix() if folder != root else folder.name
        _report(progress, index, len(folders), name)
        parts = {"system": system.name, "preset": preset, "seed": seed, "protocol": _facts(protocol)}
        key = key_of(kind="system", version=__version__, files=files_stamp(folder), **parts)
        record = load_record(work, key, name)
        if record is None:
            record = _evaluate_one(system, read_test_scene(folder, name=name), protocol, work, seed, pictures)
            save_record(work, key, record)
        records.append(record)
    _report(progress, len(folders), len(folders), "")
    return _finish(system.name if preset is None else f"{system.name} ({preset})", protocol, records, work)


def read_kind(folder: Path) -> str:
    """The `kind` entry of a test scene's `scene.json`."""
    import json

    try:
        return str(json.loads((folder / "scene.json").read_text()).get("kind", ""))
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"'{folder / 'scene.json'}' is not a readable JSON file ({error}).") from error


def _evaluate_one(
    system: SceneSystem, scene: TestScene, protocol: EvaluationProtocol, work: Path, seed: int, pictures: bool
) -> dict[str, Any]:
    assert scene.image is not None
    truth = shapes_from_test_scene(scene)
    path = work / f"{scene.name}.glb"
    path.parent.mkdir(parents=True, exist_ok=True)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    generated: Scene | None = None

    def generate() -> ShapeScene:
        nonlocal generated
        assert scene.image is not None
        generated = name_by_masks(system.generate(scene.image, scene.masks, camera=scene.camera, seed=seed), scene)
        save_scene(generated, path)
        return shapes_from_scene(generated, scene.name)

    times = {}

    def timed() -> ShapeScene:
        shapes = generate()
        times["generate"] = time.perf_counter() - started
        return shapes

    score, error = _score(timed, truth, protocol)
    times["score"] = time.perf_counter() - started - times.get("generate", 0.0)
    record = record_of(scene.name, score, error=error, seconds=times, peak_memory_mb=peak_memory_mb())
    if pictures and generated is not None and error is None:
        record["pictures"] = save_pictures(work, scene.name, scene.image, generated, scene, score)
    return record


def name_by_masks(generated: Scene, scene: TestScene) -> Scene:
    """The generated scene with each object named after the true object whose mask it answers.

    By the object's own mask where it carries one; else by order where the counts agree; else names stay.
    """
    if any(item.mask is not None for item in generated.objects):
        free = {item.name: item.mask for item in scene.objects if item.mask is not None}
        renamed = []
        for item in generated.objects:
            best = max(free, key=lambda name: _mask_iou(item.mask, free[name]), default=None)
            if best is None or _mask_iou(item.mask, free[best]) < 0.5:
                renamed.append(item)
                continue
            renamed.append(replace(item, name=best))
            del free[best]
        return replace(generated, objects=tuple(renamed))
    if len(generated.objects) == len(scene.objects):
        pairs = zip(generated.objects, scene.objects, strict=True)
        return replace(generated, objects=tuple(replace(item, name=true.name) for item, true in pairs))
    return generated


def _mask_iou(first: torch.Tensor | None, second: torch.Tensor | None) -> float:
    if first is None or second is None or first.shape != second.shape:
        return 0.0
    return float((first & second).sum()) / max(float((first | second).sum()), 1.0)


def _score(
    read: Callable[[], ShapeScene], truth: ShapeScene, protocol: EvaluationProtocol
) -> tuple[SceneScore, str | None]:
    try:
        return score_scene(read(), truth, protocol), None
    except ScenewrightError as error:
        message = str(error)
    except (
        RuntimeError,
        ValueError,
        ArithmeticError,
        MemoryError,
    ) as error:  # a system's own failure ends one scene only
        message = f"{type(error).__name__}: {error}"
    logger.warning("Scene '%s' is scored as failed: %s", truth.name, message)
    return failed_scene(truth, protocol, [message]), message


def _finish(system: str, protocol: EvaluationProtocol, records: Sequence[dict[str, Any]], work: Path) -> Evaluation:
    mean, interval = summarize(records, protocol)
    return Evaluation(system, protocol, tuple(records), mean, interval, machine_facts(), work)


def _facts(protocol: EvaluationProtocol) -> str:
    return repr(protocol)


def _report(progress: Progress | None, done: int, total: int, name: str) -> None:
    if progress is not None:
        progress(done, total, name)
