"""Objects come to stand where their masks and the floor say; what is right already, or cannot be known, stays."""

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from scenewright.geometry.camera.projection import scale_camera
from scenewright.geometry.rotation import compose_similarity
from scenewright.samplers.config import QUALITY_RATIO
from scenewright.systems.assembly import layout_problem, structures
from scenewright.systems.assembly.layout_fit import fit_layout, fit_newcomers
from scenewright.systems.assembly.layout_problem import LayoutProblem, camera_pose
from scenewright.systems.assembly.placing import moved_object, transformed_camera
from scenewright.systems.assembly.structures import LayoutErrors, SceneRequest, SizeEstimates
from scenewright.types import Camera, ObjectMasks, SceneObject, View
from tests.systems.assembly.room import BOXES, Box, boxes_seen, level_camera

ALONG_Y = LayoutErrors(heading=math.pi / 2)


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


def _show_before(items: list[SceneObject], seen: int, partly_hidden: int) -> None:
    """Takes one object's mask out of another's."""
    mask, hidden = items[seen].mask, items[partly_hidden].mask
    assert mask is not None
    assert hidden is not None
    items[partly_hidden] = replace(items[partly_hidden], mask=hidden - mask)


def _told(boxes: Sequence[Box], deviation: float, unknown: Collection[int] = ()) -> SizeEstimates:
    """True sizes and distances of boxes from an eye 1.4 above the origin."""
    lengths = [
        [math.log(length / (1.4 - centre[2] + size[2] / 2)) for length in (*size, centre[1])] for size, centre in boxes
    ]
    deviations = torch.full((len(boxes), 4), deviation)
    deviations[list(unknown)] = torch.inf
    return SizeEstimates(torch.tensor(lengths), deviations)


def test_an_object_that_hangs_too_near_comes_down_to_its_place() -> None:
    truth = boxes_seen(level_camera())
    # Half a metre nearer along its line of sight: it still fills its mask, but hangs in the air.
    eye = torch.tensor([0.0, 0, 1.4])
    towards = (eye - truth[0].world_from_object[:3, 3]) * 0.15
    near = [_moved(truth[0], tuple(towards.tolist()), 0.85), *truth[1:]]  # type: ignore[arg-type]
    found = fit_layout(near, ALONG_Y)
    assert found is not None
    objects, camera = found.objects, found.camera
    assert max(_errors(near, truth)) > 0.1
    assert max(_errors(objects, truth)) < 0.06
    bases = [float(item.world_bounds()[0, 2]) for item in objects]
    assert max(bases) - min(bases) < 0.03
    assert (camera.height, camera.width) == truth[0].mask.shape  # type: ignore[union-attr]


def test_a_draft_finds_the_same_places_by_fewer_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, looks = boxes_seen(level_camera()), []
    near = [_moved(truth[0], (0.1, -0.3, 0.1), 0.9), _moved(truth[1], (0.0, 0.2, 0.0)), *truth[2:]]
    residuals = LayoutProblem._residuals

    def counted(problem: LayoutProblem, unknowns: np.ndarray) -> np.ndarray:
        looks.append(quality)
        return residuals(problem, unknowns)

    monkeypatch.setattr(LayoutProblem, "_residuals", counted)
    found = {}
    for quality in QUALITY_RATIO:
        layout = fit_layout(near, ALONG_Y, known=level_camera(), quality=quality)
        assert layout is not None
        found[quality] = layout.objects
    assert looks.count("draft") < 0.95 * looks.count("standard")
    assert looks.count("standard") == looks.count("best")
    assert max(_errors(found["draft"], found["standard"])) < 0.01


