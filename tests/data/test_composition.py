"""Composed scenes: nothing touches, nothing floats, everything inside, the same for the same seed."""

import math

import numpy as np
import pytest
import torch

from scenewright.data.clearance import Footprint, boxes_apart, models_apart, triangles_intersect
from scenewright.data.composition import RESTING_GAP_M, ComposedScene, Composer, PlacedAsset
from scenewright.data.floor_scenes import compose_floor_scene, object_corners
from scenewright.data.held_out import TrainingAsset
from scenewright.data.library import TrainingLibrary
from scenewright.data.parametric.solids import box
from scenewright.data.random_scenes import compose_random_scene
from scenewright.data.room_shell import RoomShell, build_shell, ear_triangles, polygon_contains
from scenewright.data.rooms import THEMES, compose_room, sample_shell
from scenewright.data.selection import Selector
from scenewright.metrics.collisions import scene_collisions


@pytest.fixture(scope="module")
def selector() -> Selector:
    return Selector(TrainingLibrary())


def box_triangles(size: tuple[float, float, float], base: tuple[float, float, float]) -> np.ndarray:
    shell = box(size, base)
    return shell.vertices[shell.faces]


def check_physics(scene: ComposedScene) -> None:
    """No two meshes cross, the evaluation's own metric sees no collision, and every object rests on something."""
    triangles = [placed.triangles() for placed in scene.objects]
    for i in range(len(triangles)):
        for j in range(i + 1, len(triangles)):
            assert not triangles_intersect(triangles[i], triangles[j])
    meshes = [(t.reshape(-1, 3), np.arange(3 * len(t)).reshape(-1, 3)) for t in triangles]
    assert not scene_collisions(meshes).hit.any()
    for placed, own in zip(scene.objects, triangles, strict=True):
        low = float(own[..., 2].min())
        if placed.supported_by is None:
            assert low == pytest.approx(0.0, abs=1e-4)
        else:
            under = triangles[placed.supported_by]
            assert low == pytest.approx(float(under[..., 2].max()) + RESTING_GAP_M, abs=1e-4)
            assert placed.placement == "on"


def test_boxes_by_hand() -> None:
    a = Footprint(0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0)
    assert not boxes_apart(a, Footprint(1.9, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0))
    assert boxes_apart(a, Footprint(2.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0))
    assert boxes_apart(a, Footprint(0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 2.0))
    # Corner to corner: only a turned axis separates them.
    assert boxes_apart(a, Footprint(2.2, 2.2, 1.0, 1.0, math.pi / 4, 0.0, 1.0))


def test_triangles_by_hand() -> None:
    a = box_triangles((1, 1, 1), (0, 0, 0))
    assert models_apart(a, box_triangles((1, 1, 1), (1.01, 0, 0)))
    assert not models_apart(a, box_triangles((1, 1, 1), (0.5, 0.2, 0.3)))
    assert not models_apart(a, box_triangles((0.2, 0.2, 0.2), (0, 0, 0.4)))  # buried inside
    # A bar through the middle: no vertex of either lies inside the other.
    assert not models_apart(a, box_triangles((3, 0.2, 0.2), (0, 0, 0.4)))
    assert models_apart(a, np.zeros((0, 3, 3)))


def test_a_composer_refuses_what_touches() -> None:
    composer = Composer()
    cabinet = TrainingAsset.parametric("cabinet", 1)
    assert composer.place(PlacedAsset(cabinet, (0.0, 0.0, 0.0), 0.0))
    assert not composer.place(PlacedAsset(cabinet, (0.05, 0.0, 0.0), 0.3))
    assert composer.place(PlacedAsset(cabinet, (3.0, 0.0, 0.0), 0.3))
    assert len(composer.objects) == 2


@pytest.mark.parametrize("seed", range(6))
def test_floor_scenes(selector: Selector, seed: int) -> None:
    scene = compose_floor_scene(selector, np.random.default_rng(seed), size=64)
    assert 1 <= len(scene.objects) <= 6
    assert sum(placed.placement == "on" for placed in scene.objects) <= 2
    check_physics(scene)
    (camera,) = scene.cameras
    corners = torch.from_numpy(object_corners(scene.objects)).float()
    seen = corners @ camera.cam_from_world[:3, :3].T + camera.cam_from_world[:3, 3]
    pixels = seen @ camera.intrinsics_px.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    assert (seen[:, 2] > 0).all()
    assert ((pixels > 0) & (pixels < 64)).all()
    assert camera.cam_from_world[0, 2].abs() < 1e-6  # no roll: image right is level
    room = scene.scene().room
    assert room is not None
    assert polygon_contains(room.floor_polygon.numpy(), corners[:, :2].numpy()).all()


def test_a_fifth_of_the_objects_of_floor_scenes_stand_on_others_although_few_have_a_top() -> None:
    families = ("chair", "sofa", "office_chair", "bed", "floor_lamp", "plant", "table", "books", "bottle")
    few_tables = Selector(TrainingLibrary(families=families))
    placed = [
        item.placement
        for seed in range(16)
        for item in compose_floor_scene(few_tables, np.random.default_rng(seed), size=64).objects
    ]
    assert 0.18 < placed.count("on") / len(placed) < 0.3


