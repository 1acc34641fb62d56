"""Success rate and time of robust ICP on the golden clouds and on random ones of every golden kind, against small_gicp.

    uv run --group bench python -m benchmarks registration [--variants 24] [--kinds tilt partial_overlap] [--workers 2]

Every random variant is a new arrangement of box furniture, sampled twice on its own, with a new pose of its kind. A
run succeeds when the pose is within the tolerances of the golden cases (the best of the equivalent poses; source
centroid; both in shares of the joint longest side) or, where the pose is not defined, when the Chamfer distance is at
most 1.5 times that of the true pose (of a golden case: at most what its file allows). Two baselines: small_gicp's GICP
from the identity, and the same from the eight swept yaws (boxes' centres aligned), the best by inliers and error; its
own voxel size and reach are set to those of robust ICP.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from tests.conformance.case import read_case

from benchmarks.measure import MissingError, Report
from scenewright.jobs import run
from scenewright.metrics.point_clouds import cloud_distances
from scenewright.metrics.registration import Similarity, robust_icp

__all__ = ["KINDS", "Variant", "golden_variants", "make_variant", "succeeds"]

GOLDENS = Path(__file__).parents[1] / "tests/goldens/iscene"
NOISE = 0.005


@dataclass(frozen=True)
class Variant:
    """Two clouds and the poses that count as right; `rotation_deg` None checks the Chamfer distance only."""

    source: np.ndarray
    target: np.ndarray
    truth: Similarity
    equivalent: tuple[Similarity, ...] = ()
    rotation_deg: float | None = 1.0
    translation: float = 0.01
    estimate_scale: bool = False
    up: str = "z"
    scale_tolerance: float = 0.02
    max_chamfer: float | None = None


def _boxes(rng: np.random.Generator, count: int, room: tuple[float, float]) -> np.ndarray:
    """[count, 2, 3] low and high corners: plates, posts and blocks on the floor, some stacked."""
    boxes = []
    for _ in range(count):
        size = rng.uniform([0.2, 0.2, 0.2], [1.2, 0.9, 1.0])
        place = rng.uniform(-0.5, 0.5, 2) * room
        low = np.array([place[0] - size[0] / 2, place[1] - size[1] / 2, 0.0])
        if rng.random() < 0.4:  # a chair: seat and back
            seat = low + [0, 0, 0.4 * size[2]], low + size * [1, 1, 0.5]
            back = low + [0, 0.85 * size[1], 0.5 * size[2]], low + size * [1, 1, 1.4]
            boxes += [seat, back]
        else:
            boxes.append((low, low + size))
    return np.array([np.stack(box) for box in boxes])


def _sample(boxes: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    size = boxes[:, 1] - boxes[:, 0]
    area = np.stack([size[:, (a + 1) % 3] * size[:, (a + 2) % 3] for a in range(3)], 1)
    flat = np.repeat(area, 2, axis=1).ravel()
    which = rng.choice(len(flat), count, p=flat / flat.sum())
    box, side = which // 6, which % 6
    points = rng.random((count, 3))
    points[np.arange(count), side // 2] = side % 2
    points = boxes[box, 0] + points * size[box]
    return points + rng.normal(0, NOISE, points.shape)


def _pose(
    rng: np.random.Generator, yaw_deg: float, tilt_deg: float = 0.0, shift: float = 0.15, up: str = "z"
) -> Similarity:
    axis = Rotation.from_euler(up, yaw_deg, degrees=True)
    level = np.delete(np.arange(3), "xyz".index(up))
    lean = np.zeros(3)
    heading = rng.uniform(0, 2 * np.pi)
    lean[level] = np.deg2rad(tilt_deg) * np.array([np.cos(heading), np.sin(heading)])
    return Similarity((Rotation.from_rotvec(lean) * axis).as_matrix(), rng.uniform(-shift, shift, 3))


def _any_yaw(rng: np.random.Generator) -> float:
    return float(rng.uniform(0, 360))


def _scene(rng: np.random.Generator, count: int = 1600, room: tuple[float, float] = (3.0, 1.8)):
    boxes = _boxes(rng, int(rng.integers(3, 7)), room)
    return boxes, _sample(boxes, count, rng)


def _plain(rng: np.random.Generator, motion: Similarity, **more) -> Variant:
    boxes, source = _scene(rng)
    return Variant(source, motion(_sample(boxes, 1600, rng)), motion, **more)


def _partial(rng: np.random.Generator) -> Variant:
    boxes, source = _scene(rng, 2200)
    motion, target = _pose(rng, _any_yaw(rng)), _sample(boxes, 2200, rng)
    for_source, for_target = (d / np.linalg.norm(d) for d in rng.normal(size=(2, 3)) * [1, 1, 0.2])
    source = source[source @ for_source < np.quantile(source @ for_source, 0.72)]
    target = target[target @ for_target < np.quantile(target @ for_target, 0.88)]
    return Variant(source, motion(target), motion, rotation_deg=2.0, translation=0.02)


def _outliers(rng: np.random.Generator) -> Variant:
    boxes, source = _scene(rng)
    motion = _pose(rng, _any_yaw(rng))
    low, high = source.min(0) - 0.3, source.max(0) + 0.3
    noisy = np.concatenate([source, rng.uniform(low, high, (80, 3))])
    return Variant(noisy, motion(_sample(boxes, 1600, rng)), motion, rotation_deg=1.5, translation=0.015)


def _uneven(rng: np.random.Generator) -> Variant:
    boxes, dense = _scene(rng, 8000)
    motion = _pose(rng, _any_yaw(rng))
    direction = rng.normal(size=3) * [1, 1, 0.3]
    weight = np.exp(1.2 * (dense @ direction) / np.linalg.norm(direction))
    source = dense[rng.choice(len(dense), 800, replace=False, p=weight / weight.sum())]
    return Variant(source, motion(_sample(boxes, 1950, rng)), motion, rotation_deg=2.5, translation=0.02)


def _scaled(rng: np.random.Generator) -> Variant:
    motion = _pose(rng, _any_yaw(rng))
    scaled = Similarity(motion.rotation, motion.translation, float(rng.uniform(0.75, 1.3)))
    return _plain(rng, scaled, estimate_scale=True, rotation_deg=1.5, translation=0.015)


def _table(rng: np.random.Generator, width: float, depth: float) -> np.ndarray:
    half, leg = np.array([width, depth]) / 2, 0.06
    boxes = [([-half[0], -half[1], 0.68], [half[0], half[1], 0.72])]
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = sx * (half[0] - leg), sy * (half[1] - leg)
            boxes.append(([x - leg / 2, y - leg / 2, 0.0], [x + leg / 2, y + leg / 2, 0.68]))
    return np.array(boxes)


def _symmetric(rng: np.random.Generator) -> Variant:
    boxes = _table(rng, rng.uniform(1.3, 1.9), rng.uniform(0.6, 1.0))
    motion = _pose(rng, _any_yaw(rng))
    half_turn = Similarity(Rotation.from_euler("z", 180, degrees=True).as_matrix())
    return Variant(_sample(boxes, 1200, rng), motion(_sample(boxes, 1200, rng)), motion, (motion @ half_turn,))


def _nearly_symmetric(rng: np.random.Generator) -> Variant:
    table = _table(rng, 1.0, 1.0)
    corner, size = rng.uniform(0.15, 0.3, 2) * rng.choice([-1, 1], 2), rng.uniform(0.12, 0.26, 3)
    low = np.array([corner[0] - size[0] / 2, corner[1] - size[1] / 2, 0.72])
    boxes = np.concatenate([table, [[low, low + size]]])
    motion = _pose(rng, 90.0 * rng.integers(0, 4), shift=0.06)
    return Variant(_sample(boxes, 1318, rng), motion(_sample(boxes, 1318, rng)), motion)


def _revolution(rng: np.random.Generator) -> Variant:
    def vase() -> np.ndarray:
        height, angle = rng.random(1300) * 1.2, rng.uniform(0, 2 * np.pi, 1300)
        radius = 0.3 + 0.2 * np.sin(3 * height)
        points = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], 1)
        return points + rng.normal(0, NOISE, points.shape)

    motion = _pose(rng, _any_yaw(rng))
    return Variant(vase(), motion(vase()), motion, rotation_deg=None)


def _long(rng: np.random.Generator) -> Variant:
    motion = _pose(rng, rng.uniform(-6, 6), rng.uniform(0, 4), shift=0.0)
    boxes = _boxes(rng, 6, (6.0, 0.4))
    return Variant(_sample(boxes, 1320, rng), motion(_sample(boxes, 1320, rng)), motion)


def _y_up(rng: np.random.Generator) -> Variant:
    boxes, source = _scene(rng)
    motion, target = _pose(rng, _any_yaw(rng), up="y"), _sample(boxes, 1600, rng)
    turn = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    return Variant(source @ turn.T, motion(target @ turn.T), motion, up="y")


def _mirror(rng: np.random.Generator) -> Variant:
    boxes, source = _scene(rng)
    return Variant(source * [-1, 1, 1], _sample(boxes, 1600, rng), Similarity(), rotation_deg=None, translation=np.inf)


KINDS: dict[str, Callable[[np.random.Generator], Variant]] = {
    "identity": lambda rng: _plain(rng, Similarity()),
    "yaw_180": lambda rng: _plain(rng, _pose(rng, 180.0)),
    "yaw_between": lambda rng: _plain(rng, _pose(rng, 22.5 + 45 * rng.integers(0, 8))),
    "yaw_anywhere": lambda rng: _plain(rng, _pose(rng, _any_yaw(rng))),
    "tilt": lambda rng: _plain(rng, _pose(rng, _any_yaw(rng), rng.uniform(8, 12))),
    "moved_away": lambda rng: _plain(rng, _pose(rng, _any_yaw(rng), shift=1.5)),
    "partial_overlap": _partial,
    "outliers": _outliers,
    "uneven_density": _uneven,
    "scale": _scaled,
    "symmetric_table": _symmetric,
    "nearly_symmetric": _nearly_symmetric,
    "revolution": _revolution,
    "long_scene": _long,
    "y_up": _y_up,
    "mirror_trap": _mirror,
}


def make_variant(kind: str, seed: int) -> Variant:
    """The variant of that kind and seed."""
    return KINDS[kind](np.random.default_rng([seed, list(KINDS).index(kind)]))


def succeeds(variant: Variant, found: Similarity) -> bool:
    """Whether `found` is right by the module note's rule."""
    side = float(np.ptp(np.concatenate([variant.source, variant.target]), axis=0).max())
    if not np.isfinite(found.matrix).all() or abs(np.linalg.det(found.rotation) - 1) > 1e-6:
        return False
    if variant.max_chamfer is not None and _chamfer(variant, found) * (2 / side) ** 2 > variant.max_chamfer:
        return False
    if variant.rotation_deg is None and variant.max_chamfer is not None:
        return True
    if variant.rotation_deg is None:
        return bool(np.isinf(variant.translation)) or _chamfer(variant, found) <= 1.5 * _chamfer(variant, variant.truth)
    middle = variant.source.mean(0)[None]
    for truth in (variant.truth, *variant.equivalent):
        angle = np.degrees(Rotation.from_matrix(found.rotation @ truth.rotation.T).magnitude())
        offset = float(np.linalg.norm(found(middle) - truth(middle))) / side
        is_scaled = abs(found.scale / truth.scale - 1) <= variant.scale_tolerance
        if angle <= variant.rotation_deg and offset <= variant.translation and is_scaled:
            return True
    return False


