"""Real spherical harmonics of degrees 0 to 3 as Gaussian splats use them, and their rotation.

Signs and order are those of 3D Gaussian splatting (graphdeco-inria/gaussian-splatting `utils/sh_utils.py`; constants
from Sloan, "Stupid Spherical Harmonics Tricks", appendix A2). Legend: N sets, K coefficients (1, 4, 9 or 16), M
directions.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["rotate_harmonics", "spherical_harmonics"]


def spherical_harmonics(directions: Float[Tensor, "M 3"], degree: int) -> Float[Tensor, "M K"]:
    """Values of all functions up to `degree` (at most 3) in unit directions, K = (degree + 1)^2."""
    x, y, z = directions.unbind(-1)
    pi = math.pi
    columns = [torch.full_like(x, math.sqrt(1 / (4 * pi)))]
    if degree >= 1:
        columns += [math.sqrt(3 / (4 * pi)) * axis for axis in (-y, z, -x)]
    if degree >= 2:
        c = math.sqrt(15 / (4 * pi))
        columns += [c * x * y, -c * y * z, math.sqrt(5 / (16 * pi)) * (3 * z * z - 1), -c * x * z]
        columns += [c / 2 * (x * x - y * y)]
    if degree >= 3:
        outer, middle, inner = (math.sqrt(number / (32 * pi)) for number in (35, 105 * 8, 21))
        columns += [-outer * y * (3 * x * x - y * y), middle * x * y * z, -inner * y * (5 * z * z - 1)]
        columns += [math.sqrt(7 / (16 * pi)) * z * (5 * z * z - 3), -inner * x * (5 * z * z - 1)]
        columns += [middle / 2 * z * (x * x - y * y), -outer * x * (x * x - 3 * y * y)]
    return torch.stack(columns, -1)


def rotate_harmonics(sh: Float[Tensor, "N K 3"], rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "N K 3"]:
    """Coefficients of the turned function: its value in direction `rotation @ d` is the old one in direction `d`.

    Degrees do not mix, and the functions of a degree span all their rotations, so that each degree's matrix follows
    exactly from values in a few directions.
    """
    degree = math.isqrt(sh.shape[1]) - 1
    if degree <= 0 or bool((rotation == torch.eye(3).to(rotation)).all()):
        return sh
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(32, 3, generator=generator, dtype=torch.float64), dim=1)
    turned = directions @ rotation.double().cpu()  # rotation^-1 @ d, in rows
    before, after = spherical_harmonics(turned, degree), spherical_harmonics(directions, degree)
    rotated = [sh[:, :1]]
    for band in range(1, degree + 1):
        rows = slice(band**2, (band + 1) ** 2)
        matrix = torch.linalg.lstsq(after[:, rows], before[:, rows]).solution.to(sh)
        rotated.append(torch.einsum("ij,njc->nic", matrix, sh[:, rows]))
    return torch.cat(rotated, 1)
