"""Settling in MuJoCo on scenes whose outcome is known, checked by a simulation of the file that convert writes."""

import math
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch

from scenewright.geometry.rotation import quaternion_wxyz_to_matrix
from scenewright.io.rigid_bodies import with_physics
from scenewright.io.scene_file import save_scene
from scenewright.systems.assembly.generator import settled
from scenewright.systems.assembly.simulated_settle import SimulationOptions, simulate_settle
from scenewright.types import Mesh, Scene, SceneObject, merged_mesh
from tests.io.scenes import gaussians
from tests.io.test_rigid_bodies import box


def at(name: str, x: float, y: float, z: float, mesh: Mesh, **facts) -> SceneObject:
    place = torch.eye(4)
    place[:3, 3] = torch.tensor([x, y, z])
    return SceneObject(name, (mesh,), world_from_object=place, **facts)


def table() -> Mesh:
    """A top of 1.2 x 0.8 m at 0.7 m on four legs; a box of 0.3 m fits below."""
    legs = [
        replace(leg, vertices=leg.vertices + torch.tensor([x, y, 0.0]))
        for x in (-0.55, 0.55)
        for y in (-0.35, 0.35)
        for leg in [box(0.06, 0.06, 0.7)]
    ]
    top = box(1.2, 0.8, 0.04)
    return merged_mesh([replace(top, vertices=top.vertices + torch.tensor([0, 0, 0.7])), *legs])


def scene_with_everything() -> Scene:
    """A mug sunk into a table, a crate that floats below it, a picture on a wall, a lamp that stands askew."""
    return Scene(
        (
            at("table", 0, 0, 0.0, table()),
            at("mug", 0.3, 0.1, 0.72, box(0.08, 0.08, 0.1)),
            at("crate", 0, 0, 0.03, box(0.3, 0.3, 0.3)),
            at("picture", 0, 1.5, 1.4, box(0.6, 0.03, 0.4)),
            SceneObject("cloud", splats=gaussians(4)),
        ),
        is_metric=True,
    )


def farthest_move(scene: Scene, folder: Path, seconds: float) -> float:
    """The longest way of any body of the exported scene within a simulation of so many seconds."""
    scene, _ = with_physics(scene, "decomposition")
    model = mujoco.MjModel.from_xml_path(str(save_scene(scene, folder / "settled.xml")))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    start, farthest = data.xipos.copy(), 0.0
    for _ in range(round(seconds / model.opt.timestep)):
        mujoco.mj_step(model, data)
        farthest = max(farthest, float(np.linalg.norm(data.xipos - start, axis=1).max()))
    return farthest


def test_objects_come_to_rest_on_objects_and_below_them_and_what_hangs_stays(tmp_path: Path) -> None:
    scene, report = simulate_settle(scene_with_everything())
    placed = {item.name: item for item in scene.objects}
    assert report.is_at_rest
    assert report.depths_before["table", "mug"] == pytest.approx(0.02, abs=0.002)
    assert max(report.depths_after.values(), default=0.0) < 0.002
    assert placed["mug"].world_bounds()[0, 2] == pytest.approx(0.74, abs=0.002)
    assert placed["crate"].world_bounds()[0, 2] == pytest.approx(0, abs=0.002)
    assert report.kept.keys() == {"picture"}
    assert "would move" in report.kept["picture"]
    assert placed["picture"].role == "fixture"
    torch.testing.assert_close(
        placed["picture"].world_from_object, scene_with_everything().objects[3].world_from_object
    )
    assert farthest_move(scene, tmp_path, 1.0) < 0.01


def test_what_would_topple_is_kept_and_named() -> None:
    """A post whose foot is a blade, which nothing holds up."""
    corners = torch.tensor([[0.0, 0, 0], [0, 0.02, 0], [0.3, 0, 1], [-0.1, 0, 1], [0.3, 0.02, 1], [-0.1, 0.02, 1]])
    blade = Mesh(
        corners, torch.tensor([[0, 3, 2], [1, 4, 5], [0, 2, 1], [2, 4, 1], [2, 3, 4], [3, 5, 4], [3, 0, 5], [0, 1, 5]])
    )
    scene, report = simulate_settle(
        Scene((at("post", 0, 0, 0.0, blade), at("crate", 2, 0, 0.0, box(0.3, 0.3, 0.3))), is_metric=True)
    )
    assert report.kept.keys() == {"post"}
    assert scene.objects[0].role == "fixture"
    assert scene.objects[1].role == "object"


def test_kept_objects_whose_colliders_overlap_are_moved_apart() -> None:
    """High up, a box reaches 12 mm into the hull of an L that it does not touch."""
    post = box(0.1, 0.1, 0.4)
    post = replace(post, vertices=post.vertices + torch.tensor([-0.15, 0, 0.1]))
    corner, crate = merged_mesh([box(0.4, 0.1, 0.1), post]), box(0.1, 0.1, 0.1)
    before = Scene((at("corner", 0, 0, 2, corner), at("crate", 0.16, 0, 2.2, crate)), is_metric=True)
    scene, report = simulate_settle(before, "hull")
    assert report.kept.keys() == {"corner", "crate"}
    assert report.depths_before["corner", "crate"] == pytest.approx(0.012, abs=0.002)
    assert max(report.depths_after.values(), default=0.0) < 0.002
    assert sum(distance for distance, _ in report.moves.values()) == pytest.approx(0.012, abs=0.003)
    assert all(
        item.world_bounds()[0, 2] >= height - 1e-4 for item, height in zip(scene.objects, (2.0, 2.2), strict=True)
    )


def test_what_still_moves_when_time_runs_out_is_kept() -> None:
    """A tile that stands on an edge has not lain down after a tenth of a second."""
    turn = torch.eye(4)
    turn[:3, :3] = quaternion_wxyz_to_matrix(torch.tensor([math.cos(math.radians(6)), 0, math.sin(math.radians(6)), 0]))
    tile = SceneObject("tile", (box(0.4, 0.4, 0.05),), world_from_object=turn)
    scene = Scene((tile, at("crate", 1, 0, 0, box(0.3, 0.3, 0.3))), is_metric=True)
    _, report = simulate_settle(scene, "hull", options=SimulationOptions(max_seconds=0.1))
    assert report.kept == {"tile": "it does not come to rest in 0.1 s"}
    assert not simulate_settle(scene, "hull")[1].kept


def test_only_what_may_move_moves_and_the_report_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    given = scene_with_everything()
    rested = settled(given, {"crate"})
    assert rested.provenance["settle"]["method"] == "mujoco"
    assert rested.provenance["settle"]["moves"].keys() == {"crate"}
    for new, old in zip(rested.objects, given.objects, strict=True):
        assert new.name == "crate" or torch.equal(new.world_from_object, old.world_from_object)
    monkeypatch.setattr("scenewright.systems.assembly.generator.can_simulate", lambda: False)
    assert settled(given, {"crate"}).provenance["settle"]["method"] == "translations"