def _chamfer(variant: Variant, motion: Similarity) -> float:
    return cloud_distances(torch.from_numpy(motion(variant.source)), torch.from_numpy(variant.target)).chamfer


def _ours(variant: Variant) -> Similarity:
    return robust_icp(variant.source, variant.target, up=variant.up, estimate_scale=variant.estimate_scale)


def _gicp(variant: Variant, yaws_deg: list[float]) -> Similarity:
    import small_gicp

    both = np.concatenate([variant.source, variant.target])
    voxel = 0.03 * float(np.ptp(both, axis=0).max())
    target, tree = small_gicp.preprocess_points(variant.target, downsampling_resolution=voxel)
    source, _ = small_gicp.preprocess_points(variant.source, downsampling_resolution=voxel)
    middles = [(cloud.min(0) + cloud.max(0)) / 2 for cloud in (variant.source, variant.target)]
    best, best_key = np.eye(4), (-1.0, 0.0)
    for yaw in yaws_deg:
        start = np.eye(4)
        if len(yaws_deg) > 1:
            start[:3, :3] = Rotation.from_euler(variant.up, yaw, degrees=True).as_matrix()
            start[:3, 3] = middles[1] - start[:3, :3] @ middles[0]
        result = small_gicp.align(target, source, tree, start, max_correspondence_distance=2.5 * voxel, num_threads=1)
        key = (float(result.num_inliers), -float(result.error))
        if key > best_key:
            best, best_key = result.T_target_source, key
    return Similarity(best[:3, :3], best[:3, 3])


