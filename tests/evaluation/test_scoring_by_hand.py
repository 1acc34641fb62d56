"""Every number of a scene of two objects, computed by hand, and what it must not depend on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from scenewright.evaluation.protocols import SCENEWRIGHT_1
from scenewright.evaluation.records import record_of
from scenewright.evaluation.scoring import SceneScore, score_scene
from scenewright.evaluation.shapes import Shape, ShapeScene
from scenewright.evaluation.summary import means

# No alignment and the truth's own normalisation; the truth below spans two units, so that lengths stay as they are.
PLAIN = replace(SCENEWRIGHT_1, scene_candidates=(("as_truth", "none"),), object_alignment="none", fscore_threshold=0.3)


def corners(low: tuple[float, float, float], high: tuple[float, float, float]) -> Shape:
    """A box whose surface is stored as its eight corners."""
    mesh = trimesh.creation.box(bounds=[low, high])
    vertices = np.asarray(mesh.vertices, np.float64)
    return Shape("", vertices, np.asarray(mesh.faces, np.int64), surface=torch.from_numpy(vertices.copy()))


def scene(**shapes: Shape) -> ShapeScene:
    return ShapeScene("two", tuple(replace(shape, name=name) for name, shape in shapes.items()))


def moved(given: ShapeScene, scale: float, shift: list[float]) -> ShapeScene:
    def one(shape: Shape) -> Shape:
        assert shape.surface is not None
        vertices = scale * shape.vertices + shift
        return replace(shape, vertices=vertices, surface=scale * shape.surface + torch.tensor(shift).double())

    return replace(given, shapes=tuple(map(one, given.shapes)))


TRUTH = scene(a=corners((-1, -0.5, 0), (0, 0.5, 1)), b=corners((0.5, -0.5, 0), (1, 0.5, 1)))
# The first object is right. The second is too short by 0.2 in z.
PREDICTION = scene(a=corners((-1, -0.5, 0), (0, 0.5, 1)), b=corners((0.5, -0.5, 0), (1, 0.5, 0.8)))


def numbers(score: SceneScore) -> dict[str, float]:
    return means([record_of("two", score)], PLAIN)


def test_every_number_by_hand() -> None:
    found = numbers(score_scene(PREDICTION, TRUTH, PLAIN))
    # 4 of 16 points are 0.2 away in both directions, and 0.2 is below the threshold of 0.3.
    assert found["cd_s"] == pytest.approx(2 * 4 * 0.2**2 / 16)
    assert found["accuracy"] == found["completeness"] == pytest.approx(4 * 0.2 / 16)
    assert found["f_s"] == pytest.approx(100)
    assert numbers(score_scene(PREDICTION, TRUTH, replace(PLAIN, fscore_threshold=0.1)))["f_s"] == pytest.approx(75)
    # Scene boxes are equal; the objects' share 1 and 0.8 of their volumes.
    assert found["iou_b"] == pytest.approx(1)
    assert found["iou_o"] == found["layout_iou"] == pytest.approx((1 + 0.8) / 2)
    # In its own cube b is scaled by 2 (longest side 1), its centre 0.1 lower: every corner is 2 * 0.1 from a true one.
    assert found["cd_o"] == pytest.approx((0 + 2 * 0.2**2) / 2)
    assert found["f_o"] == pytest.approx(100)
    strict = replace(PLAIN, fscore_threshold=0.1)
    assert numbers(score_scene(PREDICTION, TRUTH, strict))["f_o"] == pytest.approx(50)
    assert (found["box_ap_25"], found["box_ap_50"]) == (pytest.approx(1), pytest.approx(1))
    assert (found["col_o"], found["col_s"]) == (0, 0)


def test_a_missing_and_an_extra_object_by_hand() -> None:
    alone = numbers(score_scene(replace(PREDICTION, shapes=PREDICTION.shapes[:1]), TRUTH, PLAIN))
    # b is missing: one point in the middle of its cube, whose corners are (1/2, 1, 1) away, both ways.
    assert alone["cd_o"] == pytest.approx((0 + 2 * 2.25) / 2)
    assert alone["iou_o"] == alone["layout_iou"] == pytest.approx(1 / 2)
    assert alone["f_o"] == pytest.approx(50)
    assert alone["iou_b"] == pytest.approx(1 / 2)  # one unit of length of two
    assert alone["box_ap_50"] == pytest.approx(1 / 2)
    # An extra object inside a collides with it: two of three objects, and the scene.
    crowded = scene(**{s.name: s for s in PREDICTION.shapes}, c=corners((-0.7, -0.2, 0.3), (-0.3, 0.2, 0.7)))
    found = numbers(score_scene(crowded, TRUTH, PLAIN))
    assert (found["col_o"], found["col_s"]) == (pytest.approx(2 / 3), 1)
    assert found["iou_o"] == pytest.approx(1.8 / 3)


def test_a_common_motion_and_the_order_of_objects_change_nothing() -> None:
    wanted = numbers(score_scene(PREDICTION, TRUTH, PLAIN))
    sides = (moved(side, 3.0, [5.0, -2.0, 1.0]) for side in (PREDICTION, TRUTH))
    assert numbers(score_scene(*sides, PLAIN)) == pytest.approx(wanted, abs=1e-6)
    turned = (replace(side, shapes=side.shapes[::-1]) for side in (PREDICTION, TRUTH))
    assert numbers(score_scene(*turned, PLAIN)) == pytest.approx(wanted, abs=1e-9)
    assert numbers(score_scene(replace(PREDICTION, shapes=PREDICTION.shapes[::-1]), TRUTH, PLAIN)) == pytest.approx(
        wanted, abs=1e-9
    )
