"""Collision depth and rates: boxes by hand, a ball, touching, containment, open sheets, invariance."""

import math

import numpy as np
import pytest
import trimesh

from scenewright.metrics.collisions import CollisionConfig, inside_grid, scene_collisions
from tests.support.metrics import CollisionRates, collision_rates

DEPTH_ONLY = CollisionConfig(depth=1e-3, depth_is_absolute=True, volume_share=None)


def box(low: list[float], high: list[float]) -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.box(bounds=[low, high])
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


def test_depth_of_boxes_is_the_smallest_side_of_their_intersection() -> None:
    result = scene_collisions([box([0, 0, 0], [1, 1, 1]), box([0.7, 0.2, 0.1], [2, 2, 2])], DEPTH_ONLY)
    assert result.depth[0, 1] == pytest.approx(0.3)
    assert result.hit.tolist() == [True, True]


def test_touching_is_none_and_containment_is_one() -> None:
    touching = scene_collisions([box([0, 0, 0], [1, 1, 1]), box([0, 0, 1], [1, 1, 2])])
    assert not touching.hit.any()
    inside = scene_collisions([box([0, 0, 0], [2, 2, 2]), box([0.5, 0.5, 0.5], [1, 1, 1])], DEPTH_ONLY)
    assert inside.depth[0, 1] == pytest.approx(0.5)


def test_a_shallow_graze_is_tolerated_and_a_small_object_sunk_in_is_not() -> None:
    floor, lamp = box([0, 0, 0], [4, 4, 1]), box([1, 1, 0.98], [1.1, 1.1, 1.5])
    assert not scene_collisions([floor, lamp], CollisionConfig(volume_share=None)).hit.any()
    tiny = box([1, 1, 0.98], [1.1, 1.1, 1.05])
    result = scene_collisions([floor, tiny])
    assert result.volume_share[0, 1] == pytest.approx(0.02 / 0.07, abs=0.03)
    assert result.hit.all()


def test_depth_of_two_balls() -> None:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=1.0)
    first = np.asarray(ball.vertices), np.asarray(ball.faces)
    second = first[0] + [1.5, 0.0, 0.0], first[1]
    depth = scene_collisions([first, second], DEPTH_ONLY).depth[0, 1]
    assert depth == pytest.approx(0.5, abs=0.04)  # the lens is half a unit thick


def test_balls_whose_boxes_overlap_do_not_collide() -> None:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=1.0)
    first = np.asarray(ball.vertices), np.asarray(ball.faces)
    second = first[0] + 1.5 * math.sqrt(2) / math.sqrt(3), first[1]
    assert scene_collisions([first, second], DEPTH_ONLY).hit.tolist() == [False, False]


def test_scale_and_turn_change_nothing() -> None:
    pair = [box([0, 0, 0], [1, 1, 1]), box([0.8, 0.1, 0.2], [2, 1, 1])]
    turned = [(5 * v[:, [1, 2, 0]] + 3, f) for v, f in pair]
    before, after = scene_collisions(pair), scene_collisions(turned)
    assert after.depth[0, 1] == pytest.approx(5 * before.depth[0, 1])
    assert after.hit.tolist() == before.hit.tolist()


def test_inverted_and_overlapping_shells_are_still_solid() -> None:
    vertices, faces = box([0, 0, 0], [1, 1, 1])
    other = box([0.3, 0.3, 0.3], [0.9, 0.9, 0.9])
    shells = np.concatenate([vertices, other[0]]), np.concatenate([faces, other[1] + len(vertices)])
    low, high = np.zeros(3), np.ones(3)
    assert inside_grid(shells, low, high, (9, 9, 9)).all()
    assert inside_grid((vertices, faces[:, ::-1]), low, high, (9, 9, 9)).all()


def test_sheets_and_empty_objects_collide_with_nothing() -> None:
    sheet = np.array([[0.0, 0, 0.5], [1, 0, 0.5], [0, 1, 0.5]]), np.array([[0, 1, 2]])
    nothing = np.zeros((0, 3)), np.zeros((0, 3), np.int64)
    assert not scene_collisions([box([0, 0, 0], [1, 1, 1]), sheet, nothing]).hit.any()
    assert scene_collisions([]).hit.shape == (0,)


def test_rates_by_hand() -> None:
    rates = collision_rates([np.array([True, True, False]), np.array([False])])
    assert (rates.col_o, rates.col_s) == (0.5, 0.5)
    empty = collision_rates([])
    assert math.isnan(empty.col_o)
    assert math.isnan(empty.col_s)


def test_rates_forget_the_order_of_scenes_and_objects() -> None:
    hits = [np.array([True, False, True]), np.array([False, False]), np.array([True, True])]
    shuffled = [hits[1], hits[2][::-1], hits[0][[2, 0, 1]]]
    assert collision_rates(shuffled) == collision_rates(hits) == CollisionRates(col_o=4 / 7, col_s=2 / 3)


def test_the_order_of_objects_does_not_matter() -> None:
    scene = [box([0, 0, 0], [1, 1, 1]), box([3, 0, 0], [4, 1, 1]), box([0.5, 0, 0], [1.5, 1, 1])]
    assert scene_collisions(scene).hit.tolist() == [True, False, True]
    assert scene_collisions(scene[::-1]).hit.tolist() == [True, False, True]
    assert scene_collisions([scene[1], scene[0], scene[2]]).hit.tolist() == [False, True, True]