METHODS: dict[str, Callable[[Variant], Similarity]] = {
    "robust ICP": _ours,
    "GICP": lambda variant: _gicp(variant, [0.0]),
    "GICP, 8 yaws": lambda variant: _gicp(variant, list(np.arange(0.0, 360.0, 45.0))),
}


def golden_variants(folder: Path) -> dict[str, Variant]:
    """The golden cases with a pose to find, under the rule and the tolerances of their own files."""
    variants = {}
    for path in sorted(folder.glob("icp_*.safetensors")):
        case = read_case(path)
        source, target = (case.inputs[name].double().numpy() for name in ("source", "target"))
        poses = [_similarity(matrix) for matrix in case.outputs["T_equivalent"].double().numpy()]
        variants[path.stem.removeprefix("icp_")] = Variant(
            source,
            target,
            poses[0],
            tuple(poses[1:]),
            rotation_deg=case.config["tol_rot_deg"] if case.config["check_pose"] else None,
            translation=case.config["tol_trans_rel"],
            estimate_scale=case.config["estimate_scale"],
            up=case.config["up"],
            max_chamfer=case.config["max_cd_after"],
        )
    return variants


def _similarity(matrix: np.ndarray) -> Similarity:
    scale = float(np.cbrt(np.linalg.det(matrix[:3, :3])))
    return Similarity(matrix[:3, :3] / scale, matrix[:3, 3], scale)


