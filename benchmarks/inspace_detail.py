"""InSpace-mini's detail stage by sampler: the published setting (50 steps, two calls each) against fewer calls.

    python -m benchmarks inspace_detail [--scenes SCENES]   a folder of panoramas with known rooms, as the test scenes

Every panorama with its distances, `--preset published`. Calls of both detail flows, processor seconds from the coarse
cells on, IoU of floor and walls with the true ones as cells of 32^3 ("layout"), and F-scores of the layout alone and of
assets. What comes before is made once.
"""

import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.inspace_rooms import SAMPLERS, SCENES
from benchmarks.measure import MissingError, Report
from scenewright.data.probe_scenes import find_test_scenes
from scenewright.evaluation.room_scoring import ROOM_PROTOCOLS, RoomTruth, read_room_truth, score_room
from scenewright.systems.inspace.detail import DetailSettings
from scenewright.systems.inspace.detail_flow import DetailFlow
from scenewright.systems.inspace.panorama import Panorama
from scenewright.systems.mini.panorama_details import MiniDetailFlows
from scenewright.systems.mini.panorama_system import MiniRoomSettings, mini_rooms
from scenewright.systems.mini.sizes import ROOM_SHAPE_SAMPLER, ROOM_SHAPE_START, ROOM_TEXTURE_SAMPLER
from scenewright.types import Scene

QUICK = {"limit": 1, "steps": (2, 1)}
METRES, CUBE = ROOM_PROTOCOLS["scenewright-room-1"], ROOM_PROTOCOLS["inspace-2026"]


def section(report: Report, *, scenes: Path = SCENES, limit: int = 2, steps: tuple[int, int] = (50, 12)) -> None:
    """Prints a row for each sampler; `steps` are those of the published setting and of the shorter one."""
    if not scenes.is_dir():
        raise MissingError(f"panoramas with known rooms (--scenes; '{scenes}' is not there)")
    torch.set_num_threads(1)
    truths = [read_room_truth(folder) for folder in find_test_scenes(scenes)[:limit]]
    choices = {
        f"{count} steps, {name.split(', ', 1)[1]}, from noise": DetailSettings(replace(sampler, steps=count))
        for count, (name, sampler) in zip(steps, SAMPLERS.items(), strict=True)
    }
    own = DetailSettings(ROOM_SHAPE_SAMPLER, ROOM_TEXTURE_SAMPLER, start=ROOM_SHAPE_START)
    choices[f"{ROOM_SHAPE_SAMPLER.steps} and {ROOM_TEXTURE_SAMPLER.steps} steps, unguided, from {own.start:g}"] = own
    report.table("sampler", "calls", "CPU s a room", "layout IoU", "layout F at 10 cm", "assets F at 10 cm")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, choice in choices.items():
            rows, calls, seconds = [], Calls(), 0.0
            for number, truth in enumerate(truths):
                work, shared = Path(folder) / "run", Path(folder) / f"shared_{number}"
                if not shared.is_dir():
                    made(truth, replace(own, sampler=replace(own.sampler, steps=1)), shared, Calls())
                    for stage in ("guess", "shape", "texture", "asset", "layout"):
                        for path in shared.glob(f"{stage}*"):
                            path.unlink()
                shutil.rmtree(work, ignore_errors=True)
                shutil.copytree(shared, work)
                started = time.process_time()
                scene = made(truth, choice, work, calls)
                seconds += time.process_time() - started
                rows.append(scores(scene, truth))
            means = np.mean(rows, 0)
            report.row(name, f"{calls.count / len(truths):.0f}", f"{seconds / len(truths):.1f}", *means.round(3))
            found.append((seconds, float(means[0])))
    report.ratio("fewer calls / published, CPU s", found[1][0] / found[0][0])
    report.ratio("published / fewer calls, layout IoU", found[0][1] / found[1][1])


def made(truth: RoomTruth, detail: DetailSettings, work: Path, calls: "Calls") -> Scene:
    system = mini_rooms(settings=replace(MiniRoomSettings(form="published"), detail=detail), work=work)
    system.details = CountedFlows(system.details, calls)  # type: ignore[assignment]
    return system.scene_of(Panorama(truth.rgb, truth.distance_m))


def scores(scene: Scene, truth: RoomTruth) -> tuple[float, float, float]:
    """IoU and F of the layout alone, and F of assets."""
    shell = replace(scene, objects=tuple(item for item in scene.objects if item.role == "shell"))
    bare = replace(truth, surfaces=(), areas_m2=(), boxes=truth.boxes[:0])
    return (
        score_room(shell, bare, CUBE).metrics["voxel_iou"],
        score_room(shell, bare, METRES).metrics["room_f_10cm"],
        score_room(scene, truth, METRES).metrics["asset_f_10cm"],
    )


class Calls:
    """Counts calls of networks."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, *_: object) -> None:
        self.count += 1


class CountedFlows:
    """Detail flows that count the velocities they give."""

    def __init__(self, flows: MiniDetailFlows, calls: Calls) -> None:
        self.flows, self.calls = flows, calls
        self.source, self.files = flows.source, flows.files

    def shape_flow(self) -> DetailFlow:
        return self._counted(self.flows.shape_flow())

    def texture_flow(self) -> DetailFlow:
        return self._counted(self.flows.texture_flow())

    def _counted(self, flow: DetailFlow) -> DetailFlow:
        flow.out_layer.register_forward_hook(self.calls)
        return flow
