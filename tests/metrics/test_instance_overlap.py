"""Instances on points of the truth."""

import numpy as np

from scenewright.metrics.instance_overlap import instance_ious


def test_labels_need_not_agree_and_missing_instances_score_nothing() -> None:
    true = np.array([0, 1, 1, 1, 1, 2, 2, 3])
    predicted = np.array([0, 7, 7, 7, 0, 5, 5, 5])
    np.testing.assert_allclose(instance_ious(predicted, true), [3 / 4, 2 / 3, 0])


def test_what_is_taken_from_the_room_counts_against_an_instance() -> None:
    np.testing.assert_allclose(instance_ious(np.array([1, 1, 1, 1]), np.array([0, 0, 1, 1])), [0.5])