def test_without_anything_small_all_stands_on_the_floor() -> None:
    tables = Selector(TrainingLibrary(families=("table",)))
    objects = compose_floor_scene(tables, np.random.default_rng(0), size=64).objects
    assert {item.placement for item in objects} == {"floor"}


def test_small_things_stand_at_the_edges_of_tops_too() -> None:
    table, bottle = TrainingAsset.parametric("table", 3), TrainingAsset.parametric("bottle", 5)
    composer = Composer()
    assert composer.place(PlacedAsset(table, (0.0, 0.0, 0.0), 0.4))
    top = composer.support(0)
    assert top is not None
    rng = np.random.default_rng(0)
    assert sum(composer.place_on(bottle, 0, rng) for _ in range(12)) > 6
    spots = np.array([item.position[:2] for item in composer.objects[1:]])
    middles = np.linalg.norm(spots - np.array(top.anchor_xy), axis=1)
    assert middles.max() > 1.1 * top.distance_to_edge  # not only within the largest disc about the middle
    for item in composer.objects[1:]:
        assert top.holds(item.footprint.grown(-0.36 * max(item.size_m[:2])).corners())


def test_pieces_and_likes_stand_on_tops_that_are_large_enough() -> None:
    selector = Selector(TrainingLibrary(families=("cabinet", "box", "bed", "bottle")))
    stacked = []
    for seed in range(40):
        scene = compose_floor_scene(selector, np.random.default_rng(seed), size=64)
        stacked += [(item, scene.objects[item.supported_by]) for item in scene.objects if item.supported_by is not None]
    pieces = [(item, carrier) for item, carrier in stacked if item.asset.category not in ("box", "bottle")]
    assert pieces
    assert any(item.asset.id == carrier.asset.id for item, carrier in stacked)
    for item, carrier in pieces:
        assert math.prod(item.size_m[:2]) < 1.2 * math.prod(carrier.size_m[:2])


@pytest.mark.parametrize("seed", range(6))
def test_random_scenes(selector: Selector, seed: int) -> None:
    scene = compose_random_scene(selector, np.random.default_rng(seed), size=64, views=3)
    assert 1 <= len(scene.objects) <= 12
    assert len(scene.cameras) == 3
    check_physics(scene)


@pytest.mark.parametrize("theme", sorted(THEMES))
def test_rooms(selector: Selector, theme: str) -> None:
    for seed in range(2):
        scene = compose_room(selector, np.random.default_rng(seed), theme=theme, views=2, panoramas=1, size=48)
        check_physics(scene)
        corners, height = np.array(scene.layout["floor_polygon_xy"]), scene.layout["height"]
        for placed in scene.objects:
            points = placed.triangles().reshape(-1, 3)
            assert polygon_contains(corners, points[:, :2]).all()
            assert points[:, 2].max() < height
        for pose in (*(camera.cam_from_world for camera in scene.cameras), *scene.panorama_poses):
            eye = -(pose[:3, :3].T @ pose[:3, 3]).numpy()
            assert polygon_contains(corners, eye[None, :2]).all()
            assert 1.1 < eye[2] < 1.9
        room = scene.scene().room
        assert room is not None
        assert room.height == height
        np.testing.assert_allclose(room.floor_polygon, corners, rtol=1e-6)
        assert len(room.openings) == len(scene.layout["openings"]) > 0
        names = [name for name, _ in scene.fixtures]
        assert {"floor", "ceiling", "wall_0", "opening_0", "lamp_0"} <= set(names)


def test_equal_seeds_give_equal_scenes(selector: Selector) -> None:
    first, second = (compose_room(selector, np.random.default_rng(3), views=1, size=48) for _ in range(2))
    assert [p.asset.id for p in first.objects] == [p.asset.id for p in second.objects]
    assert [p.position for p in first.objects] == [p.position for p in second.objects]


def test_walls_face_the_room_and_close_it() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        shell = sample_shell(rng)
        assert sum(opening.kind == "door" for opening in shell.openings) == 1
        closed = RoomShell(shell.corners, shell.height)
        corners = []
        for name, mesh in build_shell(closed, rng):
            assert not name.startswith("opening")
            corners.append(mesh.vertices.double()[mesh.faces])
        a, b, c = torch.cat(corners).unbind(1)
        # Faces look inwards, so the signed volume is minus the room's.
        volume = float(-(a * torch.linalg.cross(b, c)).sum() / 6)
        x, y = shell.corners.T
        area = 0.5 * float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())
        assert area > 0
        assert volume == pytest.approx(area * shell.height, rel=1e-4)


def test_ears_of_an_l() -> None:
    corners = np.array([[0, 0], [4, 0], [4, 2], [2, 2], [2, 4], [0, 4]], dtype=float)
    triangles = corners[np.array(ear_triangles(corners))]
    edges = triangles[:, 1:] - triangles[:, :1]
    areas = 0.5 * (edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0])
    assert (areas > 0).all()
    assert areas.sum() == pytest.approx(12.0)
