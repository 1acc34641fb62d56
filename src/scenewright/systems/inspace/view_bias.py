"""Which cube faces a voxel may read: a soft bias in the coarse stage, whole faces or none in the detail stage.

c is the cosine between the direction from the camera to a voxel and a face's axis. Coarse:
b = -1e4 (1 - sigmoid((10 / m) (c - cos(fov / 2) + m / 2))). Detail: c >= cos(fov / 2), and every face where none is.
Source: naver/inspace trellis2/trainers/flow_matching/mixins/erp_image_conditioned.py and
trellis2/utils/asset_attention_mask.py.

Legend: B panoramas, R grid side, N voxels. Faces in the order of `FACE_AXES`; voxels x slowest.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from scenewright.nn.embed import grid_coords
from scenewright.systems.inspace.room_frame import FACE_AXES

__all__ = ["FOV_DEG", "voxel_view_bias", "voxel_view_mask"]

FOV_DEG = 120.0
PUBLISHED_CAMERA_SCALE = 1.0
"""Published weights see voxels in [-1, 1] but the camera in [-0.5, 0.5]; 2 brings both to one frame."""
_HIDDEN = -1e4


def voxel_view_bias(
    camera: Float[Tensor, "B 3"],
    resolution: int,
    *,
    camera_scale: float = PUBLISHED_CAMERA_SCALE,
    fov_deg: float = FOV_DEG,
    margin: float = 0.1,
    is_soft: bool = True,
) -> Float[Tensor, "B cells 6"]:
    """Number added to the attention logits between each voxel and all tokens of each face.

    A voxel exactly at the (scaled) camera has the same bias for all faces, which is none.

    Args:
        camera: position in the cube.
        is_soft: the published transition of width `margin`; else 0 or -1e4.
    """
    voxels = 2 * (grid_coords(resolution).to(camera.device).double() + 0.5) / resolution - 1
    cosines = _cosines(voxels - camera_scale * camera.double()[:, None])
    edge = math.cos(math.radians(fov_deg) / 2)
    if not is_soft:
        return torch.where(cosines >= edge, 0.0, _HIDDEN).float()
    return (_HIDDEN * torch.sigmoid(-(10 / margin) * (cosines - edge + margin / 2))).float()


def voxel_view_mask(
    coords: Shaped[Tensor, "N 3"], camera: Float[Tensor, " 3"], resolution: int = 32, fov_deg: float = FOV_DEG
) -> tuple[Bool[Tensor, "N 6"], Bool[Tensor, " N"]]:
    """Faces whose cone holds each voxel's centre (all six where none does), and where none does.

    With a field of view of 120 degrees that is only a voxel whose centre the camera sits on.
    """
    centers = (coords.double() + 0.5) / resolution - 0.5
    visible = _cosines(centers - camera.double()) >= math.cos(math.radians(fov_deg) / 2) - _ROUNDING
    nothing = ~visible.any(1)
    return visible | nothing[:, None], nothing


# Directions exactly on a cone's rim belong to it whatever the last digit of the cosine.
_ROUNDING = 1e-12


def _cosines(offsets: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 6"]:
    return F.normalize(offsets, dim=-1, eps=1e-12) @ offsets.new_tensor(FACE_AXES).T
