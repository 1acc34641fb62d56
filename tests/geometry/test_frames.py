import torch

from scenewright.geometry.frames import (
    CVCAM_FROM_GLTFCAM,
    YUP_FROM_ZUP,
    ZUP_FROM_YUP,
    view_centric_rotation,
    yup_from_zup,
    zup_from_yup,
)

UP, FRONT = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, -1.0, 0.0])


def test_up_and_front_of_a_y_up_file() -> None:
    assert yup_from_zup(UP).tolist() == [0, 1, 0]
    assert yup_from_zup(FRONT).tolist() == [0, 0, 1]


def test_functions_and_matrices_agree() -> None:
    points = torch.randn(2, 5, 3, dtype=torch.float64)
    assert torch.equal(zup_from_yup(points), points @ ZUP_FROM_YUP[:3, :3].T)
    assert torch.equal(yup_from_zup(points), points @ YUP_FROM_ZUP[:3, :3].T)
    assert torch.equal(zup_from_yup(yup_from_zup(points)), points)
    for matrix in (ZUP_FROM_YUP, CVCAM_FROM_GLTFCAM):
        assert torch.linalg.det(matrix) == 1


def test_view_centric_rotation_is_a_yaw_to_plus_y() -> None:
    heading = torch.tensor([3.0, -4.0])
    turn = view_centric_rotation(heading)
    torch.testing.assert_close(turn @ torch.tensor([3.0, -4.0, 0.0]), torch.tensor([0.0, 5.0, 0.0]))
    torch.testing.assert_close(turn @ UP, UP)
    right = torch.linalg.cross(torch.tensor([3.0, -4.0, 0.0]), UP)
    assert (turn @ right)[0] > 0
