"""Settling by hand: overlapping, floating, sunk and stacked boxes; what must stay stays."""

import pytest
import torch

from scenewright.metrics.collisions import CollisionConfig, SceneCollisions, scene_collisions
from scenewright.systems.assembly import settle
from scenewright.systems.assembly.settle import SettleOptions, settle_scene
from scenewright.systems.baselines.cuboid.system import box_mesh
from scenewright.types import Scene, SceneObject
from tests.systems.assembly.room import level_camera


def _box(name: str, size: tuple[float, float, float], centre: tuple[float, float, float]) -> SceneObject:
    placement = torch.eye(4)
    placement[:3, 3] = torch.tensor(centre)
    return SceneObject(name, (box_mesh(size, (0.5, 0.5, 0.5)),), world_from_object=placement)


def _moves(before: Scene, after: Scene) -> dict[str, list[float]]:
    return {
        old.name: (new.world_from_object - old.world_from_object)[:3, 3].tolist()
        for old, new in zip(before.objects, after.objects, strict=True)
    }


def test_two_overlapping_boxes_part_by_their_overlap_and_the_smaller_moves() -> None:
    scene = Scene((_box("table", (2, 1, 1), (0, 0, 0.5)), _box("chair", (1, 1, 1), (1.4, 0, 0.5))))
    settled, report = settle_scene(scene)
    moves = _moves(scene, settled)
    assert moves["table"] == [0, 0, 0]
    assert moves["chair"] == pytest.approx([0.1, 0, 0], abs=0.02)
    assert report.depths_before["table", "chair"] == pytest.approx(0.1, abs=0.02)
    assert report.depths_after == {}
    assert list(report.moves) == ["chair"]


def test_a_box_that_floats_a_little_comes_down_to_the_floor() -> None:
    scene = Scene((_box("low", (1, 1, 1), (0, 0, 0.5)), _box("high", (1, 1, 1), (3, 0, 0.6))))
    settled, report = settle_scene(scene)
    assert _moves(scene, settled)["high"] == pytest.approx([0, 0, -0.1], abs=1e-6)
    assert report.gap_before["high"] == pytest.approx(0.1, abs=1e-6)
    assert report.gap_after["high"] == pytest.approx(0, abs=1e-6)


def test_a_box_high_above_the_floor_hangs_there() -> None:
    scene = Scene((_box("sofa", (2, 1, 1), (0, 0, 0.5)), _box("picture", (1, 0.1, 1), (0, 2, 2))))
    settled, report = settle_scene(scene)
    assert _moves(scene, settled)["picture"] == [0, 0, 0]
    assert report.gap_after["picture"] == pytest.approx(1.5, abs=1e-6)


def test_a_stack_closes_its_gap_and_rests_on_what_is_below() -> None:
    scene = Scene((_box("table", (2, 2, 1), (0, 0, 0.6)), _box("vase", (0.4, 0.4, 0.4), (0.2, 0, 1.35))))
    settled, _ = settle_scene(scene)
    moves = _moves(scene, settled)
    assert moves["table"] == pytest.approx([0, 0, -0.1], abs=1e-6)
    assert moves["vase"] == pytest.approx([0, 0, -0.15], abs=1e-6)


def test_a_box_sunk_into_the_one_below_is_raised_not_pushed_off() -> None:
    scene = Scene((_box("table", (2, 2, 1), (0, 0, 0.5)), _box("vase", (0.4, 0.4, 0.4), (0.2, 0, 1.15))))
    settled, report = settle_scene(scene)
    assert _moves(scene, settled)["vase"] == pytest.approx([0, 0, 0.05], abs=0.01)
    assert report.max_depth_after == 0


def test_a_resting_stack_stays_the_same_objects() -> None:
    scene = Scene((_box("table", (2, 2, 1), (0, 0, 0.5)), _box("vase", (0.5, 0.5, 0.5), (0, 0, 1.25))))
    settled, report = settle_scene(scene)
    assert all(new is old for new, old in zip(settled.objects, scene.objects, strict=True))
    assert report.moves == {}


def test_what_is_sunk_in_the_floor_is_raised() -> None:
    scene = Scene((_box("rug", (2, 2, 0.2), (0, 0, 0)),))
    settled, report = settle_scene(scene)
    assert _moves(scene, settled)["rug"] == pytest.approx([0, 0, 0.1], abs=1e-6)
    assert report.gap_before["rug"] == pytest.approx(-0.1, abs=1e-6)


def test_only_movable_objects_move() -> None:
    scene = Scene((_box("small", (1, 1, 1), (1.4, 0, 0.5)), _box("large", (2, 1, 1), (0, 0, 0.5))))
    settled, report = settle_scene(scene, movable={"large"})
    assert settled.objects[0] is scene.objects[0]
    assert _moves(scene, settled)["large"] == pytest.approx([-0.1, 0, 0], abs=0.02)
    assert report.max_depth_after == 0


def test_what_cannot_be_freed_by_a_small_push_is_reported_not_moved() -> None:
    scene = Scene((_box("room", (4, 4, 4), (0, 0, 2)), _box("inside", (1, 1, 1), (0, 0, 0.5))))
    settled, report = settle_scene(scene, options=SettleOptions(max_push=0.1))
    assert settled.objects == scene.objects
    assert report.max_depth_after == pytest.approx(1, abs=0.1)


def test_a_push_does_not_drive_an_object_into_a_third_one() -> None:
    scene = Scene(
        (
            _box("left", (2, 2, 1), (0, 0, 0.5)),
            _box("middle", (1, 1, 1), (1.4, 0, 0.5)),
            _box("right", (2, 2, 1), (2.95, 0, 0.5)),
        )
    )
    _, report = settle_scene(scene)
    assert report.max_depth_after == 0


def test_settling_twice_gives_the_same_numbers_and_empty_scenes_pass() -> None:
    scene = Scene((_box("a", (1, 1, 1), (0, 0, 0.5)), _box("b", (1, 1, 1), (0.8, 0.3, 0.55))))
    first, second = settle_scene(scene), settle_scene(scene)
    assert first[1] == second[1]
    assert "2 objects" not in settle_scene(Scene(()))[1].sentence()


def test_where_the_camera_sees_a_push_it_costs_more() -> None:
    # Apart by 0.1 across the line of sight, which is +y, or by 0.2 along it.
    boxes = (_box("table", (2, 2, 1), (0, 13, 0.5)), _box("chair", (1, 1, 1), (1.4, 14.3, 0.5)))
    scene = Scene(boxes, cameras={"camera": level_camera()})
    across, _ = settle_scene(scene)
    assert _moves(scene, across)["chair"] == pytest.approx([0.1, 0, 0], abs=0.02)
    along, report = settle_scene(scene, options=SettleOptions(sideways=3.0))
    right, ahead, up = _moves(scene, along)["chair"]
    assert ahead > 0.15
    assert abs(right) < 0.08
    assert up == 0
    assert report.depths_after == {}


def test_no_pair_is_measured_twice_at_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[bytes] = []

    def noted(meshes: list, config: CollisionConfig) -> SceneCollisions:
        measured.append(b"".join(vertices.tobytes() for vertices, _ in meshes))
        return scene_collisions(meshes, config)

    monkeypatch.setattr(settle, "scene_collisions", noted)
    boxes = [_box(str(number), (1, 1, 1), (0.7 * number, 0, 0.5)) for number in range(4)]
    assert len(settle_scene(Scene(tuple(boxes)))[1].depths_before) == 3
    assert len(measured) == len(set(measured)) > 3
