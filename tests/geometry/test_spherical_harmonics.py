import math

import pytest
import torch

from scenewright.geometry.spherical_harmonics import rotate_harmonics, spherical_harmonics
from tests.support.rotations import euler_xyz_deg_to_matrix

DIRECTIONS = torch.nn.functional.normalize(
    torch.randn(4000, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64), dim=1
)


def test_the_functions_are_orthonormal() -> None:
    steps = torch.arange(200, dtype=torch.float64)
    z = 1 - (2 * steps[:, None] + 1) / 200
    angle = (2 * math.pi * (steps + 0.5) / 200).expand(200, 200)
    flat = (1 - z * z).sqrt()
    grid = torch.stack([flat * angle.cos(), flat * angle.sin(), z.expand(200, 200)], -1).reshape(-1, 3)
    values = spherical_harmonics(grid, 3)
    gram = values.T @ values * 4 * math.pi / len(grid)
    torch.testing.assert_close(gram, torch.eye(16, dtype=torch.float64), atol=1e-3, rtol=0)


def test_published_constants() -> None:
    x, y, z = 0.6, 0.0, 0.8
    values = spherical_harmonics(torch.tensor([[x, y, z]], dtype=torch.float64), 3)[0].tolist()
    expected = [0.28209479177387814, 0, 0.4886025119029199 * z, -0.4886025119029199 * x, 0, 0]
    expected += [0.31539156525252005 * (2 * z * z - x * x), -1.0925484305920792 * x * z, 0.5462742152960396 * x * x]
    expected += [0, 0, 0, 0.3731763325901154 * z * (2 * z * z - 3 * x * x)]
    expected += [-0.4570457994644658 * x * (4 * z * z - x * x), 1.445305721320277 * z * x * x]
    expected += [-0.5900435899266435 * x * x * x]
    assert values == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_a_turned_function_has_its_old_values_in_turned_directions(degree: int) -> None:
    rotation = euler_xyz_deg_to_matrix(torch.tensor([20.0, -130.0, 75.0], dtype=torch.float64))
    sh = torch.randn(5, (degree + 1) ** 2, 3, dtype=torch.float64)
    turned = rotate_harmonics(sh, rotation)
    torch.testing.assert_close(
        torch.einsum("mk,nkc->nmc", spherical_harmonics(DIRECTIONS @ rotation.T, degree), turned),
        torch.einsum("mk,nkc->nmc", spherical_harmonics(DIRECTIONS, degree), sh),
    )


def test_no_rotation_changes_nothing() -> None:
    sh = torch.randn(2, 16, 3)
    assert rotate_harmonics(sh, torch.eye(3)) is sh
