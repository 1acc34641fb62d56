"""The fitted camera sees objects where their masks are."""

import math

import pytest
import torch

from scenewright.systems.cuboid.system import box_mesh
from scenewright.systems.scene.baseline import assumed_camera
from scenewright.systems.scene.camera_fit import fit_camera
from scenewright.systems.scene.placing import transformed_camera
from scenewright.types import Camera, SceneObject

HEIGHT, WIDTH = 120, 160
BOXES = [((0.6, 0.4, 0.8), (-0.6, 3.2, 0.4)), ((1.0, 0.5, 0.5), (0.5, 3.0, 0.25)), ((0.4, 0.4, 1.2), (0.2, 4.5, 0.6))]


def _camera(pitch: float = 0.3, focal: float = 150.0) -> Camera:
    """At height 1.4 above the origin, looking along +y and down by `pitch`."""
    camera = assumed_camera(torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool))
    cos, sin = math.cos(pitch), math.sin(pitch)
    rotation = torch.tensor([[1.0, 0, 0], [0, -sin, -cos], [0, cos, -sin]])
    matrix = torch.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, -rotation @ torch.tensor([0.0, 0, 1.4])
    intrinsics = torch.tensor([[focal, 0, WIDTH / 2], [0, focal, HEIGHT / 2], [0, 0, 1]])
    return Camera(intrinsics, matrix, camera.width, camera.height)


def _seen(camera: Camera) -> list[SceneObject]:
    """The boxes with the rectangles they fill in the camera's picture as masks."""
    objects = []
    for index, (size, centre) in enumerate(BOXES):
        mesh, placement = box_mesh(size, (0.5, 0.5, 0.5)), torch.eye(4)
        placement[:3, 3] = torch.tensor(centre)
        world = torch.cat([mesh.vertices + torch.tensor(centre), torch.ones(8, 1)], 1)
        seen = (world @ camera.cam_from_world.T)[:, :3] @ camera.intrinsics_px.T
        u, v = (seen[:, :2] / seen[:, 2:]).T
        mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
        mask[
            max(0, round(float(v.min()))) : round(float(v.max())), max(0, round(float(u.min()))) : round(float(u.max()))
        ] = True
        objects.append(SceneObject(f"box {index}", (mesh,), world_from_object=placement, mask=mask))
    return objects


def _angle_deg(first: Camera, second: Camera) -> float:
    turn = first.cam_from_world[:3, :3] @ second.cam_from_world[:3, :3].T
    return math.degrees(math.acos(min(1.0, (float(turn.trace()) - 1) / 2)))


@pytest.mark.parametrize("pitch", [0.1, 0.3, 0.6])
def test_the_camera_that_made_the_masks_is_found(pitch: float) -> None:
    true = _camera(pitch)
    found = fit_camera(_seen(true), (HEIGHT, WIDTH))
    assert found is not None
    assert (found.width, found.height) == (WIDTH, HEIGHT)
    assert _angle_deg(found, true) < 6
    known = fit_camera(_seen(true), (HEIGHT, WIDTH), intrinsics_px=true.intrinsics_px)
    assert known is not None
    assert torch.equal(known.intrinsics_px, true.intrinsics_px)
    assert _angle_deg(known, true) < 3


def test_without_masks_there_is_nothing_to_fit() -> None:
    assert fit_camera([SceneObject("box", (box_mesh((1, 1, 1), (0, 0, 0)),))], (HEIGHT, WIDTH)) is None
    assert fit_camera([], (HEIGHT, WIDTH)) is None


def test_a_camera_moves_with_its_world() -> None:
    camera = _camera()
    matrix = torch.eye(4)
    matrix[:3] = torch.tensor([[0.0, -2, 0, 1], [2, 0, 0, 3], [0, 0, 2, -1]])
    moved = transformed_camera(camera, matrix)
    point = torch.tensor([0.3, 3.0, 0.2, 1.0])

    def pixel(seen_by: Camera, world: torch.Tensor) -> torch.Tensor:
        seen = seen_by.intrinsics_px @ (seen_by.cam_from_world @ world)[:3]
        return seen[:2] / seen[2]

    torch.testing.assert_close(pixel(moved, matrix @ point), pixel(camera, point), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(torch.linalg.det(moved.cam_from_world[:3, :3]), torch.tensor(1.0), rtol=1e-4, atol=1e-4)