def measure(kind: str, seeds: list[int], methods: list[str]) -> dict[str, tuple[int, float]]:
    """Successes and processor seconds of every method on the variants of one kind."""
    return _measured([make_variant(kind, seed) for seed in seeds], methods)


def _measured(variants: list[Variant], methods: list[str]) -> dict[str, tuple[int, float]]:
    found = {}
    for name in methods:
        METHODS[name](variants[0])  # compiles
        begin = time.process_time()
        poses = [METHODS[name](variant) for variant in variants]
        found[name] = (0, time.process_time() - begin)
        found[name] = (sum(map(succeeds, variants, poses)), found[name][1])
    return found


def _cells(results: list[dict[str, tuple[int, float]]], count: int) -> list[str]:
    """Per method, the share that is right and processor time a case."""
    cells = []
    for name in results[0]:
        right, spent = sum(r[name][0] for r in results), sum(r[name][1] for r in results)
        cells.append(f"{100 * right / count:.1f} % ({1000 * spent / count:.0f} ms)")
    return cells


QUICK = {"variants": 1, "kinds": ("identity",), "methods": ("robust ICP",), "workers": 1}


def section(
    report: Report,
    *,
    variants: int = 24,
    kinds: tuple[str, ...] = tuple(KINDS),
    first_seed: int = 0,
    methods: tuple[str, ...] = tuple(METHODS),
    goldens: Path = GOLDENS,
    workers: int = 2,
) -> None:
    """Prints how many are right and how long one takes, for the golden clouds and for each kind of random ones."""
    if len(methods) > 1 and find_spec("small_gicp") is None:
        raise MissingError("small_gicp (uv run --group bench)")
    report.table("clouds", *methods)
    cases = list(golden_variants(goldens).values())
    found = [_measured([variant], list(methods)) for variant in cases]
    report.row("golden", *_cells(found, len(cases)))
    seeds = list(range(first_seed, first_seed + variants))
    results = run(partial(measure, seeds=seeds, methods=list(methods)), kinds, workers=workers)
    for kind, result in zip(kinds, results, strict=True):
        report.row(kind, *_cells([result], len(seeds)))
    count = len(seeds) * len(kinds)
    report.row("all random", *_cells(results, count))
    name = methods[0]
    report.ratio(f"{name}: cases / those right", count / max(1, sum(result[name][0] for result in results)))
    report.ratio(f"{name}: s a case / 0.2", sum(result[name][1] for result in results) / count / 0.2)