@pytest.mark.parametrize(("frees_camera", "knows_sizes"), [(True, False), (False, True)])
def test_differences_are_those_that_scipy_takes_one_by_one(
    frees_camera: bool, knows_sizes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = [*BOXES, ((0.3, 0.3, 0.3), (0.5, 3.0, 0.65))]
    objects, sizes = boxes_seen(level_camera(), boxes), _told(boxes, 0.1) if knows_sizes else None
    problem = LayoutProblem(objects, ALONG_Y, math.pi / 2, None, sizes=sizes)
    monkeypatch.setattr(layout_problem, "_MOST_PAIRS", 5 * len(objects) ** 2)  # more than one part
    unknowns = problem.start(0.3)
    unknowns[problem.num_camera :] += np.random.default_rng(0).normal(0, 0.02, 4 * len(objects))
    is_free = np.ones(len(unknowns), dtype=bool)
    is_free[: problem.num_camera] = frees_camera
    is_free[[problem.num_camera + 5, problem.num_camera + 8]] = False
    now, columns = problem._residuals(unknowns), []
    for column in np.flatnonzero(is_free):
        step = np.sqrt(np.finfo(float).eps) * (1 if unknowns[column] >= 0 else -1) * max(1, abs(unknowns[column]))
        moved = unknowns.copy()
        moved[column] += step
        columns.append((problem._residuals(moved) - now) / (moved[column] - unknowns[column]))
    assert np.array_equal(problem._jacobian(unknowns, is_free), np.stack(columns, 1))


def test_an_object_on_another_stays_on_it() -> None:
    boxes = [*BOXES, ((0.3, 0.3, 0.3), (0.5, 3.0, 0.65))]
    truth = boxes_seen(level_camera(), boxes)
    found = fit_layout([*truth[:3], _moved(truth[3], (0.0, 0.0, 0.06))], ALONG_Y)
    assert found is not None
    below, above = found.objects[1].world_bounds(), found.objects[3].world_bounds()
    assert float(above[0, 2] - below[1, 2]) == pytest.approx(0, abs=0.03)
    assert max(_errors(found.objects, truth)) < 0.04


@settings(max_examples=2, deadline=None)
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
    errors = LayoutErrors(heading=math.pi / 2 + yaw)
    found = fit_layout(predicted, errors, known=camera if known else None)
    assert found is not None
    assert max(_errors(found.objects, predicted)) < 0.05


@settings(max_examples=2, deadline=None)
@given(
    pitch=st.floats(0.1, 0.7),
    yaw=st.floats(-3, 3),
    roll=st.floats(-0.2, 0.2),
    height=st.floats(0.3, 3),
    heading=st.floats(-3, 3),
)
def test_under_a_known_camera_the_scene_comes_to_stand_in_its_world(
    pitch: float, yaw: float, roll: float, height: float, heading: float
) -> None:
    size = height / 1.4
    turn = torch.tensor([[math.cos(yaw), -math.sin(yaw), 0], [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1.0]])
    world = compose_similarity(turn, torch.tensor([2.0, -1, 0]), torch.tensor(size))
    level = level_camera(pitch)
    tilt = torch.eye(4)
    tilt[:2, :2] = torch.tensor([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    camera = transformed_camera(replace(level, cam_from_world=tilt @ level.cam_from_world), world)
    truth = [
        moved_object(item, world) for item in boxes_seen(replace(level, cam_from_world=tilt @ level.cam_from_world))
    ]
    # The farthest one is seen only where no other is before it.
    front = truth[0].mask | truth[1].mask  # type: ignore[operator]
    truth[2] = replace(truth[2], mask=truth[2].mask - front)  # type: ignore[operator]
    # The generator's world is another one, and its places are a little off.
    turned = torch.tensor(
        [[math.cos(heading), -math.sin(heading), 0], [math.sin(heading), math.cos(heading), 0], [0, 0, 1.0]]
    )
    away = compose_similarity(turned, torch.tensor([0.3, 0.2, 0.1]), torch.tensor(0.25))
    predicted = [
        moved_object(item, away) for item in [_moved(truth[0], (0.04 * size, 0.05 * size, 0.03 * size)), *truth[1:]]
    ]
    found = fit_layout(predicted, LayoutErrors(heading=math.pi / 2 + yaw + heading), known=camera)
    assert found is not None
    assert found.known_world_from_world is not None
    for item, true in zip(found.objects, truth, strict=True):
        bounds = moved_object(item, found.known_world_from_world).world_bounds()
        assert torch.allclose(bounds, true.world_bounds(), atol=0.12 * size)
    seen = transformed_camera(found.camera, found.known_world_from_world)
    assert torch.allclose(seen.cam_from_world, camera.cam_from_world, atol=0.05 * max(1.0, size))


def test_of_a_camera_that_is_not_above_the_floor_only_the_lens_counts() -> None:
    camera = level_camera()
    sunk = camera.cam_from_world.clone()
    sunk[:3, 3] = 0
    found = fit_layout(boxes_seen(camera), ALONG_Y, known=replace(camera, cam_from_world=sunk))
    assert found is not None
    assert found.known_world_from_world is None
    assert torch.allclose(found.camera.intrinsics_px, camera.intrinsics_px)


def test_upright_lines_say_how_far_a_camera_of_which_only_the_lens_is_known_looks_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    camera = level_camera(pitch=0.05)
    posts = torch.tensor([[x, y, 0.1] for x in (-1.0, -0.6, -0.2, 0.5, 0.9) for y in (2.5, 3.5)])
    ends = torch.stack([posts, posts + torch.tensor([0, 0, 1.3])], 1)
    seen = (torch.cat([ends, torch.ones(len(posts), 2, 1)], 2) @ camera.cam_from_world.T)[..., :3]
    pixels = seen @ camera.intrinsics_px.T
    picture = Image.new("L", (4 * camera.width, 4 * camera.height), 220)
    for line in (4 * pixels[..., :2] / pixels[..., 2:]).tolist():
        ImageDraw.Draw(picture).line([tuple(end) for end in line], fill=30, width=3)
    sunk = camera.cam_from_world.clone()
    sunk[:3, 3] = 0
    lens = replace(scale_camera(camera, 4.0), cam_from_world=sunk)
    # Objects farther and lower than they are make the camera look farther down.
    places = [_moved(item, (0.0, 0.4 * row, -0.1 * row), 1.2) for row, item in enumerate(boxes_seen(camera))]

    def pitch_off(upright_pitch: float | None) -> float:
        found = fit_layout(places, ALONG_Y, known=lens, upright_pitch=upright_pitch)
        assert found is not None
        return abs(camera_pose(found.camera).pitch - 0.05)

    def asked(camera: Camera) -> SceneRequest:
        masks = ObjectMasks(torch.ones(1, picture.height, picture.width, dtype=torch.bool))
        return SceneRequest((View(picture, masks, camera),))

    request = asked(lens)
    assert pitch_off(request.upright_pitch) < 0.02 < pitch_off(None)
    # They are looked for once, and never where the camera's place is known.
    monkeypatch.setattr(structures, "pitch_of_upright_lines", None)
    assert request.upright_pitch is not None
    assert asked(scale_camera(camera, 4.0)).upright_pitch is None


def test_nothing_comes_to_lie_below_the_floor() -> None:
    truth = boxes_seen(level_camera())
    # Farther away on its line of sight it looks the same and is below the others' floor.
    away = (truth[1].world_from_object[:3, 3] - torch.tensor([0.0, 0, 1.4])) * 0.3
    found = fit_layout([truth[0], _moved(truth[1], tuple(away.tolist()), 1.3), truth[2]], ALONG_Y, known=level_camera())  # type: ignore[arg-type]
    assert found is not None
    bases = [float(item.world_bounds()[0, 2]) for item in found.objects]
    assert max(bases) - min(bases) < 0.06


def test_without_a_known_heading_it_is_found() -> None:
    truth = boxes_seen(level_camera())
    found = fit_layout(truth, LayoutErrors())
    assert found is not None
    assert max(_errors(found.objects, truth)) < 0.05


def test_a_newcomer_is_placed_and_the_others_are_left_alone() -> None:
    camera = level_camera()
    truth = boxes_seen(camera)
    newcomer = _moved(truth[2], (0.1, -0.4, 0.3), 0.8)
    (placed,) = fit_newcomers(truth[:2], [newcomer], camera, ALONG_Y)
    assert float(placed.world_bounds()[0, 2]) == pytest.approx(0, abs=0.02)
    assert _errors([*truth[:2], placed], truth)[2] < 0.5 * _errors([*truth[:2], newcomer], truth)[2]


def test_a_newcomer_stands_where_the_picture_tells_its_distance() -> None:
    camera = level_camera()
    boxes: list[Box] = [BOXES[0], ((1.4, 0.4, 0.6), (0.7, 3.0, 0.3)), ((0.5, 0.4, 0.9), (0.7, 4.2, 0.45))]
    truth = boxes_seen(camera, boxes)
    _show_before(truth, 1, 2)
    wrong = replace(boxes_seen(camera, [((0.5, 0.4, 1.3), (0.7, 4.2, 0.65))])[0], mask=truth[2].mask)

    def away(sizes: SizeEstimates | None) -> float:
        (placed,) = fit_newcomers(truth[:2], [wrong], camera, ALONG_Y, sizes=sizes)
        return float(placed.world_bounds().mean(0)[1])

    assert away(None) < 4.0
    assert away(_told(boxes, 0.03).at([2])) == pytest.approx(4.2, abs=0.1)


def test_objects_without_a_mask_stay_and_none_seen_is_none() -> None:
    truth = boxes_seen(level_camera())
    unseen = SceneObject("unseen", truth[0].parts, world_from_object=torch.eye(4))
    found = fit_layout([unseen, *truth], ALONG_Y)
    assert found is not None
    assert found.objects[0] is unseen
    assert fit_layout([unseen], ALONG_Y) is None
    assert fit_newcomers(truth, [unseen], level_camera(), ALONG_Y) == [unseen]


def test_the_same_scene_gives_the_same_places() -> None:
    truth = boxes_seen(level_camera())
    first, second = fit_layout(truth, ALONG_Y), fit_layout(truth, ALONG_Y)
    assert first is not None
    assert second is not None
    for one, other in zip(first.objects, second.objects, strict=True):
        assert torch.equal(one.world_from_object, other.world_from_object)


def test_what_was_put_too_far_away_comes_back_onto_the_object_below_its_mask() -> None:
    boxes = [*BOXES, ((0.3, 0.3, 0.3), (0.5, 3.0, 0.65))]
    truth = boxes_seen(level_camera(), boxes)
    _show_before(truth, 3, 1)
    # A tenth farther along its line of sight it looks the same, but is inside the table.
    eye = torch.tensor([0.0, 0, 1.4])
    away = (truth[3].world_from_object[:3, 3] - eye) * 0.1
    found = fit_layout([*truth[:3], _moved(truth[3], tuple(away.tolist()), 1.1)], ALONG_Y)  # type: ignore[arg-type]
    assert found is not None
    below, above = found.objects[1].world_bounds(), found.objects[3].world_bounds()
    assert float(above[0, 2] - below[1, 2]) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("known", [True, False])
def test_what_a_table_frames_stands_on_it_even_where_it_was_put_on_the_floor_behind(known: bool) -> None:
    camera = level_camera(0.45)
    boxes = [*BOXES[:1], ((1.4, 1.0, 0.5), (0.6, 3.0, 0.25)), ((0.2, 0.2, 0.3), (0.5, 2.9, 0.65))]
    truth = boxes_seen(camera, boxes)
    _show_before(truth, 2, 1)
    # On its line of sight it was put where it meets the floor, and so much larger.
    factor = 1.4 / (1.4 - 0.5)
    away = (truth[2].world_from_object[:3, 3] - torch.tensor([0.0, 0, 1.4])) * (factor - 1)
    wrong = [*truth[:2], _moved(truth[2], tuple(away.tolist()), factor)]  # type: ignore[arg-type]
    found = fit_layout(wrong, ALONG_Y, known=camera if known else None)
    assert found is not None
    below, above = found.objects[1].world_bounds(), found.objects[2].world_bounds()
    assert float(above[0, 2] - below[1, 2]) == pytest.approx(0, abs=0.06)
    # What is so far off draws a camera that is not known with it.
    assert max(_errors(found.objects, truth)) < (0.06 if known else 0.1)


def test_sizes_told_by_the_picture_place_what_shows_no_foot_and_is_too_high() -> None:
    camera = level_camera()
    boxes: list[Box] = [BOXES[0], ((1.4, 0.4, 0.6), (0.7, 3.0, 0.3)), ((0.5, 0.4, 0.9), (0.7, 4.2, 0.45))]
    truth = boxes_seen(camera, boxes)
    _show_before(truth, 1, 2)
    # Of its shape only the width is right: on the floor it fills its mask if it is nearer and smaller.
    wrong = [*truth[:2], replace(boxes_seen(camera, [((0.5, 0.4, 1.3), (0.7, 4.2, 0.65))])[0], mask=truth[2].mask)]

    def away(sizes: SizeEstimates | None) -> float:
        found = fit_layout(wrong, ALONG_Y, known=camera, sizes=sizes)
        assert found is not None
        assert found.known_world_from_world is not None
        return float(moved_object(found.objects[2], found.known_world_from_world).world_bounds().mean(0)[1])

    assert away(None) < 3.9
    assert away(_told(boxes, 0.03)) == pytest.approx(4.2, abs=0.15)
    assert away(_told(boxes, 0.03, unknown=range(3))) == pytest.approx(away(None), abs=1e-6)


@pytest.mark.parametrize("known", [True, False])
def test_what_is_seen_below_a_table_stays_on_the_floor_behind_it(known: bool) -> None:
    camera = level_camera(0.45)
    boxes = [*BOXES[:1], ((1.6, 0.4, 0.5), (0.5, 2.6, 0.25)), ((0.4, 0.4, 0.4), (0.5, 3.5, 0.2))]
    truth = boxes_seen(camera, boxes)
    _show_before(truth, 2, 1)
    found = fit_layout(truth, ALONG_Y, known=camera if known else None)
    assert found is not None
    assert max(_errors(found.objects, truth)) < 0.04
    assert float(found.objects[2].world_bounds()[0, 2]) == pytest.approx(found.floor_z, abs=0.03)
