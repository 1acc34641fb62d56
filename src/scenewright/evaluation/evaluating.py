"""`scenewright.evaluate`: scene files against their truths, or a system on test scenes, under named protocols."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import torch

from scenewright.errors import InputError
from scenewright.evaluation.places import evaluate_place_files, evaluate_place_system
from scenewright.evaluation.protocols import PlaceProtocol, find_protocol
from scenewright.evaluation.room_scoring import ROOM_PROTOCOLS
from scenewright.evaluation.rooms import TRUE_BOXES, MadeScene, evaluate_rooms
from scenewright.evaluation.run import Evaluation, evaluate_folders, evaluate_system
from scenewright.evaluation.systems import CameraKnowledge, open_for_evaluation
from scenewright.progress import SILENT, Progress, within
from scenewright.samplers.config import Quality
from scenewright.systems.genrecon.system import CaptureSystem
from scenewright.systems.loading import choose_weights, refuse_ignored
from scenewright.systems.system import System

__all__ = ["evaluate"]


class _Shared(TypedDict):
    work: Path
    pictures: bool
    workers: int


class _SharedOfPlaces(TypedDict):
    work: Path
    pictures: bool
    progress: Progress


def evaluate(
    predictions: str | Path | None = None,
    ground_truth: str | Path | None = None,
    *,
    scenes: str | Path | None = None,
    system: str | System | None = None,
    weights: str | None = None,
    protocols: Sequence[str] = ("scenewright-1",),
    known_camera: CameraKnowledge = "pose",
    seed: int = 0,
    device: torch.device | str = "cpu",
    work: str | Path = "scenewright_evaluation",
    pictures: bool = True,
    workers: int = 0,
    with_depth: bool = True,
    depth_model: str | None = None,
    preset: str | None = None,
    quality: Quality = "standard",
    progress: Progress = SILENT,
) -> list[Evaluation]:
    """Scores under every protocol; interrupted work goes on where it was.

    Args:
        predictions, ground_truth: folders of scene files with the same names.
        scenes, system: instead of these, a folder of test scenes and a system (or its name and `weights`) that
            generates them.
        known_camera: "pose", "lens" or "nothing": what the system is told of the true camera.
        seed: passed to the system.
        work: folder for records, generated scenes and pictures.
        pictures: draws pictures for a report.
        workers: processes that score; 0 chooses. The numbers do not depend on it.
        with_depth: hand true distances to a system that reads panoramas.
        depth_model: let it estimate them with this network instead.
        preset: of a system that reads panoramas.
        quality: of the system's samplers.

    Raises:
        InputError: neither pair of arguments is complete, there is no such protocol, or a folder holds no scene.
        WeightsError: the system's weights are missing or cannot be read.
    """
    if (predictions is not None and ground_truth is not None) == (scenes is not None and system is not None):
        raise InputError(
            "Expected either predictions and their ground truth, or test scenes and a system that generates them."
        )
    if quality != "standard":
        _refuse_quality(system, weights, quality)
    base, results = Path(work), []
    rooms = [ROOM_PROTOCOLS[name] for name in protocols if name in ROOM_PROTOCOLS]
    if rooms:
        if len(rooms) < len(protocols):
            raise InputError("Protocols of rooms and of single views cannot be mixed; run evaluate once for each kind.")
        truths = ground_truth if scenes is None else scenes
        assert truths is not None
        maker = _room_maker(predictions, system, weights, str(device), Path(truths), depth_model, progress)
        made: dict[str, MadeScene] = {}
        return [
            evaluate_rooms(
                maker,
                truths,
                rule,
                work=base,
                seed=seed,
                weights=weights,
                with_depth=with_depth and depth_model is None,
                depth_model=depth_model,
                preset=preset,
                quality=quality,
                pictures=pictures,
                made=made,
                progress=within(progress, rule.name),
            )
            for rule in rooms
        ]
    if preset is not None:
        raise InputError(f"Presets are of systems that read panoramas, scored under {', '.join(ROOM_PROTOCOLS)}.")
    chosen = [find_protocol(name) for name in protocols]
    if isinstance(system, str) and scenes is not None:
        system = open_for_evaluation(
            system,
            weights,
            reads="posed" if any(isinstance(protocol, PlaceProtocol) for protocol in chosen) else "masks",
            device=str(device),
            scenes=Path(scenes),
            work=base,
            progress=progress,
        )
    for protocol in chosen:
        report = within(progress, protocol.name)
        if isinstance(protocol, PlaceProtocol):
            where: _SharedOfPlaces = {"work": base / protocol.name, "pictures": pictures, "progress": report}
            if predictions is not None and ground_truth is not None:
                results.append(evaluate_place_files(predictions, ground_truth, protocol, **where))
                continue
            if not isinstance(system, CaptureSystem) or scenes is None:
                raise InputError(f"{protocol.name} scores places, which only systems that read posed pictures make.")
            generated = base / "generated"
            results.append(
                evaluate_place_system(
                    system,
                    scenes,
                    protocol,
                    generated=generated,
                    seed=seed,
                    weights=weights,
                    quality=quality,
                    **where,
                )
            )
            continue
        shared: _Shared = {"work": base / protocol.name, "pictures": pictures, "workers": workers}
        if predictions is not None and ground_truth is not None:
            results.append(evaluate_folders(predictions, ground_truth, protocol, progress=report, **shared))
        else:
            assert scenes is not None
            assert isinstance(system, System)
            if isinstance(system, CaptureSystem):
                raise InputError(f"'{system.name}' makes whole places; score it under genrecon-2026.")
            results.append(
                evaluate_system(
                    system,
                    scenes,
                    protocol,
                    generated=base / "generated",
                    seed=seed,
                    weights=weights,
                    camera=known_camera,
                    quality=quality,
                    progress=report,
                    **shared,
                )
            )
    return results


def _refuse_quality(system: str | System | None, weights: str | None, quality: Quality) -> None:
    """
    Raises:
        InputError: nothing is sampled that it would change.
    """
    if system is None or system == TRUE_BOXES:
        raise InputError(f"Nothing is sampled here, so --quality {quality} would change nothing; leave it out.")
    name = system if isinstance(system, str) else system.name
    refuse_ignored(name, choose_weights(name, weights).weights, {"quality": quality})


def _room_maker(
    predictions: str | Path | None,
    system: str | System | None,
    weights: str | None,
    device: str,
    scenes: Path,
    depth_model: str | None,
    progress: Progress,
) -> System | Path | str:
    """Whatever makes the rooms: a folder, the baseline, or a system that reads panoramas."""
    if predictions is not None:
        return Path(predictions)
    assert system is not None
    if isinstance(system, str) and system != TRUE_BOXES:
        return open_for_evaluation(
            system,
            weights,
            reads="panorama",
            device=device,
            scenes=scenes,
            depth_model=depth_model,
            progress=progress,
        )
    return system
