"""Rotations and similarity transforms: quaternions, yaw, Euler angles, 4x4 compose and decompose.

All matrices act on column vectors. Quaternions are (w, x, y, z); yaw turns counter-clockwise about +z seen from above
(docs/conventions.md#rotations). Every function is batched over leading axes, keeps dtype and device, and is
differentiable where the map itself is smooth.
"""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "compose_similarity",
    "decompose_similarity",
    "invert_similarity",
    "matrix_to_quaternion_wxyz",
    "quaternion_multiply",
    "quaternion_wxyz_to_matrix",
    "yaw_to_matrix",
]


def quaternion_wxyz_to_matrix(quaternion_wxyz: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrix of a quaternion of any non-zero length (it is normalised here)."""
    w, x, y, z = torch.nn.functional.normalize(quaternion_wxyz, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).reshape(*w.shape, 3, 3)


def matrix_to_quaternion_wxyz(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternion of a rotation matrix; its largest component is positive (SciPy's sign).

    The component to divide by is the largest of the four (Shepperd, 1978), so no rotation is ill-conditioned.
    """
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = matrix.flatten(-2).unbind(-1)
    trace = m00 + m11 + m22
    # Row k is 4 q_k * (w, x, y, z): the same quaternion up to length, written with each component as pivot.
    candidates = torch.stack(
        [
            torch.stack([1 + trace, m21 - m12, m02 - m20, m10 - m01], -1),
            torch.stack([m21 - m12, 1 - trace + 2 * m00, m10 + m01, m20 + m02], -1),
            torch.stack([m02 - m20, m10 + m01, 1 - trace + 2 * m11, m21 + m12], -1),
            torch.stack([m10 - m01, m20 + m02, m21 + m12, 1 - trace + 2 * m22], -1),
        ],
        -2,
    )
    pivot = torch.stack([trace, m00, m11, m22], -1).argmax(-1)
    chosen = candidates.gather(-2, pivot[..., None, None].expand(*pivot.shape, 1, 4)).squeeze(-2)
    return torch.nn.functional.normalize(chosen, dim=-1)


def quaternion_multiply(
    first_wxyz: Float[Tensor, "*batch 4"], second_wxyz: Float[Tensor, "*batch 4"]
) -> Float[Tensor, "*batch 4"]:
    """Hamilton product: the rotation `second_wxyz` followed by `first_wxyz`."""
    a, b, c, d = first_wxyz.unbind(-1)
    w, x, y, z = second_wxyz.unbind(-1)
    return torch.stack(
        [
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ],
        -1,
    )


def yaw_to_matrix(yaw: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation by `yaw` radians about +z, counter-clockwise seen from above."""
    cos, sin, zero, one = yaw.cos(), yaw.sin(), torch.zeros_like(yaw), torch.ones_like(yaw)
    return torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], -1).reshape(*yaw.shape, 3, 3)


def compose_similarity(
    rotation: Float[Tensor, "*batch 3 3"],
    translation: Float[Tensor, "*batch 3"],
    scale: Float[Tensor, "*batch"] | float = 1.0,
) -> Float[Tensor, "*batch 4 4"]:
    """The matrix of x -> scale * rotation x + translation."""
    scale = torch.as_tensor(scale, dtype=rotation.dtype, device=rotation.device)
    matrix = torch.zeros(*rotation.shape[:-2], 4, 4, dtype=rotation.dtype, device=rotation.device)
    matrix[..., :3, :3] = rotation * scale[..., None, None]
    matrix[..., :3, 3] = translation
    matrix[..., 3, 3] = 1
    return matrix


def decompose_similarity(
    matrix: Float[Tensor, "*batch 4 4"], *, tolerance: float = 1e-3
) -> tuple[Float[Tensor, "*batch 3 3"], Float[Tensor, "*batch 3"], Float[Tensor, "*batch"]]:
    """Rotation, translation and scale of a similarity; inverse of `compose_similarity`.

    Raises:
        ValueError: the matrix mirrors, shears, scales unevenly, or is singular (beyond `tolerance`, relative).
    """
    linear = matrix[..., :3, :3]
    determinant = torch.linalg.det(linear)
    if not bool((determinant > 0).all()):
        raise ValueError(
            f"Expected a similarity (rotation, uniform scale, translation), got a matrix whose determinant is"
            f" {float(determinant.min()):.3g}: it mirrors or flattens. Bake it into the vertices instead."
        )
    scale = determinant ** (1 / 3)
    rotation = linear / scale[..., None, None]
    identity = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
    error = (rotation @ rotation.mT - identity).abs()
    if error.numel() and float(error.max()) > tolerance:
        raise ValueError(
            f"Expected a similarity (rotation, uniform scale, translation), got a matrix that is off by"
            f" {float(error.max()):.3g} (shear or uneven scale). Bake it into the vertices instead."
        )
    return rotation, matrix[..., :3, 3], scale


def invert_similarity(matrix: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 4 4"]:
    """Inverse of a similarity without a general solve: exact structure, last row (0, 0, 0, 1)."""
    linear = matrix[..., :3, :3]
    squared_scale = linear.square().sum((-2, -1)) / 3
    inverse_linear = linear.mT / squared_scale[..., None, None]
    inverse = torch.zeros_like(matrix)
    inverse[..., :3, :3] = inverse_linear
    inverse[..., :3, 3] = -(inverse_linear @ matrix[..., :3, 3:]).squeeze(-1)
    inverse[..., 3, 3] = 1
    return inverse
