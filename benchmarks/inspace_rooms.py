"""InSpace-mini's coarse stage by sampler: the published detail setting (50 steps, two calls each) against fewer calls.

    python -m benchmarks inspace_rooms [--scenes SCENES]   a folder of panoramas with known rooms, as the test scenes

Every panorama without its distances, so that the flow alone decides the room: calls of the flow, seconds of the coarse
stage's process, and IoU of the rooms as volumes. With distances the walls come from them whatever the sampler.
"""

import time
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.measure import MissingError, Report
from scenewright.data.probe_scenes import find_test_scenes
from scenewright.errors import EmptyStructureError
from scenewright.evaluation.room_scoring import ROOM_PROTOCOLS, read_room_truth, score_room
from scenewright.samplers.config import SamplerConfig
from scenewright.systems.inspace.panorama import Panorama
from scenewright.systems.mini.panorama_system import MiniRoomSettings, mini_rooms

SAMPLERS = {
    "50 steps, guided everywhere": SamplerConfig(50, 2.0, (0.0, 1.0), rescale_t=1.0),
    "12 steps, guided in [0.6, 1]": SamplerConfig(12, 2.0, (0.6, 1.0), rescale_t=1.0),
}


SCENES = Path(__file__).parents[1].parent / "shared/data/scenes/pano"
QUICK = {"limit": 1}


def section(report: Report, *, scenes: Path = SCENES, limit: int = 5) -> None:
    """Prints a row for each sampler."""
    if not scenes.is_dir():
        raise MissingError(f"panoramas with known rooms (--scenes; '{scenes}' is not there)")
    report.table("sampler", "calls", "CPU s a room", "layout IoU")
    taken, found = [], []
    torch.set_num_threads(1)
    truths = [read_room_truth(folder) for folder in find_test_scenes(scenes)[:limit]]
    for name, sampler in SAMPLERS.items():
        settings = MiniRoomSettings(max_assets=0, from_noise=True)
        system = mini_rooms(settings=replace(settings, coarse=replace(settings.coarse, sampler=sampler)))
        calls = 0

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1

        system.rooms.flow.register_forward_hook(count)
        ious, started = [], time.process_time()
        for truth in truths:
            try:
                scene = system.scene_of(Panorama(truth.rgb))
                ious.append(score_room(scene, truth, ROOM_PROTOCOLS["scenewright-room-1"]).metrics["layout_iou"])
            except EmptyStructureError:
                ious.append(0.0)
        seconds = (time.process_time() - started) / len(truths)
        mean = sum(ious) / len(ious)
        report.row(name, f"{calls / len(truths):.0f}", f"{seconds:.1f}", f"{mean:.3f}")
        taken.append(seconds)
        found.append(mean)
    report.ratio("fewer calls / published, CPU s", taken[1] / taken[0])
    report.ratio("published / fewer calls, layout IoU", found[0] / found[1])
