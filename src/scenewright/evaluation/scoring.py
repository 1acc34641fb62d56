"""Scores of one predicted scene against its truth under a protocol.

Order: sample both, normalise and align the whole prediction, match objects, then measure the scene, the objects, the
layout and the collisions. Where a protocol names several candidates, every metric is taken from one and the same.

Objects that are missing or extra are scored, not dropped: F and IoU 0, and the CD that one point in the middle of the
object's own normalised cube would get. A scene that cannot be scored (unreadable, empty) gets the same for all objects
and for itself; collision rates then have nothing to count. Where it is the truth that cannot be used, there is nothing
to score against: such a scene has no numbers and enters no mean.

Frame: z up. Clouds are float64; legend: N points.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.errors import InputError
from scenewright.evaluation.matching import Matching, match_by_name, match_by_place
from scenewright.evaluation.protocols import Alignment, EvaluationProtocol, Normalization
from scenewright.evaluation.shapes import Shape, ShapeScene, total_points
from scenewright.metrics.boxes import (
    aabb_iou,
    bounds_of,
    fit_oriented_box,
    layout_iou,
    match_detections,
)
from scenewright.metrics.collisions import scene_collisions
from scenewright.metrics.mesh_quality import MeshQuality, mesh_quality
from scenewright.metrics.point_clouds import CloudDistances, cloud_distances, normalize_isotropic, normalize_per_axis
from scenewright.metrics.registration import Similarity, filterreg, icp, robust_icp
from scenewright.types import OrientedBox

__all__ = ["AP_THRESHOLDS", "ObjectScore", "SceneScore", "align", "failed_scene", "score_scene", "unscored_scene"]

AP_THRESHOLDS = (0.25, 0.5)
_SCENEGEN_SIDE = 1.96
_NO_MOTION = tuple(tuple(float(v) for v in row) for row in np.eye(4))

Cloud = Float[Tensor, "_ 3"]


@dataclass(frozen=True)
class _Candidate:
    """One way to bring the prediction to the truth; the least `misfit` wins."""

    name: str
    misfit: float
    distances: CloudDistances | None
    truth_from_prediction: Similarity
    placed: list[Tensor]
    moved: list[Tensor]


@dataclass(frozen=True)
class ObjectScore:
    """One true or extra object; None on a side that has no counterpart. F in [0, 1]."""

    truth: str | None
    prediction: str | None
    cd_o: float
    f_o: float
    iou_o: float
    layout_iou: float


@dataclass(frozen=True)
class SceneScore:
    """All numbers of one scene, F and rates in [0, 1], lengths in the protocol's normalised frame.

    `hits` says which predicted objects collide; `detections` holds (confidence, true at each AP threshold) per
    predicted object; `candidate` names the normalisation and alignment that won; `truth_from_prediction` (4x4)
    takes the prediction's own frame to the truth's.
    """

    cd_s: float
    f_s: float
    accuracy: float
    completeness: float
    iou_b_scene: float
    objects: tuple[ObjectScore, ...]
    hits: tuple[bool, ...]
    detections: tuple[tuple[float, tuple[bool, ...]], ...]
    num_truths: int
    candidate: str
    matched_by: str
    truth_from_prediction: tuple[tuple[float, ...], ...]
    quality: dict[str, MeshQuality] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def is_failed(self) -> bool:
        """There was no usable prediction (or truth), so every object counts as missing."""
        return self.candidate == "none"


def score_scene(prediction: ShapeScene, truth: ShapeScene, protocol: EvaluationProtocol) -> SceneScore:
    """Scores `prediction`; a prediction without any surface scores as `failed_scene`.

    Raises:
        InputError: the truth has no surface.
    """
    wanted = _truth_clouds(truth, protocol)
    sampled = [shape.sample(protocol.points_per_object, protocol.seed + 1) for shape in prediction.shapes]
    warnings = [*prediction.warnings, *frame_warnings(total_points(sampled), total_points(wanted))]
    if len(prediction.shapes) == 1 < len(truth.shapes):
        warnings.append(
            f"The prediction is one object and the truth has {len(truth.shapes)}: all but one count as missing. Keep "
            "objects apart: a node each in GLB, o or g lines in OBJ, a folder of files."
        )
    if sum(map(len, sampled)) == 0:
        empty = "The prediction has no surface at all: all its meshes are empty; export objects with triangles."
        return failed_scene(truth, protocol, (*warnings, empty))

    to_cube = _normalization(protocol.truth_normalization, total_points(wanted))
    goal = [_moved(to_cube, cloud) for cloud in wanted]
    whole_goal = total_points(goal)
    names = [shape.name for shape in prediction.shapes], [shape.name for shape in truth.shapes]
    named = match_by_name(*names)

    def place(way: tuple[Normalization, Alignment]) -> _Candidate:
        name, how = way
        rule = to_cube if name == "as_truth" else _normalization(name, total_points(sampled))
        placed = [_moved(rule, cloud) for cloud in sampled]
        motion = align(total_points(placed), whole_goal, how, protocol)
        moved = [_moved(motion, cloud) for cloud in placed]
        back = to_cube.inverse() @ motion @ rule
        if protocol.choose_by == "objects" and named is not None:
            misfit = _mean_object_chamfer(named, moved, goal)
            return _Candidate(f"{name}+{how}", misfit, None, back, placed, moved)
        distances = cloud_distances(total_points(moved), whole_goal)
        return _Candidate(f"{name}+{how}", distances.chamfer, distances, back, placed, moved)

    candidates = [place(way) for way in protocol.scene_candidates]
    best = candidates[0]
    for candidate in candidates[1:]:
        if candidate.misfit < (1 - protocol.min_gain) * best.misfit:
            best = candidate
    placed, moved = best.placed, best.moved
    distances = best.distances or cloud_distances(total_points(moved), whole_goal)
    boxes = tuple([fit_oriented_box(cloud) if len(cloud) else None for cloud in side] for side in (moved, goal))
    matching = named or match_by_place(moved, goal)
    starts = moved if protocol.object_start == "aligned" else placed
    collisions = scene_collisions([(shape.vertices, shape.faces) for shape in prediction.shapes], protocol.collision)
    return SceneScore(
        cd_s=distances.chamfer,
        f_s=distances.fscore(protocol.fscore_threshold),
        accuracy=distances.accuracy,
        completeness=distances.completeness,
        iou_b_scene=aabb_iou(bounds_of(total_points(moved)), bounds_of(whole_goal)),
        objects=_object_scores(matching, starts, moved, goal, boxes, names, protocol),
        hits=tuple(bool(hit) for hit in collisions.hit),
        detections=_detections(prediction.shapes, *boxes),
        num_truths=len(truth.shapes),
        candidate=best.name,
        matched_by=matching.by,
        truth_from_prediction=tuple(tuple(float(v) for v in row) for row in best.truth_from_prediction.matrix),
        quality={s.name: mesh_quality(joined) for s in prediction.shapes if (joined := _one_mesh(s)) is not None},
        warnings=tuple(warnings),
    )


def failed_scene(truth: ShapeScene, protocol: EvaluationProtocol, warnings: Sequence[str] = ()) -> SceneScore:
    """The score of a scene without a usable prediction: every object is missing.

    Raises:
        InputError: the truth has no surface.
    """
    wanted = _truth_clouds(truth, protocol)
    everything = total_points(wanted)
    goal = _moved(_normalization(protocol.truth_normalization, everything), everything)
    missing = tuple(
        _unmatched(cloud, protocol, truth=shape.name) for cloud, shape in zip(wanted, truth.shapes, strict=True)
    )
    distances = _against_centre(goal)
    return SceneScore(
        cd_s=distances.chamfer,
        f_s=0.0,
        accuracy=distances.accuracy,
        completeness=distances.completeness,
        iou_b_scene=0.0,
        objects=missing,
        hits=(),
        detections=(),
        num_truths=len(truth.shapes),
        candidate="none",
        matched_by="none",
        truth_from_prediction=_NO_MOTION,
        warnings=tuple(warnings),
    )


def unscored_scene(warnings: Sequence[str] = ()) -> SceneScore:
    """The score of a scene without a usable truth: no number at all (NaN) and no object."""
    nan = float("nan")
    return SceneScore(
        cd_s=nan,
        f_s=nan,
        accuracy=nan,
        completeness=nan,
        iou_b_scene=nan,
        objects=(),
        hits=(),
        detections=(),
        num_truths=0,
        candidate="none",
        matched_by="none",
        truth_from_prediction=_NO_MOTION,
        warnings=tuple(warnings),
    )


def align(source: Cloud, target: Cloud, how: Alignment, protocol: EvaluationProtocol) -> Similarity:
    """The transform that brings `source` onto `target`, from at most `max_alignment_points` of each."""
    if how == "none":
        return Similarity()
    moving, fixed = (_thinned(cloud, protocol.max_alignment_points, protocol.seed) for cloud in (source, target))
    if how == "filterreg":
        return filterreg(moving, fixed)
    if how == "icp":
        iterations = protocol.icp_iterations
        return icp(moving, fixed, max_iterations=iterations, estimate_scale=protocol.estimate_scale)
    return robust_icp(moving, fixed, up="z", estimate_scale=protocol.estimate_scale, seed=protocol.seed)


def frame_warnings(prediction: Cloud, truth: Cloud) -> list[str]:
    """Sentences about a unit or an up axis that looks wrong, with what to try; empty when nothing is suspicious."""
    if len(prediction) == 0 or len(truth) == 0:
        return []
    boxes = bounds_of(prediction), bounds_of(truth)
    sizes = [(box[1] - box[0]).clamp_min(1e-9) for box in boxes]
    found = []
    ratio = float(sizes[0].amax() / sizes[1].amax())
    for factor, unit in ((1000.0, "millimetres"), (100.0, "centimetres"), (0.0254**-1, "inches")):
        if 0.8 < ratio / factor < 1.25:
            found.append(f"The prediction is about {factor:.4g} times as large as the truth; is it in {unit}?")
    shapes = [size / size.amax() for size in sizes]

    def misfit(order: list[int]) -> float:
        return float((shapes[0][order].log() - shapes[1].log()).abs().sum())

    # Exchanging y and z is what reading a z-up file as y up does to the extents.
    if misfit([0, 1, 2]) > 1.0 and misfit([0, 2, 1]) < 0.3:
        found.append(
            "The prediction's extents fit the truth with y and z exchanged; was it exported with another up axis?"
        )
    return found


def _object_scores(
    matching: Matching,
    starts: list[Tensor],
    moved: list[Tensor],
    goal: list[Tensor],
    boxes: tuple[list[OrientedBox | None], ...],
    names: tuple[list[str], list[str]],
    protocol: EvaluationProtocol,
) -> tuple[ObjectScore, ...]:
    cube = _object_cube(protocol)

    def score(pair: tuple[int, int]) -> ObjectScore:
        p, t = pair
        box, true_box = boxes[0][p], boxes[1][t]
        if box is None or true_box is None:
            full = goal[t] if len(goal[t]) else starts[p]
            return _unmatched(full, protocol, truth=names[1][t], prediction=names[0][p])
        left, right = cube(starts[p]), cube(goal[t])
        motion = align(left, right, protocol.object_alignment, protocol)
        distances = cloud_distances(_moved(motion, left), right)
        return ObjectScore(
            truth=names[1][t],
            prediction=names[0][p],
            cd_o=distances.chamfer,
            f_o=distances.fscore(protocol.fscore_threshold),
            iou_o=aabb_iou(bounds_of(moved[p]), bounds_of(goal[t])),
            layout_iou=layout_iou(box, true_box),
        )

    scores = [score(pair) for pair in matching.pairs]
    scores += [_unmatched(goal[t], protocol, truth=names[1][t]) for t in matching.missing]
    scores += [_unmatched(starts[p], protocol, prediction=names[0][p]) for p in matching.extra]
    return tuple(scores)


def _mean_object_chamfer(matching: Matching, moved: list[Tensor], goal: list[Tensor]) -> float:
    pairs = [(moved[p], goal[t]) for p, t in matching.pairs if len(moved[p]) and len(goal[t])]
    return float(np.mean([cloud_distances(*pair).chamfer for pair in pairs])) if pairs else float("inf")


def _unmatched(
    cloud: Tensor, protocol: EvaluationProtocol, *, truth: str | None = None, prediction: str | None = None
) -> ObjectScore:
    cd = _against_centre(_object_cube(protocol)(cloud)).chamfer if len(cloud) else 1.0
    return ObjectScore(truth, prediction, cd, 0.0, 0.0, 0.0)


def _against_centre(cloud: Tensor) -> CloudDistances:
    return cloud_distances(cloud.new_zeros(1, 3), cloud)


def _truth_clouds(truth: ShapeScene, protocol: EvaluationProtocol) -> list[Tensor]:
    clouds = [shape.sample(protocol.points_per_object, protocol.seed) for shape in truth.shapes]
    if sum(map(len, clouds)) == 0:
        raise InputError(f"The true scene '{truth.name}' has no surface, so nothing can be scored; check its file.")
    return clouds


def _detections(
    shapes: Sequence[Shape], found: list[OrientedBox | None], true: list[OrientedBox | None]
) -> tuple[tuple[float, tuple[bool, ...]], ...]:
    truths = [box for box in true if box is not None]
    iou = np.array([[layout_iou(box, t) if box else 0.0 for t in truths] for box in found])
    iou = iou.reshape(len(found), len(truths))
    confidences = np.array([shape.confidence for shape in shapes])
    hits = [match_detections(iou, confidences, threshold) for threshold in AP_THRESHOLDS]
    return tuple((float(c), tuple(bool(h[i]) for h in hits)) for i, c in enumerate(confidences))


def _normalization(name: Normalization, cloud: Tensor) -> Similarity:
    """The transform that a whole scene's cloud defines, to be applied to each of its objects."""
    low, high = bounds_of(cloud).numpy()
    side, centre = max(float((high - low).max()), 1e-12), (low + high) / 2
    if name == "aabb":
        return Similarity(translation=-centre * (2 / side), scale=2 / side)
    if name == "min_max":
        return Similarity(scale=2.0)
    # SceneGen's files come normalised already; doing it twice would move them.
    if name == "scenegen" and abs(side - _SCENEGEN_SIDE) > 1e-2:
        return Similarity(translation=-centre, scale=_SCENEGEN_SIDE / side)
    return Similarity()


def _object_cube(protocol: EvaluationProtocol) -> Callable[[Tensor], Tensor]:
    return normalize_per_axis if protocol.object_normalization == "per_axis" else normalize_isotropic


def _moved(motion: Similarity, cloud: Tensor) -> Tensor:
    return torch.from_numpy(motion(cloud.numpy()))


def _thinned(cloud: Tensor, limit: int | None, seed: int) -> Any:
    points = cloud.numpy()
    if limit is None or len(points) <= limit:
        return points
    return points[np.random.default_rng(seed).choice(len(points), limit, replace=False)]


def _one_mesh(shape: Shape) -> Any:
    from scenewright.types import Mesh

    if len(shape.faces) == 0:
        return None
    if len(shape.parts) == 1:
        return shape.parts[0]
    return Mesh(torch.from_numpy(shape.vertices).float(), torch.from_numpy(shape.faces))
