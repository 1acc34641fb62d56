"""Evaluates folders: score files of any system, or let a system generate the scenes first. Resumable.

Scene by scene: take the kept record if it still fits, else generate or read, score, keep the record and the pictures
for the report. A scene that fails is named, scored as failed, and the run goes on; one whose truth cannot be used is
named and failed too, but has no numbers.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from scenewright import __version__
from scenewright.errors import InputError, ScenewrightError
from scenewright.evaluation.folders import ScenePair, find_pairs
from scenewright.evaluation.pictures import save_pictures
from scenewright.evaluation.protocols import EvaluationProtocol, PlaceProtocol
from scenewright.evaluation.records import record_of
from scenewright.evaluation.room_scoring import RoomProtocol
from scenewright.evaluation.scoring import SceneScore, failed_scene, score_scene, unscored_scene
from scenewright.evaluation.shapes import ShapeScene, shapes_from_scene
from scenewright.evaluation.sources import SceneSource, SourceScene, find_sources
from scenewright.evaluation.summary import summarize
from scenewright.evaluation.systems import CameraKnowledge, known_camera
from scenewright.io.atomic import make_folder
from scenewright.io.images import load_image
from scenewright.io.scene_file import load_scene, save_scene
from scenewright.jobs import Store, choose_workers, files_stamp, key_of, run
from scenewright.machine import machine_facts, peak_memory_bytes
from scenewright.progress import SILENT, Progress
from scenewright.samplers.config import Quality, SamplingOverride
from scenewright.systems.options import GenerateOptions
from scenewright.systems.system import System
from scenewright.types import Camera, Mask, ObjectMasks, Scene, View

__all__ = [
    "Evaluation",
    "evaluate_folders",
    "evaluate_system",
    "finished",
    "peak_memory_mb",
    "sentence_of",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """Everything a run found; `records` are plain JSON data, one per scene."""

    system: str
    protocol: EvaluationProtocol | RoomProtocol | PlaceProtocol
    records: tuple[dict[str, Any], ...]
    mean: dict[str, float]
    ci95: dict[str, list[float]]
    machine: dict[str, Any]
    work: Path
    date: str

    def require_a_score(self) -> None:
        """
        Raises:
            InputError: every scene failed, so the means say nothing about the system.
        """
        if all(record["status"] == "failed" for record in self.records):
            first = self.records[0]
            raise InputError(
                f"Not one of {len(self.records)} scenes could be scored under {self.protocol.name}; the first, "
                f"'{first['name']}': {first['error']}"
            )

    def to_dict(self) -> dict[str, Any]:
        """The content of OUT.json."""
        return {
            "system": self.system,
            "protocol": self.protocol.name,
            "version": __version__,
            "date": self.date,
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
    workers: int = 1,
    progress: Progress = SILENT,
) -> Evaluation:
    """Scores the scene files in `predictions` against those in `truths` (see `folders` for what may lie there).

    Args:
        work: folder for records and pictures; created if missing, reused to resume.
        workers: processes that score; 0 chooses by the number of scenes and cores. The numbers do not depend on it.

    Raises:
        InputError: a folder is missing or holds no scene, or no prediction fits.
    """
    pairs, store = find_pairs(predictions, truths), Store(Path(work))
    records: dict[str, dict[str, Any]] = {}
    jobs = []
    for pair in pairs:
        stamp = files_stamp(pair.truth, pair.prediction)
        key = key_of(kind="folders", protocol=_facts(protocol), version=__version__, files=stamp, pictures=pictures)
        record = store.read(pair.name, key)
        if record is None:
            jobs.append((pair, key))
        else:
            records[pair.name] = record
    num_kept, advance = len(records), progress.stage("scoring")
    advance(num_kept, len(pairs))
    scored = run(
        partial(_score_pair, protocol=protocol, store=store, pictures=pictures),
        jobs,
        workers=workers or choose_workers(len(jobs)),
        progress=lambda done, _: advance(num_kept + done, len(pairs)),
    )
    records |= {record["name"]: record for record in scored}
    return finished(Path(predictions).name, protocol, [records[pair.name] for pair in pairs], store)


def _score_pair(
    job: tuple[ScenePair, str], protocol: EvaluationProtocol, store: Store, pictures: bool
) -> dict[str, Any]:
    pair, key = job
    started = time.perf_counter()
    score, error = _score(pair.name, pair.read_prediction, pair.read_truth, protocol)
    seconds = {"score": time.perf_counter() - started}
    record = record_of(pair.name, score, error=error, seconds=seconds, peak_memory_mb=peak_memory_mb())
    if pictures and pair.prediction is not None and error is None:
        image = load_image(pair.picture) if pair.picture is not None else None
        truth_scene, camera = pair.read_scene()
        prediction = load_scene(pair.prediction)
        store.forget(pair.name)
        record["pictures"] = save_pictures(
            store.folder, pair.name, image, prediction, truth_scene, score, camera=camera
        )
    store.write(pair.name, key, record)
    return record


def evaluate_system(
    system: System,
    scenes: str | Path,
    protocol: EvaluationProtocol,
    *,
    work: str | Path,
    generated: str | Path | None = None,
    seed: int = 0,
    weights: str | None = None,
    camera: CameraKnowledge = "pose",
    quality: Quality = "standard",
    pictures: bool = True,
    workers: int = 1,
    progress: Progress = SILENT,
) -> Evaluation:
    """Generates every scene below `scenes` (layouts: see `sources`) with `system` and scores the result.

    Args:
        work: folder for records and pictures; created if missing, reused to resume.
        generated: folder for generated scenes (`NAME.glb`), shared by runs under several protocols.
        seed: passed to the system, the same for every scene.
        weights: the name they were asked for by, for the report.
        camera: the part of the true camera that the system is told; baselines need all of it.
        quality: of the system's samplers.
        workers: processes that score while this one generates; 0 chooses. The numbers do not depend on it.

    Raises:
        InputError: there is no scene.
    """
    sources, store = find_sources(scenes), Store(Path(work))
    scene_store = Store(Path(generated) if generated is not None else store.folder / "generated")
    facts = {
        "system": system.name,
        "source": weights,
        "seed": seed,
        "version": __version__,
        "camera": camera,
        "weights": system.weights_sha256(),
    }
    if quality != "standard":
        facts["quality"] = quality
    options = GenerateOptions(SamplingOverride(quality=quality))
    records: dict[str, dict[str, Any]] = {}

    def scenes_to_score() -> Iterator[tuple[dict[str, Any], SceneSource, str]]:
        """Generates one scene after another; each is scored while the next is generated."""
        for index, source in enumerate(sources):
            progress.stage(source.name)(index, len(sources))
            made_key = key_of(files=files_stamp(*source.files), **facts)
            key = key_of(made=made_key, protocol=_facts(protocol), pictures=pictures)
            record = store.read(source.name, key)
            if record is not None:
                records[source.name] = record
                continue
            note = scene_store.read(source.name, made_key)
            if note is None:
                try:
                    scene = source.read()
                except Exception as error:
                    records[source.name] = _unscored_record(source.name, sentence_of(error), store, key)
                    continue
                known = known_camera(scene.camera, camera)
                note = _generate(system, scene, known, scene_store, made_key, seed, options)
            yield note, source, key

    scored = run(
        partial(_score_generated, protocol=protocol, store=store, scene_store=scene_store, pictures=pictures),
        scenes_to_score(),
        workers=workers or choose_workers(len(sources)),
        progress=lambda done, _: progress.stage("scoring")(len(records) + done, len(sources)),
    )
    records |= {record["name"]: record for record in scored}
    described = [text for text in (weights, None if quality == "standard" else quality) if text is not None]
    name = f"{system.name} ({', '.join(described)})" if described else system.name
    return finished(
        name if camera == "pose" else f"{name}, camera: {camera}",
        protocol,
        [records[source.name] for source in sources],
        store,
    )


def _generate(
    system: System,
    scene: SourceScene,
    camera: Camera | None,
    store: Store,
    key: str,
    seed: int,
    options: GenerateOptions,
) -> dict[str, Any]:
    """Makes `NAME.glb` in the store, with a note of the time, the memory and, where it failed, the reason."""
    path = store.folder / f"{scene.name}.glb"
    make_folder(path.parent)
    store.forget(scene.name)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    started, message = time.perf_counter(), None
    try:
        view = View(scene.image, ObjectMasks([Mask.of(mask) for mask in scene.masks]), camera)
        made = system.generate(view, seed=seed, options=options)
        save_scene(name_by_masks(made, scene), path)
    except Exception as error:
        message = sentence_of(error)
    seconds = time.perf_counter() - started
    note = {"name": scene.name, "error": message, "seconds": seconds, "peak_memory_mb": peak_memory_mb()}
    store.write(scene.name, key, note)
    return note


def _score_generated(
    job: tuple[dict[str, Any], SceneSource, str],
    protocol: EvaluationProtocol,
    store: Store,
    scene_store: Store,
    pictures: bool,
) -> dict[str, Any]:
    note, source, key = job
    path, started = scene_store.folder / f"{source.name}.glb", time.perf_counter()
    try:
        scene = source.read()
    except Exception as problem:
        return _unscored_record(source.name, sentence_of(problem), store, key)

    def read() -> ShapeScene:
        if note["error"] is not None:
            raise InputError(note["error"])
        return shapes_from_scene(load_scene(path), scene.name)

    score, error = _score(scene.name, read, lambda: scene.shapes, protocol)
    seconds = {"generate": note["seconds"], "score": time.perf_counter() - started}
    record = record_of(scene.name, score, error=error, seconds=seconds, peak_memory_mb=note["peak_memory_mb"])
    if pictures and error is None:
        record["pictures"] = save_pictures(
            store.folder, scene.name, scene.image, load_scene(path), scene.truth, score, camera=scene.camera
        )
    store.write(scene.name, key, record)
    return record


def name_by_masks(generated: Scene, scene: SourceScene) -> Scene:
    """The generated scene with each object named after the mask that it answers.

    By the object's own mask where it carries one; else by order where the counts agree; else names stay.
    """
    if any(item.mask is not None for item in generated.objects):
        free = dict(zip(scene.mask_names, map(Mask.of, scene.masks), strict=True))
        renamed = []
        for item in generated.objects:
            overlaps = {name: 0.0 if item.mask is None else item.mask.overlap(mask) for name, mask in free.items()}
            best = max(overlaps, key=lambda name: overlaps[name], default=None)
            if best is None or overlaps[best] < 0.5:
                renamed.append(item)
                continue
            renamed.append(replace(item, name=best))
            del free[best]
        return replace(generated, objects=tuple(renamed))
    if len(generated.objects) == len(scene.mask_names):
        pairs = zip(generated.objects, scene.mask_names, strict=True)
        return replace(generated, objects=tuple(replace(item, name=name) for item, name in pairs))
    return generated


def _score(
    name: str, read: Callable[[], ShapeScene], read_truth: Callable[[], ShapeScene], protocol: EvaluationProtocol
) -> tuple[SceneScore, str | None]:
    """The score, and what went wrong where something did."""
    try:
        truth = read_truth()
    except Exception as error:
        return _unscored(name, sentence_of(error))
    try:
        score = score_scene(read(), truth, protocol)
        message = score.warnings[-1] if score.is_failed else None
    except Exception as error:
        message = sentence_of(error)
        try:
            score = failed_scene(truth, protocol, [message])
        except Exception as truth_error:
            return _unscored(name, sentence_of(truth_error))
    if message is not None:
        logger.warning("Scene '%s' is scored as failed: %s", name, message)
    return score, message


def _unscored(name: str, reason: str) -> tuple[SceneScore, str]:
    message = f"The truth of '{name}' cannot be used, so the scene has no score: {reason}"
    logger.warning("%s", message)
    return unscored_scene([message]), message


def _unscored_record(name: str, reason: str, store: Store, key: str) -> dict[str, Any]:
    score, message = _unscored(name, reason)
    record = record_of(name, score, error=message, seconds={}, peak_memory_mb={})
    store.write(name, key, record)
    return record


def sentence_of(error: BaseException) -> str:
    """The error for people; other errors than ours with their class."""
    return str(error) if isinstance(error, ScenewrightError) else f"{type(error).__name__}: {error}"


def finished(
    system: str, protocol: EvaluationProtocol | PlaceProtocol, records: Sequence[dict[str, Any]], store: Store
) -> Evaluation:
    """The evaluation of all records."""
    mean, interval = summarize(records, protocol)
    return Evaluation(
        system,
        protocol,
        tuple(records),
        mean,
        interval,
        machine_facts(),
        store.folder,
        datetime.now(UTC).date().isoformat(),
    )


def _facts(protocol: EvaluationProtocol) -> str:
    return repr(protocol)


def peak_memory_mb() -> dict[str, float]:
    """Largest memory of this process so far and, where there is one, of the GPU."""
    peaks = {"cpu": peak_memory_bytes()}
    if torch.cuda.is_available():
        peaks["gpu"] = peak_memory_bytes("cuda")
    return {device: round(peak / 2**20, 1) for device, peak in peaks.items() if peak}
