"""Named evaluation protocols: every choice that moves a number, in one frozen record.

`scenegen-2025`, `midi-2025` and `iscene-2026` follow what their authors published; where a paper leaves a choice open
the comment says so. `scenewright-1` is ours and never changes: a new choice gets a new name. The same predictions
score differently under different protocols, so a number means nothing without the protocol's name.

All of them score missing and extra objects (the published tools drop such scenes; see `scoring`).
"""

from dataclasses import dataclass, field
from typing import Literal

from scenewright.errors import InputError
from scenewright.metrics.collisions import CollisionConfig

__all__ = ["PROTOCOLS", "Alignment", "EvaluationProtocol", "Normalization", "PlaceProtocol", "find_protocol"]

Alignment = Literal["none", "icp", "robust_icp", "filterreg"]
Normalization = Literal["none", "as_truth", "min_max", "aabb", "scenegen"]


@dataclass(frozen=True)
class EvaluationProtocol:
    """The rules by which a scene is scored.

    The prediction is brought to the truth in every way of `scene_candidates` (normalisation, then alignment) and all
    metrics are taken from the best: the one with the least CD-S, or, with `choose_by` "objects" and objects that can be
    matched by name, the least mean CD of matched objects where they stand (so that a flip that merely fills the space
    does not win). A way is better than an earlier one only if it is so by `min_gain` (relative).

    "as_truth" applies the truth's own normalisation, for predictions made in the truth's frame; "min_max" doubles the
    generator's cube. The truth is normalised by `truth_normalization`. `object_start` says which prediction the object
    metrics begin with. `iou_b_of` is what the published column IoU-B means. `max_alignment_points` bounds the cloud
    that registration sees (never the one that is scored).
    """

    name: str
    points_per_object: int
    truth_normalization: Normalization
    scene_candidates: tuple[tuple[Normalization, Alignment], ...]
    object_start: Literal["unaligned", "aligned"]
    object_normalization: Literal["per_axis", "isotropic"]
    object_alignment: Alignment
    iou_b_of: Literal["objects", "scene"]
    choose_by: Literal["cd_s", "objects"] = "cd_s"
    min_gain: float = 0.0
    estimate_scale: bool = False
    fscore_threshold: float = 0.1
    icp_iterations: int = 100
    max_alignment_points: int | None = None
    collision: CollisionConfig = field(default_factory=CollisionConfig)
    seed: int = 0
    num_bootstrap: int = 2000
    confidence_level: float = 0.95


@dataclass(frozen=True)
class PlaceProtocol:
    """The rules by which a whole place is scored, in metres and in the truth's frame, without any alignment.

    `metrics` are what is reported. The truth is what its pictures show, as a scan is; with `forgives_unseen`, only
    completeness and recall are: a surface where the truth has one that no picture shows is then no error. Every
    `held_out_every`-th picture is kept from the system and compared with what it made.
    """

    name: str
    metrics: tuple[str, ...]
    forgives_unseen: bool
    num_points: int = 200_000
    held_out_every: int = 8
    seed: int = 0
    num_bootstrap: int = 2000
    confidence_level: float = 0.95


SCENEGEN_2025 = EvaluationProtocol(
    name="scenegen-2025",
    points_per_object=10_240,
    truth_normalization="scenegen",
    scene_candidates=(("scenegen", "filterreg"),),
    object_start="unaligned",
    object_normalization="per_axis",
    object_alignment="filterreg",
    iou_b_of="objects",
    seed=42,
)

MIDI_2025 = EvaluationProtocol(
    name="midi-2025",
    points_per_object=20_480,
    truth_normalization="aabb",  # open: MIDI's files come normalised
    scene_candidates=(("aabb", "icp"),),
    object_start="unaligned",
    object_normalization="per_axis",
    object_alignment="icp",
    iou_b_of="objects",
    max_alignment_points=4096,
)

ISCENE_2026 = EvaluationProtocol(
    name="iscene-2026",
    points_per_object=20_480,  # open in the supplement; MIDI's count
    truth_normalization="aabb",
    scene_candidates=(("min_max", "robust_icp"), ("aabb", "robust_icp")),
    object_start="unaligned",
    object_normalization="isotropic",  # open in the supplement
    object_alignment="robust_icp",
    iou_b_of="scene",
    max_alignment_points=4096,
)

SCENEWRIGHT_1 = EvaluationProtocol(
    name="scenewright-1",
    points_per_object=4096,
    truth_normalization="aabb",
    scene_candidates=(("as_truth", "none"), ("as_truth", "icp"), ("aabb", "icp"), ("aabb", "robust_icp")),
    choose_by="objects",
    min_gain=0.05,
    object_start="aligned",
    object_normalization="isotropic",
    object_alignment="icp",
    iou_b_of="scene",
    max_alignment_points=4096,
)

GENRECON_2026 = PlaceProtocol(
    name="genrecon-2026",
    metrics=("chamfer_m", "f_arithmetic_5cm", "f_arithmetic_10cm", "f_5cm", "f_10cm", "normal_consistency"),
    forgives_unseen=False,  # the published clipping to what the scanner saw has no published code
)
"""Metrics as a reading of the paper's figures has them: F as the arithmetic mean is theirs, the harmonic beside it."""

PLACE_1 = PlaceProtocol(
    name="scenewright-place-1",
    metrics=("f_5cm", "f_10cm", "accuracy_m", "completeness_m", "normal_consistency", "psnr", "ssim", "instance_iou"),
    forgives_unseen=True,
)

PROTOCOLS: dict[str, EvaluationProtocol | PlaceProtocol] = {
    p.name: p for p in (SCENEGEN_2025, MIDI_2025, ISCENE_2026, SCENEWRIGHT_1, GENRECON_2026, PLACE_1)
}


def find_protocol(name: str) -> EvaluationProtocol | PlaceProtocol:
    """The protocol of that name.

    Raises:
        InputError: there is none.
    """
    if name not in PROTOCOLS:
        raise InputError(f"Expected a protocol out of {', '.join(PROTOCOLS)}, got '{name}'.")
    return PROTOCOLS[name]
