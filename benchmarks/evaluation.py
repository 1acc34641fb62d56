"""Seconds of scoring whole test sets, and of the Chamfer distance against scipy's k-d tree.

    uv run python -m benchmarks evaluation [--scenes 20] [--points 20480] [--workers 2] [--protocols iscene-2026 ...]

Scenes hold five lopsided objects (blended spheres of 5,120 faces); the prediction is the truth, turned, moved, dented
and with its objects shifted, so that alignment has work to do. Clouds of both sides have `--points` points per object,
whatever the protocol says. Processor seconds are printed beside the clock's: on a busy machine only they say anything.
The checksum (CD-S, F-O and registered poses of all scenes) is the same for any number of workers.
"""

import hashlib
import time
from dataclasses import replace
from functools import partial

import numpy as np
import torch
import trimesh
from scipy.spatial import cKDTree

from benchmarks.measure import Report, alternate
from scenewright.evaluation.protocols import PROTOCOLS, EvaluationProtocol
from scenewright.evaluation.scoring import score_scene
from scenewright.evaluation.shapes import Shape, ShapeScene
from scenewright.jobs import run
from scenewright.machine import peak_memory_bytes
from scenewright.metrics.point_clouds import cloud_distances

NUM_OBJECTS = 5
TARGET_S = 6.0  # of the processors, a scene: 20 of them in a minute by two


def object_mesh(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    ball = trimesh.creation.icosphere(subdivisions=4)
    x = np.asarray(ball.vertices)
    bumps = sum(rng.uniform(0.1, 0.3) * np.sin(x @ rng.normal(size=3) * 3 + rng.uniform(0, 6)) for _ in range(4))
    return x * (1 + bumps)[:, None] * rng.uniform(0.2, 0.6, 3), np.asarray(ball.faces)


def scene_pair(seed: int) -> tuple[ShapeScene, ShapeScene]:
    """Prediction and truth."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    predicted, true = [], []
    for index in range(NUM_OBJECTS):
        vertices, faces = object_mesh(rng)
        vertices = vertices + [1.3 * (index % 3), 1.3 * (index // 3), 0.6]
        guess = vertices + rng.normal(0, 0.01, vertices.shape) + rng.normal(0, 0.05, 3)
        true.append(Shape(f"obj_{index}", vertices, faces))
        predicted.append(Shape(f"obj_{index}", guess @ turn.T + [0.3, -0.2, 0.1], faces))
    return ShapeScene("scene", tuple(predicted)), ShapeScene("scene", tuple(true))


def score(seed: int, protocol: EvaluationProtocol) -> tuple[float, str]:
    """Processor seconds (of all threads) and what was found."""
    prediction, truth = scene_pair(seed)
    begin = time.process_time()
    found = score_scene(prediction, truth, protocol)
    spent = time.process_time() - begin
    return spent, repr((found.cd_s, [item.f_o for item in found.objects], found.truth_from_prediction))


def score_sets(report: Report, names: tuple[str, ...], num_scenes: int, points: int, workers: int) -> None:
    report.table("protocol", "scenes", "clock s", "processor s", "processor s per scene", "checksum")
    for name in names:
        protocol = replace(PROTOCOLS[name], points_per_object=points)
        begin = time.perf_counter()
        # Processes are started anew for every protocol: their start is part of what a user waits for.
        found = run(partial(score, protocol=protocol), range(num_scenes), workers=workers)
        clock, processor = time.perf_counter() - begin, sum(spent for spent, _ in found)
        checksum = hashlib.sha256("".join(text for _, text in found).encode()).hexdigest()[:8]
        report.row(name, num_scenes, f"{clock:.1f}", f"{processor:.1f}", f"{processor / num_scenes:.2f}", checksum)
        report.ratio(f"{name}: processor s a scene / {TARGET_S:.0f}", processor / num_scenes / TARGET_S)


def chamfer_by_scipy(first: np.ndarray, second: np.ndarray) -> float:
    there = cKDTree(second).query(first, workers=-1)[0]
    back = cKDTree(first).query(second, workers=-1)[0]
    return float(np.square(there).mean() + np.square(back).mean())


def surface_clouds(count: int) -> list[np.ndarray]:
    """Two samplings of one surface."""
    vertices, faces = object_mesh(np.random.default_rng(1))
    mesh, rng = trimesh.Trimesh(vertices, faces), np.random.default_rng(0)
    return [np.asarray(trimesh.sample.sample_surface(mesh, count, seed=rng)[0]) for _ in range(2)]


def peak_mb() -> float:
    return peak_memory_bytes() / 2**20


def time_chamfer(report: Report, counts: tuple[int, ...]) -> None:
    report.table("Chamfer distance of", "clouds", "ours CPU s", "scipy CPU s", "ours / scipy", "peak grows by")
    for count in counts:
        first, second = surface_clouds(count)
        for apart in (0.0, 0.1):
            moved = second + apart
            tensors = torch.from_numpy(first), torch.from_numpy(moved)
            before = peak_mb()
            found = cloud_distances(*tensors).chamfer
            growth = peak_mb() - before
            assert np.isclose(found, chamfer_by_scipy(first, moved), rtol=1e-12)
            ours, scipy = alternate(
                [lambda: cloud_distances(*tensors).chamfer, lambda: chamfer_by_scipy(first, moved)],
                repeats=3,
                clock=time.process_time,
            )
            where = "one surface" if apart == 0 else f"moved by {apart}"
            times = f"{ours:.3f}", f"{scipy:.3f}", f"**{ours / scipy:.2f}**"
            report.row(f"{count:,} points", where, *times, f"{growth:.0f} MB")
            report.ratio(f"Chamfer, {where}: ours / scipy", ours / scipy)


OF_OBJECTS = tuple(name for name, protocol in PROTOCOLS.items() if isinstance(protocol, EvaluationProtocol))
QUICK = {"scenes": 1, "points": 256, "workers": 1, "protocols": ("scenewright-1",), "chamfer_points": (1_000,)}


def section(
    report: Report,
    *,
    scenes: int = 20,
    points: int = 20_480,
    workers: int = 2,
    protocols: tuple[str, ...] = OF_OBJECTS,
    chamfer_points: tuple[int, ...] = (100_000,),
) -> None:
    """Prints the Chamfer distance against scipy's, and a row for each protocol."""
    time_chamfer(report, chamfer_points)
    score_sets(report, protocols, scenes, points, workers)
