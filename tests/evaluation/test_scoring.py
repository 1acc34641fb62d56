"""Scoring of scenes: the truth is perfect, nothing is dropped, suspicious frames are named."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from scenewright.errors import InputError
from scenewright.evaluation.protocols import PROTOCOLS, find_protocol
from scenewright.evaluation.scoring import failed_scene, score_scene
from scenewright.evaluation.shapes import ShapeScene, sample_surface, shapes_from_scene
from scenewright.types import Mesh, Scene, SceneObject
from tests.evaluation.small_scenes import QUICK, chair, quick, room

EMPTY = SceneObject("obj_02", (Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long)),))


def shapes(scene: Scene) -> ShapeScene:
    return shapes_from_scene(scene, "room")


def moved(scene: Scene, matrix: torch.Tensor) -> Scene:
    return Scene(tuple(replace(o, world_from_object=matrix @ o.world_from_object) for o in scene.objects))


# Places and rooms have protocols of another kind.
OF_OBJECTS = [name for name, protocol in PROTOCOLS.items() if hasattr(protocol, "points_per_object")]


@pytest.mark.parametrize("name", OF_OBJECTS)
def test_the_truth_scores_perfectly(name: str) -> None:
    score = score_scene(shapes(room()), shapes(room()), quick(name))
    assert score.cd_s < 5e-3  # what two samplings of one surface differ by
    assert score.f_s > 0.98
    assert not any(score.hits)
    assert all(all(flags) for _, flags in score.detections)
    if name == "scenegen-2025":
        return  # FilterReg's wide fixed kernel turns even two samplings of one surface against each other
    assert score.iou_b_scene > 0.85
    assert all(item.f_o > 0.98 and min(item.iou_o, item.layout_iou) > 0.85 for item in score.objects)


def test_our_protocol_leaves_a_right_scene_where_it_is() -> None:
    score = score_scene(shapes(room()), shapes(room()), QUICK)
    assert score.candidate == "as_truth+none"
    assert score.iou_b_scene > 0.98


def test_another_place_turn_and_size_of_the_world_does_not_matter() -> None:
    matrix = torch.tensor([[0.0, -3, 0, 5], [3, 0, 0, -2], [0, 0, 3, 1], [0, 0, 0, 1]])
    score = score_scene(shapes(moved(room(), matrix)), shapes(room()), QUICK)
    assert score.f_s > 0.98
    assert min(item.iou_o for item in score.objects) > 0.8


def test_samples_lie_on_the_surface_and_do_not_depend_on_the_order() -> None:
    shape = shapes(room(1)).shapes[0]
    assert torch.equal(shape.sample(100, 3), shape.sample(100, 3))
    assert not torch.equal(shape.sample(100, 3), shape.sample(100, 4))
    assert len(sample_surface(np.zeros((3, 3)), np.array([[0, 1, 2]]), 10, np.random.default_rng(0))) == 0


def test_a_missing_object_is_scored_not_dropped() -> None:
    score = score_scene(shapes(Scene(room().objects[:2])), shapes(room()), QUICK)
    assert [item.prediction for item in score.objects] == ["obj_01", "obj_02", None]
    lost = score.objects[-1]
    assert (lost.truth, lost.f_o, lost.iou_o) == ("obj_03", 0, 0)
    assert lost.cd_o > 0.1


def test_one_mesh_in_place_of_several_objects_is_told() -> None:
    whole = Scene((SceneObject("scene", tuple(part for item in room().objects for part in item.placed_parts())),))
    score = score_scene(shapes(whole), shapes(room()), QUICK)
    assert any("one object and the truth has 3" in warning for warning in score.warnings)
    assert len(score.objects) == 3


def test_an_extra_object_is_scored_not_dropped() -> None:
    crowded = Scene((*room().objects, chair("obj_09", (0.0, 4.0, 0.0))))
    score = score_scene(shapes(crowded), shapes(room()), QUICK)
    assert (score.objects[-1].truth, score.objects[-1].prediction, score.objects[-1].f_o) == (None, "obj_09", 0)
    assert len(score.objects) == 4


def test_an_empty_mesh_counts_as_missing_and_is_named() -> None:
    first, _, third = room().objects
    score = score_scene(shapes(Scene((first, EMPTY, third))), shapes(room()), QUICK)
    assert any("'obj_02' is empty" in warning for warning in score.warnings)
    assert score.objects[1].f_o == 0
    assert score.objects[0].f_o > 0.98


def test_coordinates_that_are_not_finite_count_as_empty() -> None:
    first, second, third = room().objects
    vertices = second.parts[0].vertices.clone()
    vertices[0, 0] = float("nan")
    broken = replace(second, parts=(replace(second.parts[0], vertices=vertices),))
    score = score_scene(shapes(Scene((first, broken, third))), shapes(room()), QUICK)
    assert any("not finite" in warning for warning in score.warnings)
    assert math.isfinite(score.cd_s)


def test_a_prediction_without_surface_scores_as_failed() -> None:
    score = score_scene(shapes(Scene((EMPTY,))), shapes(room()), QUICK)
    failed = failed_scene(shapes(room()), QUICK)
    assert (score.f_s, score.cd_s) == (0, failed.cd_s)
    assert len(score.objects) == 3
    assert any("no surface" in warning for warning in score.warnings)


def test_a_truth_without_surface_is_refused() -> None:
    with pytest.raises(InputError, match="'room' has no surface"):
        score_scene(shapes(room()), shapes(Scene((EMPTY,))), QUICK)


@pytest.mark.parametrize(("factor", "unit"), [(1000, "millimetres"), (100, "centimetres"), (39.37, "inches")])
def test_other_units_are_detected(factor: float, unit: str) -> None:
    matrix = torch.diag(torch.tensor([factor, factor, factor, 1.0]))
    score = score_scene(shapes(moved(room(), matrix)), shapes(room()), QUICK)
    assert any(unit in warning for warning in score.warnings)
    assert score.f_s > 0.98


def test_another_up_axis_is_detected() -> None:
    lying = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    long_room = Scene(tuple(chair(f"obj_{i:02d}", (i, 2.0 * i, 0)) for i in range(1, 4)))
    score = score_scene(shapes(moved(long_room, lying)), shapes(long_room), QUICK)
    assert any("up axis" in warning for warning in score.warnings)


def test_duplicate_names_are_matched_by_place() -> None:
    same = Scene(tuple(replace(item, name="chair") for item in reversed(room().objects)))
    score = score_scene(shapes(same), shapes(room()), QUICK)
    assert score.matched_by == "place"
    assert any("'chair' is used more than once" in warning for warning in score.warnings)
    assert min(item.iou_o for item in score.objects) > 0.9


def test_one_prediction_gets_other_numbers_under_other_protocols() -> None:
    worse = Scene(tuple(chair(o.name, (1.1 * i, 0.2, 0), 1.1) for i, o in enumerate(room().objects)))
    scores = [score_scene(shapes(worse), shapes(room()), quick(name)) for name in OF_OBJECTS]
    assert len({(round(s.cd_s, 6), round(s.objects[0].cd_o, 6)) for s in scores}) == len(OF_OBJECTS)


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(InputError, match="midi-2025"):
        find_protocol("midi")
