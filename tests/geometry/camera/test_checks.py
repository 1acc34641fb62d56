"""Cameras that cannot be are refused in one sentence, whatever is wrong with them."""

import pytest
import torch

from scenewright.errors import InputError
from scenewright.geometry.camera.checks import check_camera
from scenewright.types import Camera

LENS = torch.tensor([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])
TURN = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 1.5], [0, 1, 0, 0], [0, 0, 0, 1]])


def test_possible_cameras_pass() -> None:
    camera = Camera(LENS, TURN, 640, 480)
    assert check_camera(camera) is camera


def changed(row: int, column: int, value: float) -> torch.Tensor:
    lens = LENS.clone()
    lens[row, column] = value
    return lens


@pytest.mark.parametrize(
    ("lens", "pose", "message"),
    [
        (changed(0, 0, float("nan")), TURN, "not finite"),
        (LENS, TURN * torch.inf, "not finite"),
        (changed(0, 0, 0), TURN, "must be positive"),
        (changed(1, 1, -600), TURN, "must be positive"),
        (torch.tensor([[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]]), TURN, "fits no lens"),
        (changed(0, 2, 4000), TURN, "far outside"),
        (changed(2, 0, 3), TURN, "of the form"),
        (LENS, TURN.T.contiguous(), "transposed"),
        (LENS, torch.diag(torch.tensor([-1.0, 1, 1, 1])), "mirrors"),
        (LENS, torch.diag(torch.tensor([100.0, 100, 100, 1])), "scales by 100"),
        (LENS, torch.diag(torch.tensor([1.0, 1, 3, 1])), "shears"),
        (LENS, torch.diag(torch.tensor([1.0, 1, 0, 1])), "shears or flattens"),
    ],
)
def test_impossible_cameras_are_refused(lens: torch.Tensor, pose: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_camera(Camera(lens, pose, 640, 480), "The camera 'a.json'")
