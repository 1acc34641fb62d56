"""The fitted camera sees objects where their masks are."""

import math

import pytest
import torch

from scenewright.systems.assembly.camera_fit import fit_camera
from scenewright.systems.assembly.placing import transformed_camera
from scenewright.systems.baselines.cuboid.system import box_mesh
from scenewright.types import Camera, SceneObject
from tests.systems.assembly.room import HEIGHT, WIDTH, boxes_seen, level_camera


def _angle_deg(first: Camera, second: Camera) -> float:
    turn = first.cam_from_world[:3, :3] @ second.cam_from_world[:3, :3].T
    return math.degrees(math.acos(min(1.0, (float(turn.trace()) - 1) / 2)))


@pytest.mark.parametrize("pitch", [0.1, 0.3, 0.6])
def test_the_camera_that_made_the_masks_is_found(pitch: float) -> None:
    true = level_camera(pitch)
    found = fit_camera(boxes_seen(true), (HEIGHT, WIDTH))
    assert found is not None
    assert (found.width, found.height) == (WIDTH, HEIGHT)
    assert _angle_deg(found, true) < 6
    known = fit_camera(boxes_seen(true), (HEIGHT, WIDTH), intrinsics_px=true.intrinsics_px)
    assert known is not None
    assert torch.equal(known.intrinsics_px, true.intrinsics_px)
    assert _angle_deg(known, true) < 3


def test_without_masks_there_is_nothing_to_fit() -> None:
    assert fit_camera([SceneObject("box", (box_mesh((1, 1, 1), (0, 0, 0)),))], (HEIGHT, WIDTH)) is None
    assert fit_camera([], (HEIGHT, WIDTH)) is None


def test_a_camera_moves_with_its_world() -> None:
    camera = level_camera()
    matrix = torch.eye(4)
    matrix[:3] = torch.tensor([[0.0, -2, 0, 1], [2, 0, 0, 3], [0, 0, 2, -1]])
    moved = transformed_camera(camera, matrix)
    point = torch.tensor([0.3, 3.0, 0.2, 1.0])

    def pixel(seen_by: Camera, world: torch.Tensor) -> torch.Tensor:
        seen = seen_by.intrinsics_px @ (seen_by.cam_from_world @ world)[:3]
        return seen[:2] / seen[2]

    torch.testing.assert_close(pixel(moved, matrix @ point), pixel(camera, point), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(torch.linalg.det(moved.cam_from_world[:3, :3]), torch.tensor(1.0), rtol=1e-4, atol=1e-4)
