"""Seconds of scoring whole test sets, and of the Chamfer distance against scipy's k-d tree.

    uv run python -m benchmarks.evaluation [--scenes 20] [--points 20480] [--protocols iscene-2026 scenewright-1]

Scenes hold five lopsided objects (blended spheres of 5,120 faces); the prediction is the truth, turned, moved, dented
and with its objects shifted, so that alignment has work to do. Clouds of both sides have `--points` points per object.
Wall and processor seconds are printed: on a busy machine only the latter say anything.
"""

import argparse
import resource
import time
from dataclasses import replace

import numpy as np
import torch
import trimesh
from scipy.spatial import cKDTree

from benchmarks.measure import alternate, machine
from scenewright.evaluation.protocols import PROTOCOLS, EvaluationProtocol
from scenewright.evaluation.scoring import score_scene
from scenewright.evaluation.shapes import Shape, ShapeScene
from scenewright.metrics.point_clouds import cloud_distances

NUM_OBJECTS = 5


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


def score_all(pairs: list[tuple[ShapeScene, ShapeScene]], protocol: EvaluationProtocol) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    for prediction, truth in pairs:
        score_scene(prediction, truth, protocol)
    return time.perf_counter() - wall, time.process_time() - processor


def chamfer_by_scipy(first: np.ndarray, second: np.ndarray) -> float:
    there = cKDTree(second).query(first, workers=-1)[0]
    back = cKDTree(first).query(second, workers=-1)[0]
    return float(np.square(there).mean() + np.square(back).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument("--points", type=int, default=20_480)
    parser.add_argument("--protocols", nargs="+", default=list(PROTOCOLS), choices=list(PROTOCOLS))
    arguments = parser.parse_args()
    print(machine())
    pairs = [scene_pair(seed) for seed in range(arguments.scenes)]
    print("| protocol | scenes | wall s | processor s |\n|---|---|---|---|")
    for name in arguments.protocols:
        protocol = replace(PROTOCOLS[name], points_per_object=arguments.points)
        score_scene(*pairs[0], protocol)  # compiles
        wall, processor = score_all(pairs, protocol)
        print(f"| {name} | {arguments.scenes} | {wall:.1f} | {processor:.1f} |", flush=True)
    rng = np.random.default_rng(0)
    clouds = []
    for _ in range(2):
        vertices, faces = object_mesh(np.random.default_rng(1))
        points, _ = trimesh.sample.sample_surface(trimesh.Trimesh(vertices, faces), 100_000, seed=rng)
        clouds.append(np.asarray(points))
    tensors = [torch.from_numpy(cloud) for cloud in clouds]
    ours, scipy = alternate([lambda: cloud_distances(*tensors).chamfer, lambda: chamfer_by_scipy(*clouds)])
    print(f"Chamfer at 100,000 points: {ours:.3f} s, scipy's default cKDTree {scipy:.3f} s, ratio {ours / scipy:.2f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
