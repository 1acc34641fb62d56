"""Evaluates rooms made from panoramas: a system, a folder of scene files, or the baseline of true boxes. Resumable."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from scenewright import __version__
from scenewright.data.probe_scenes import find_test_scenes
from scenewright.evaluation.room_scoring import (
    AP_THRESHOLDS,
    RoomProtocol,
    RoomTruth,
    compared_panoramas,
    read_room_truth,
    score_room,
    true_boxes,
)
from scenewright.evaluation.run import Evaluation
from scenewright.io.atomic import make_folder
from scenewright.io.images import image_of, save_image
from scenewright.io.scene_file import load_scene, save_scene
from scenewright.jobs import Store, files_stamp, key_of
from scenewright.machine import machine_facts, peak_memory_bytes
from scenewright.metrics.boxes import average_precision
from scenewright.progress import SILENT, Progress
from scenewright.samplers.config import Quality, SamplingOverride
from scenewright.systems.options import GenerateOptions
from scenewright.systems.system import System
from scenewright.types import PanoramaCamera, Scene, View

__all__ = ["TRUE_BOXES", "MadeScene", "evaluate_rooms", "room_draws", "room_means"]

logger = logging.getLogger(__name__)

TRUE_BOXES = "true_boxes"
"""Name of the baseline: the true room, each true box as a cuboid."""


@dataclass(frozen=True)
class MadeScene:
    """A scene, how long it took, and the largest memory of the process until then."""

    scene: Scene
    seconds: float
    peak_memory_bytes: int


def evaluate_rooms(
    maker: System | Path | str,
    scenes: str | Path,
    protocol: RoomProtocol,
    *,
    work: str | Path,
    seed: int = 0,
    weights: str | None = None,
    with_depth: bool = True,
    depth_model: str | None = None,
    preset: str | None = None,
    quality: Quality = "standard",
    pictures: bool = True,
    made: dict[str, MadeScene] | None = None,
    progress: Progress = SILENT,
) -> Evaluation:
    """Scores the rooms of all panoramas below `scenes`.

    Args:
        maker: a system that reads panoramas, a folder of `NAME.glb`, or `TRUE_BOXES`.
        work: folder for records and generated rooms (`generated/NAME.glb`); reused to resume.
        with_depth: hand the true distances to the system.
        depth_model: with which the system estimates them otherwise, for the title.
        preset: of the system.
        quality: of its samplers.
        pictures: draws the panorama again, and keeps both in the protocol's folder.
        made: scenes of this run by name, which are not generated again for another protocol.

    Raises:
        InputError: there is no panorama below `scenes`.
    """
    folders, root = find_test_scenes(scenes), Path(scenes)
    store = Store(Path(work) / protocol.name)
    made_in = Path(work) / "generated"
    name = maker if isinstance(maker, str) else maker.name
    facts: dict[str, Any] = {"maker": name, "seed": seed, "version": __version__, "depth": with_depth}
    if preset is not None:
        facts["preset"] = preset
    if quality != "standard":
        facts["quality"] = quality
    if not isinstance(maker, str | Path):
        facts["weights"] = maker.weights_sha256()
    records = []
    for number, folder in enumerate(folders):
        label = folder.relative_to(root).as_posix() if folder != root else folder.name
        progress.stage(label)(number, len(folders))
        given = [maker / f"{label}.glb"] if isinstance(maker, Path) else []
        key = key_of(
            protocol=repr(protocol), files=files_stamp(folder, *[path for path in given if path.exists()]), **facts
        )
        record = store.read(label, key)
        lacks_picture = record is not None and pictures and "pictures" not in record and record["status"] == "scored"
        if record is None or lacks_picture:
            make = _Maker(maker, seed, with_depth, preset, quality)
            pictured = store.folder if pictures else None
            record = _record(make, folder, label, protocol, made_in, pictured, {} if made is None else made)
            store.write(label, key, record)
        records.append(record)
    mean, interval = _summary(records, protocol)
    title = name if weights is None else f"{name} ({', '.join(filter(None, (weights, preset, facts.get('quality'))))})"
    return Evaluation(
        title if with_depth or isinstance(maker, str | Path) else f"{title}, depth {depth_model or 'none'}",
        protocol,
        tuple(records),
        mean,
        interval,
        machine_facts(),
        store.folder,
        datetime.now(UTC).date().isoformat(),
    )


@dataclass(frozen=True)
class _Maker:
    """Whatever makes a room, and how."""

    source: System | Path | str
    seed: int
    with_depth: bool
    preset: str | None
    quality: Quality

    @property
    def is_system(self) -> bool:
        return not isinstance(self.source, str | Path)

    def scene(self, truth: RoomTruth) -> Scene:
        if isinstance(self.source, str):
            return true_boxes(truth)
        if isinstance(self.source, Path):
            return load_scene(self.source / f"{truth.name}.glb")
        height, width = truth.rgb.shape[:2]
        camera = PanoramaCamera(torch.eye(4), width, height)
        depth_m = truth.distance_m if self.with_depth else None
        view = View(Image.fromarray(truth.rgb.numpy()), camera=camera, depth_m=depth_m)
        options = GenerateOptions(SamplingOverride(quality=self.quality), preset=self.preset)
        return self.source.generate(view, seed=self.seed, options=options)


def _record(
    maker: _Maker,
    folder: Path,
    label: str,
    protocol: RoomProtocol,
    made_in: Path,
    pictured: Path | None,
    made: dict[str, MadeScene],
) -> dict[str, Any]:
    record: dict[str, Any] = {"name": label, "status": "scored", "error": None, "warnings": [], "metrics": {}}
    record |= {"detections": None, "num_truths": 0, "seconds": {}, "peak_memory_mb": {}}
    try:
        truth = read_room_truth(folder, label)
        record["num_truths"] = len(truth.boxes)
        if label not in made:
            started = time.perf_counter()
            scene = maker.scene(truth)
            made[label] = MadeScene(scene, time.perf_counter() - started, peak_memory_bytes() or 0)
            if maker.is_system:
                (made_in / label).parent.mkdir(parents=True, exist_ok=True)
                save_scene(scene, made_in / f"{label}.glb")
        scene = made[label].scene
        if maker.is_system:
            record["seconds"]["generate"] = made[label].seconds
            record["peak_memory_mb"]["cpu"] = round(made[label].peak_memory_bytes / 2**20, 1)
        score = score_room(scene, truth, protocol)
        found = score.detections
        record |= {
            "metrics": score.metrics,
            "detections": None if found is None else [[confidence, list(flags)] for confidence, flags in found],
        }
        record["warnings"] = list(scene.notes)
        if pictured is not None:
            record["pictures"] = _save_pictures(pictured, label, scene, truth)
    except Exception as error:
        record |= {"status": "failed", "error": str(error)}
        logger.warning("Scene '%s' is scored as failed: %s", label, error)
    return record


def _save_pictures(work: Path, name: str, scene: Scene, truth: RoomTruth) -> dict[str, str]:
    """The panorama drawn again, and as it was, in the size in which they are compared."""
    names = {}
    for role, pixels in zip(("prediction", "truth"), compared_panoramas(scene, truth), strict=True):
        names[role] = f"{name}_{role}.png"
        make_folder((work / names[role]).parent)
        save_image(image_of(pixels.permute(1, 2, 0)), work / names[role])
    return names


def room_means(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean of every number over the rooms that have it (a room that failed counts as 0 where more is better), and AP of
    all boxes together where boxes were scored."""
    names = sorted({name for record in records for name in record["metrics"]})
    means = {}
    for name in names:
        values = [record["metrics"].get(name, np.nan if name.endswith(("cd", "psnr")) else 0.0) for record in records]
        means[name] = float(np.nanmean(values))
    found = [record["detections"] for record in records if record["detections"] is not None]
    rows = [row for detections in found for row in detections]
    if found:
        confidence = np.array([row[0] for row in rows])
        total = sum(record["num_truths"] for record in records)
        for level, threshold in enumerate(AP_THRESHOLDS):
            hits = np.array([row[1][level] for row in rows], dtype=bool)
            means[f"box_ap_{round(100 * threshold)}"] = average_precision(hits, confidence, total)
    return means


def _summary(
    records: Sequence[Mapping[str, Any]], protocol: RoomProtocol
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Means, and percentile bootstrap intervals over rooms."""
    draws, tail = room_draws(records, protocol), (1 - protocol.confidence_level) / 2
    intervals = {name: [float(q) for q in np.nanquantile(values, [tail, 1 - tail])] for name, values in draws.items()}
    return room_means(records), intervals


def room_draws(records: Sequence[Mapping[str, Any]], protocol: RoomProtocol) -> dict[str, Float[np.ndarray, " draws"]]:
    """The means of resamples of the rooms, NaN where none of a resample has the number; equal seeds resample alike."""
    rng = np.random.default_rng(protocol.seed)
    draws = [
        room_means([records[k] for k in rng.integers(len(records), size=len(records))])
        for _ in range(protocol.num_bootstrap)
    ]
    return {name: np.array([draw.get(name, np.nan) for draw in draws]) for name in room_means(records)}
