"""Objects come to stand where their masks and the floor say; what is right already, or cannot be known, stays."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewright.geometry.rotation import compose_similarity
from scenewright.systems.scene.layout_fit import fit_layout, fit_newcomers
from scenewright.systems.scene.placing import moved_object
from scenewright.systems.scene.structures import PlaceErrors
from scenewright.types import SceneObject
from tests.systems.scene.room import BOXES, boxes_seen, level_camera

ALONG_Y = PlaceErrors(heading=math.pi / 2)


def _moved(item: SceneObject, shift: tuple[float, float, float], scale: float = 1.0) -> SceneObject:
    centre = item.world_from_object[:3, 3]
    move = compose_similarity(torch.eye(3), centre + torch.tensor(shift) - scale * centre, torch.tensor(scale))
    return moved_object(item, move)


def _errors(objects: list[SceneObject], truth: list[SceneObject]) -> list[float]:
    """Distances of middles, as shares of the scene's longest side, where both layouts are centred and of one size."""

    def laid_out(items: list[SceneObject]) -> torch.Tensor:
        bounds = torch.stack([item.world_bounds() for item in items])
        middles = bounds.mean(1)
        return (middles - middles.mean(0)) / (bounds[:, 1].amax(0) - bounds[:, 0].amin(0)).max()

    return (laid_out(objects) - laid_out(truth)).norm(dim=1).tolist()


def test_an_object_that_hangs_too_near_comes_down_to_its_place() -> None:
    truth = boxes_seen(level_camera())
    # Half a metre nearer along its line of sight: it still fills its mask, but hangs in the air.
    eye = torch.tensor([0.0, 0, 1.4])
    towards = (eye - truth[0].world_from_object[:3, 3]) * 0.15
    near = [_moved(truth[0], tuple(towards.tolist()), 0.85), *truth[1:]]  # type: ignore[arg-type]
    found = fit_layout(near, ALONG_Y)
    assert found is not None
    objects, camera = found
    assert max(_errors(near, truth)) > 0.1
    assert max(_errors(objects, truth)) < 0.06
    bases = [float(item.world_bounds()[0, 2]) for item in objects]
    assert max(bases) - min(bases) < 0.03
    assert (camera.height, camera.width) == tuple(truth[0].mask.shape)  # type: ignore[union-attr]


def test_an_object_on_another_stays_on_it() -> None:
    boxes = [*BOXES, ((0.3, 0.3, 0.3), (0.5, 3.0, 0.65))]
    truth = boxes_seen(level_camera(), boxes)
    found = fit_layout([*truth[:3], _moved(truth[3], (0.0, 0.0, 0.06))], ALONG_Y)
    assert found is not None
    below, above = found[0][1].world_bounds(), found[0][3].world_bounds()
    assert float(above[0, 2] - below[1, 2]) == pytest.approx(0, abs=0.03)
    assert max(_errors(found[0], truth)) < 0.04


@settings(max_examples=4, deadline=None)
@given(
    pitch=st.floats(0.15, 0.6),
    yaw=st.floats(-3, 3),
    scale=st.floats(0.1, 10),
    known=st.booleans(),
)
def test_a_right_layout_stays_in_any_world(pitch: float, yaw: float, scale: float, known: bool) -> None:
    camera = level_camera(pitch)
    truth = boxes_seen(camera)
    turn = torch.tensor([[math.cos(yaw), -math.sin(yaw), 0], [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1.0]])
    world = compose_similarity(turn, torch.tensor([1.0, -2, 3]), torch.tensor(scale))
    predicted = [moved_object(item, world) for item in truth]
    errors = PlaceErrors(heading=math.pi / 2 + yaw)
    found = fit_layout(predicted, errors, intrinsics_px=camera.intrinsics_px if known else None)
    assert found is not None
    assert max(_errors(found[0], predicted)) < 0.05


def test_without_a_known_heading_it_is_found() -> None:
    truth = boxes_seen(level_camera())
    found = fit_layout(truth, PlaceErrors())
    assert found is not None
    assert max(_errors(found[0], truth)) < 0.05


def test_a_newcomer_is_placed_and_the_others_are_left_alone() -> None:
    camera = level_camera()
    truth = boxes_seen(camera)
    newcomer = _moved(truth[2], (0.1, -0.4, 0.3), 0.8)
    (placed,) = fit_newcomers(truth[:2], [newcomer], camera, ALONG_Y)
    assert float(placed.world_bounds()[0, 2]) == pytest.approx(0, abs=0.02)
    assert _errors([*truth[:2], placed], truth)[2] < 0.5 * _errors([*truth[:2], newcomer], truth)[2]


def test_objects_without_a_mask_stay_and_none_seen_is_none() -> None:
    truth = boxes_seen(level_camera())
    unseen = SceneObject("unseen", truth[0].parts, world_from_object=torch.eye(4))
    found = fit_layout([unseen, *truth], ALONG_Y)
    assert found is not None
    assert found[0][0] is unseen
    assert fit_layout([unseen], ALONG_Y) is None
    assert fit_newcomers(truth, [unseen], level_camera(), ALONG_Y) == [unseen]


def test_the_same_scene_gives_the_same_places() -> None:
    truth = boxes_seen(level_camera())
    first, second = fit_layout(truth, ALONG_Y), fit_layout(truth, ALONG_Y)
    assert first is not None
    assert second is not None
    for one, other in zip(first[0], second[0], strict=True):
        assert torch.equal(one.world_from_object, other.world_from_object)


def test_what_was_put_too_far_away_comes_back_onto_the_object_below_its_mask() -> None:
    boxes = [*BOXES, ((0.3, 0.3, 0.3), (0.5, 3.0, 0.65))]
    truth = boxes_seen(level_camera(), boxes)
    table, vase = truth[1].mask, truth[3].mask
    assert table is not None
    assert vase is not None
    truth[1] = replace(truth[1], mask=table & ~vase)
    # A tenth farther along its line of sight it looks the same, but is inside the table.
    eye = torch.tensor([0.0, 0, 1.4])
    away = (truth[3].world_from_object[:3, 3] - eye) * 0.1
    found = fit_layout([*truth[:3], _moved(truth[3], tuple(away.tolist()), 1.1)], ALONG_Y)  # type: ignore[arg-type]
    assert found is not None
    below, above = found[0][1].world_bounds(), found[0][3].world_bounds()
    assert float(above[0, 2] - below[1, 2]) == pytest.approx(0, abs=0.05)
