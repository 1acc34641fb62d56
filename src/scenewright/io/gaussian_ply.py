"""Gaussian splats as PLY, in the column layout of 3D Gaussian splatting tools.

Columns: x y z nx ny nz f_dc_0..2 opacity scale_0..2 rot_0..3, float32 little-endian; opacities are stored as logits,
scales as natural logarithms, quaternions as (w, x, y, z), normals are zero. Colour is the degree-0 coefficient.

Frame: files hold (x, -z, y) of our coordinates, rotations turned alike, as TRELLIS writes them (docs/conventions.md).
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.frames import ZUP_FROM_YUP
from scenewright.geometry.rotation import matrix_to_quaternion_wxyz, quaternion_multiply
from scenewright.io.atomic import write_bytes
from scenewright.io.ply import read_vertices, vertex_ply_bytes
from scenewright.types import Gaussians

__all__ = ["COLUMNS", "gaussian_columns", "gaussians_from_columns", "load_gaussian_ply", "save_gaussian_ply"]

COLUMNS = (
    *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)
# The file is turned the other way round than a y-up file would be.
_FILE_FROM_OURS = ZUP_FROM_YUP[:3, :3].float()
_SMALLEST = torch.finfo(torch.float32).tiny


def save_gaussian_ply(gaussians: Gaussians, path: str | Path) -> Path:
    """Write `gaussians` to `path`, whole or not at all; returns the path.

    Raises:
        InputError: they have view-dependent colour (degree above 0), or the folder cannot be written.
    """
    return write_bytes(path, vertex_ply_bytes(COLUMNS, gaussian_columns(gaussians).numpy()))


def load_gaussian_ply(path: str | Path) -> Gaussians:
    """The Gaussians in a PLY file of the usual columns; view-dependent colour (`f_rest_*`) is left out.

    Raises:
        InputError: the file is missing or damaged, lacks a column, or holds numbers that are not finite.
    """
    table = read_vertices(path)
    needed = [name for name in COLUMNS if name not in ("nx", "ny", "nz")]
    lacking = [name for name in needed if name not in table]
    if lacking:
        raise InputError(f"'{path}' is not a Gaussian PLY: it lacks the column '{lacking[0]}'.")
    zeros = np.zeros_like(table["x"])
    columns = torch.from_numpy(np.stack([table.get(name, zeros) for name in COLUMNS], axis=1).astype(np.float32))
    if not bool(columns.isfinite().all()):
        raise InputError(f"'{path}' holds numbers that are not finite; export it again.")
    return gaussians_from_columns(columns)


def gaussian_columns(gaussians: Gaussians) -> Float[Tensor, "N 17"]:
    """The file's numbers, one row per Gaussian, in the order of `COLUMNS`, on the host.

    Raises:
        InputError: colour of a degree above 0, which would have to be rotated too.
    """
    if gaussians.sh.shape[1] != 1:
        raise InputError("Only splats with degree-0 colour can be written; keep sh[:, :1].")
    turn = matrix_to_quaternion_wxyz(_FILE_FROM_OURS)
    means = gaussians.means.detach().float().cpu()
    quaternions = quaternion_multiply(turn.expand(len(means), 4), gaussians.quaternions_wxyz.detach().float().cpu())
    opacities = gaussians.opacities.detach().double().cpu().clamp(_SMALLEST, 1 - 1e-7)
    columns = [
        means @ _FILE_FROM_OURS.T,
        torch.zeros_like(means),
        gaussians.sh[:, 0].detach().float().cpu(),
        torch.logit(opacities)[:, None].float(),
        gaussians.scales.detach().float().cpu().clamp(min=_SMALLEST).log(),
        quaternions,
    ]
    return torch.cat(columns, dim=1)


def gaussians_from_columns(columns: Float[Tensor, "N 17"]) -> Gaussians:
    """The Gaussians of a file's numbers; inverse of `gaussian_columns`."""
    turn_back = matrix_to_quaternion_wxyz(_FILE_FROM_OURS.T)
    quaternions = columns[:, 13:17]
    # A zero quaternion says nothing: such a Gaussian keeps the file's axes.
    unit = torch.tensor([1.0, 0.0, 0.0, 0.0]).to(columns)
    length = quaternions.norm(dim=1, keepdim=True)
    quaternions = torch.where(length > 1e-12, quaternions / length.clamp(min=1e-12), unit)
    return Gaussians(
        means=columns[:, :3] @ _FILE_FROM_OURS.to(columns),
        scales=columns[:, 10:13].clamp(max=88.0).exp(),
        quaternions_wxyz=quaternion_multiply(turn_back.to(columns).expand(len(columns), 4), quaternions),
        opacities=torch.sigmoid(columns[:, 9]),
        sh=columns[:, None, 6:9],
    )
