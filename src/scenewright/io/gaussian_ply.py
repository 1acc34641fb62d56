"""Gaussian splats as PLY, in the column layout of 3D Gaussian splatting tools.

Columns: x y z nx ny nz f_dc_0..2 [f_rest_*] opacity scale_0..2 rot_0..3, float32 little-endian; opacities are stored
as logits, scales as natural logarithms, quaternions as (w, x, y, z), normals are zero. `f_rest` holds the colour's
higher spherical harmonics, all of red first, where there are any (graphdeco-inria/gaussian-splatting).

Frame: files hold (x, -z, y) of our coordinates, rotations turned alike, as TRELLIS writes them (docs/conventions.md).
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.frames import ZUP_FROM_YUP
from scenewright.geometry.rotation import decompose_similarity, matrix_to_quaternion_wxyz, quaternion_multiply
from scenewright.geometry.spherical_harmonics import rotate_harmonics
from scenewright.io.atomic import write_bytes
from scenewright.io.format import Format
from scenewright.io.ply import has_property, read_vertices, vertex_ply_bytes
from scenewright.types import Gaussians, Scene, SceneObject

__all__ = [
    "COLUMNS",
    "SPLAT_PLY",
    "gaussian_columns",
    "gaussians_from_columns",
    "load_gaussian_ply",
    "merged_splats",
    "save_gaussian_ply",
]

_BEFORE = ("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2")
_AFTER = ("opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3")
COLUMNS = (*_BEFORE, *_AFTER)
# The file is turned the other way round than a y-up file would be.
_FILE_FROM_OURS = ZUP_FROM_YUP[:3, :3].float()
# Coefficients beyond the first, of three colours, of degrees 1 to 3.
_NUM_REST = (9, 24, 45)
_FURTHEST_LOGIT = 88.0
_SMALLEST = torch.finfo(torch.float32).tiny


def save_gaussian_ply(gaussians: Gaussians, path: str | Path) -> Path:
    """Write `gaussians` to `path`, whole or not at all; returns the path.

    Raises:
        InputError: the folder cannot be written.
    """
    rows = gaussian_columns(gaussians)
    names = (*_BEFORE, *_rest(rows.shape[1] - len(COLUMNS)), *_AFTER)
    return write_bytes(path, vertex_ply_bytes(names, rows.numpy()))


def _rest(count: int) -> list[str]:
    return [f"f_rest_{index}" for index in range(count)]


def load_gaussian_ply(path: str | Path) -> Gaussians:
    """The Gaussians in a PLY file of the usual columns, with spherical harmonics up to degree 3.

    Raises:
        InputError: the file is missing or damaged, lacks a column, or holds numbers that are not finite.
    """
    table = read_vertices(path)
    needed = [name for name in COLUMNS if name not in ("nx", "ny", "nz")]
    lacking = [name for name in needed if name not in table]
    if lacking:
        raise InputError(f"'{path}' is not a Gaussian PLY: it lacks the column '{lacking[0]}'.")
    zeros = np.zeros_like(table["x"])
    table["opacity"] = table["opacity"].clip(-_FURTHEST_LOGIT, _FURTHEST_LOGIT)  # an opacity of 1 is infinite there
    num_rest = sum(name.startswith("f_rest_") for name in table)
    names = (*_BEFORE, *_rest(num_rest if num_rest in _NUM_REST else 0), *_AFTER)
    columns = torch.from_numpy(np.stack([table.get(name, zeros) for name in names], axis=1).astype(np.float32))
    if not bool(columns.isfinite().all()):
        raise InputError(f"'{path}' holds numbers that are not finite; export it again.")
    return gaussians_from_columns(columns)


def gaussian_columns(gaussians: Gaussians) -> Float[Tensor, "N C"]:
    """The file's numbers, one row per Gaussian, on the host: `COLUMNS`, with `f_rest` before the opacity."""
    turn = matrix_to_quaternion_wxyz(_FILE_FROM_OURS)
    sh = rotate_harmonics(gaussians.sh.detach().float().cpu(), _FILE_FROM_OURS)
    means = gaussians.means.detach().float().cpu()
    quaternions = quaternion_multiply(turn.expand(len(means), 4), gaussians.quaternions_wxyz.detach().float().cpu())
    opacities = gaussians.opacities.detach().double().cpu().clamp(_SMALLEST, 1 - 1e-7)
    columns = [
        means @ _FILE_FROM_OURS.T,
        torch.zeros_like(means),
        sh[:, 0],
        sh[:, 1:].mT.flatten(1),
        torch.logit(opacities)[:, None].float(),
        gaussians.scales.detach().float().cpu().clamp(min=_SMALLEST).log(),
        quaternions,
    ]
    return torch.cat(columns, dim=1)


