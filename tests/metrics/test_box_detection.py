"""Box IoU and detection counts: turning both boxes changes nothing, the best truth is the only chance."""

import numpy as np
import pytest

from scenewright.metrics.box_detection import box_iou, detection_score, match_best


def test_iou_of_a_turned_pair() -> None:
    pair = np.array([[0, 0, 0, 2, 1, 1, 0.0], [0.5, 0, 0, 2, 1, 1, 0.0]])
    assert box_iou(pair[:1], pair[1:], "obb3d")[0, 0] == pytest.approx(1.5 / 2.5)
    assert box_iou(pair[:1], pair[1:], "aabb2d")[0, 0] == pytest.approx(1.5 / 2.5)
    turned = pair.copy()
    turned[:, 6] = 0.7
    turned[1, :2] = 0.5 * np.cos(0.7), 0.5 * np.sin(0.7)
    assert box_iou(turned[:1], turned[1:], "obb3d")[0, 0] == pytest.approx(1.5 / 2.5)
    crossed = np.array([[0, 0, 0, 2, 1, 1, np.pi / 2]])
    assert box_iou(pair[:1], crossed, "obb2d")[0, 0] == pytest.approx(1 / 3)
    assert box_iou(pair[:1], crossed, "aabb2d")[0, 0] == pytest.approx(1)


def test_a_prediction_has_one_chance() -> None:
    true = np.array([[0, 0, 0, 1, 1, 1, 0.0], [0.4, 0, 0, 1, 1, 1, 0.0]])
    predicted = np.array([[0, 0, 0, 1, 1, 1, 3.1], [0.1, 0, 0, 1, 1, 1, -3.1]])
    matches = match_best(predicted, true, box_iou(predicted, true, "aabb3d"), 0.25)
    assert [(m.predicted, m.true) for m in matches] == [(0, 0)]
    assert matches[0].yaw_error == pytest.approx(3.1)
    score = detection_score([(predicted, true), (predicted[:0], true), (predicted, true[:0])], "aabb3d", 0.25)
    assert (score.hits, score.predicted, score.true) == (1, 4, 4)
    assert score.f1 == pytest.approx(1 / 4)
