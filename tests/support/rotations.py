"""Rotations that only tests need: from axes and Euler angles, back to angles, and random ones."""

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.geometry.rotation import quaternion_wxyz_to_matrix


def axis_angle_to_matrix(
    axis: Float[Tensor, "*batch 3"], angle: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 3 3"]:
    """Rotation by `angle` radians about `axis` (any non-zero length), right-handed."""
    half = 0.5 * angle[..., None]
    unit = torch.nn.functional.normalize(axis, dim=-1)
    return quaternion_wxyz_to_matrix(torch.cat([half.cos(), unit * half.sin()], -1))


def matrix_to_yaw(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
    """Yaw in radians, in (-pi, pi], of the rotation about +z closest to `matrix` (in the Frobenius norm)."""
    return torch.atan2(matrix[..., 1, 0] - matrix[..., 0, 1], matrix[..., 0, 0] + matrix[..., 1, 1])


def euler_xyz_deg_to_matrix(euler_xyz_deg: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation of extrinsic x-y-z Euler angles in degrees: R = Rz Ry Rx (SciPy's "xyz", Blender's "XYZ")."""
    (cx, cy, cz), (sx, sy, sz) = (f(torch.deg2rad(euler_xyz_deg)).unbind(-1) for f in (torch.cos, torch.sin))
    rows = [
        cy * cz, sx * sy * cz - cx * sz, cx * sy * cz + sx * sz,
        cy * sz, sx * sy * sz + cx * cz, cx * sy * sz - sx * cz,
        -sy, sx * cy, cx * cy,
    ]  # fmt: skip
    return torch.stack(rows, -1).reshape(*cx.shape, 3, 3)


def matrix_to_euler_xyz_deg(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Extrinsic x-y-z Euler angles in degrees; the y angle is in [-90, 90]. At +-90 the z angle is set to 0."""
    horizontal = torch.hypot(matrix[..., 0, 0], matrix[..., 1, 0])
    y = torch.atan2(-matrix[..., 2, 0], horizontal)
    locked = horizontal < 1e-6
    x = torch.where(
        locked,
        torch.atan2(-matrix[..., 1, 2], matrix[..., 1, 1]),
        torch.atan2(matrix[..., 2, 1], matrix[..., 2, 2]),
    )
    z = torch.where(locked, torch.zeros_like(y), torch.atan2(matrix[..., 1, 0], matrix[..., 0, 0]))
    return torch.rad2deg(torch.stack([x, y, z], -1))


def rotation_angle(first: Float[Tensor, "*batch 3 3"], second: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
    """Geodesic angle in radians, in [0, pi], between two rotations; accurate near 0 and near pi."""
    chord = (first - second).flatten(-2).norm(dim=-1)  # = 2 sqrt(2) sin(angle / 2)
    return 2 * torch.asin((chord / 8**0.5).clamp(max=1.0))


def random_rotation(
    count: int, *, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "count 3 3"]:
    """Rotations uniform over SO(3), drawn on the generator's device."""
    device = generator.device if generator is not None else "cpu"
    return quaternion_wxyz_to_matrix(torch.randn(count, 4, generator=generator, dtype=dtype, device=device))


def transform_points(
    matrix: Float[Tensor, "*batch 4 4"], points: Float[Tensor, "*batch N 3"]
) -> Float[Tensor, "*batch N 3"]:
    """Points moved by an affine 4x4 matrix."""
    return points @ matrix[..., :3, :3].mT + matrix[..., None, :3, 3]
