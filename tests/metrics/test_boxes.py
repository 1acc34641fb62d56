"""Box overlap, upright box fits and average precision: by hand and under rigid motions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scenewright.errors import InputError
from scenewright.metrics.boxes import (
    aabb_iou,
    average_precision,
    bounds_of,
    convex_intersection,
    fit_oriented_box,
    layout_iou,
    match_detections,
)
from scenewright.types import OrientedBox


def test_aabb_iou_by_hand() -> None:
    unit = torch.tensor([[0.0, 0, 0], [1, 1, 1]])
    assert aabb_iou(unit, unit) == pytest.approx(1)
    assert aabb_iou(unit, unit + torch.tensor([0.5, 0, 0])) == pytest.approx(0.5 / 1.5)
    assert aabb_iou(unit, unit + 1) == 0
    assert aabb_iou(unit, torch.zeros(2, 3)) == 0
    with pytest.raises(InputError, match="point"):
        bounds_of(torch.zeros(0, 3))


def test_aabb_iou_forgets_a_common_shift_scale_and_order() -> None:
    first, second = torch.tensor([[0.0, 0, 0], [2, 1, 1]]), torch.tensor([[1.0, 0.25, 0], [3, 1, 2]])
    wanted = aabb_iou(first, second)
    assert aabb_iou(second, first) == pytest.approx(wanted)
    assert aabb_iou(10 * first + 3, 10 * second + 3) == pytest.approx(wanted)


def test_layout_iou_by_hand() -> None:
    square = OrientedBox((0, 0, 0), (2, 2, 1), 0)
    diamond = OrientedBox((0, 0, 0), (2, 2, 1), math.pi / 4)
    octagon = 8 * (math.sqrt(2) - 1)
    assert layout_iou(square, square) == pytest.approx(1)
    assert layout_iou(square, diamond) == pytest.approx(octagon / (8 - octagon), rel=1e-6)
    assert layout_iou(square, OrientedBox((0, 0, 0.5), (2, 2, 1), 0)) == pytest.approx(1 / 3)
    assert layout_iou(square, OrientedBox((0, 0, 1), (2, 2, 1), 0)) == 0


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-5, 5), st.integers(0, 100))
def test_layout_iou_forgets_a_common_motion(angle: float, x: float, y: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = [OrientedBox((*rng.normal(size=2), 0.5), tuple(rng.uniform(0.5, 2, 3)), rng.uniform(-3, 3)) for _ in "ab"]
    c, s = math.cos(angle), math.sin(angle)

    def moved(box: OrientedBox) -> OrientedBox:
        bx, by, bz = box.centre
        return OrientedBox((c * bx - s * by + x, s * bx + c * by + y, bz), box.size, box.yaw + angle)

    assert layout_iou(*map(moved, boxes)) == pytest.approx(layout_iou(*boxes), abs=1e-6)
    assert layout_iou(*boxes) == pytest.approx(layout_iou(*reversed(boxes)), abs=1e-6)


def test_convex_intersection_of_a_triangle_and_a_square() -> None:
    triangle = np.array([[0.0, 0], [2, 0], [0, 2]])
    square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    assert convex_intersection(triangle, square) == pytest.approx(1)
    assert convex_intersection(triangle, square + np.array([0.5, 0.5])) == pytest.approx(0.5)
    assert convex_intersection(triangle, square + 3) == 0


@given(st.floats(-0.7, 0.7), st.floats(0.3, 3), st.floats(0.3, 3))
def test_fitted_box_finds_the_turn(yaw: float, width: float, depth: float) -> None:
    box = OrientedBox((1.0, -2.0, 0.25), (width, depth, 0.5), yaw)
    floor = torch.from_numpy(box.footprint())
    points = torch.cat([torch.cat([floor, torch.full((4, 1), z, dtype=torch.float64)], 1) for z in (0.0, 0.5)])
    assert layout_iou(fit_oriented_box(points), box) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("points", [[[0.0, 0, 0]], [[0.0, 0, 0], [1, 1, 1]], [[0.0, 0, 0], [1, 1, 0], [2, 2, 0]]])
def test_fitted_box_of_degenerate_points_is_finite(points: list) -> None:
    box = fit_oriented_box(torch.tensor(points))
    assert np.isfinite([*box.centre, *box.size, box.yaw]).all()


def test_average_precision_by_hand() -> None:
    # Right, wrong, right by falling confidence, two truths: precision 1 to recall 1/2, then 2/3.
    hits, confidences = np.array([True, False, True]), np.array([0.9, 0.8, 0.7])
    assert average_precision(hits, confidences, 2) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision(hits[::-1], confidences[::-1], 2) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision(np.zeros(0, bool), np.zeros(0), 2) == 0
    assert average_precision(np.zeros(0, bool), np.zeros(0), 0) == 1


def test_ties_do_not_depend_on_the_order() -> None:
    for hits in ([True, False], [False, True]):
        assert average_precision(np.array(hits), np.ones(2), 1) == 0.5


def test_each_truth_is_found_once() -> None:
    iou = np.array([[0.9, 0.0], [0.8, 0.3], [0.0, 0.6]])
    assert match_detections(iou, np.array([0.5, 0.9, 0.7]), 0.5).tolist() == [False, True, True]
    assert match_detections(np.zeros((1, 0)), np.ones(1), 0.5).tolist() == [False]


def test_average_precision_forgets_order_and_scale_of_the_confidences() -> None:
    rng = np.random.default_rng(0)
    hits, confidences = rng.random(30) < 0.5, rng.random(30)
    wanted = average_precision(hits, confidences, 20)
    order = rng.permutation(30)
    assert average_precision(hits[order], confidences[order], 20) == pytest.approx(wanted)
    assert average_precision(hits, 100 * confidences**3 - 7, 20) == pytest.approx(wanted)