def gaussians_from_columns(columns: Float[Tensor, "N C"]) -> Gaussians:
    """The Gaussians of a file's numbers; inverse of `gaussian_columns`."""
    turn_back = matrix_to_quaternion_wxyz(_FILE_FROM_OURS.T)
    dc, rest, opacities, scales, quaternions = columns[:, 6:].split([3, columns.shape[1] - len(COLUMNS), 1, 3, 4], 1)
    sh = torch.cat([dc[:, None], rest.unflatten(1, (3, -1)).mT], 1)
    # A zero quaternion says nothing: such a Gaussian keeps the file's axes.
    unit = torch.tensor([1.0, 0.0, 0.0, 0.0]).to(columns)
    length = quaternions.norm(dim=1, keepdim=True)
    quaternions = torch.where(length > 1e-12, quaternions / length.clamp(min=1e-12), unit)
    return Gaussians(
        means=columns[:, :3] @ _FILE_FROM_OURS.to(columns),
        scales=scales.clamp(max=88.0).exp(),
        quaternions_wxyz=quaternion_multiply(turn_back.to(columns).expand(len(columns), 4), quaternions),
        opacities=torch.sigmoid(opacities[:, 0]),
        sh=rotate_harmonics(sh, _FILE_FROM_OURS.T),
    )


def merged_splats(scene: Scene) -> Gaussians:
    """All splats of the scene as one set in the world frame, view-dependent colour turned along.

    Raises:
        InputError: no object of the scene has splats.
    """
    placed = [
        _placed(scene_object.splats, scene_object.world_from_object)
        for scene_object in scene.objects
        if scene_object.splats is not None
    ]
    if not placed:
        raise InputError("The scene has no splats, so there is nothing to write; choose a format of meshes.")
    num_coefficients = max(splats.sh.shape[1] for splats in placed)
    # Colour that does not depend on the view is colour whose higher coefficients are zero.
    padded = [torch.nn.functional.pad(s.sh, (0, 0, 0, num_coefficients - s.sh.shape[1])) for s in placed]
    return Gaussians(
        means=torch.cat([splats.means for splats in placed]),
        scales=torch.cat([splats.scales for splats in placed]),
        quaternions_wxyz=torch.cat([splats.quaternions_wxyz for splats in placed]),
        opacities=torch.cat([splats.opacities for splats in placed]),
        sh=torch.cat(padded),
    )


def _placed(splats: Gaussians, world_from_object: Float[Tensor, "4 4"]) -> Gaussians:
    rotation, translation, scale = decompose_similarity(world_from_object.to(splats.means))
    turn = matrix_to_quaternion_wxyz(rotation)
    return Gaussians(
        means=scale * splats.means @ rotation.T + translation,
        scales=scale * splats.scales,
        quaternions_wxyz=quaternion_multiply(turn.expand(len(splats.means), 4), splats.quaternions_wxyz),
        opacities=splats.opacities,
        sh=rotate_harmonics(splats.sh, rotation),
    )


SPLAT_PLY = Format(
    name="splats as PLY",
    suffix=".ply",
    holds=frozenset({"splats"}),
    reader=lambda path: Scene((SceneObject(path.stem, splats=load_gaussian_ply(path)),)),
    write=lambda scene, path: save_gaussian_ply(merged_splats(scene), path),
    recognises=lambda path: has_property(path, "f_dc_0"),
)
