"""SceneGen's published ways of doing that the library does not follow, for comparison with published values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor, nn

from scenewright.geometry.frames import ZUP_FROM_YUP
from scenewright.geometry.rotation import compose_similarity, matrix_to_quaternion_wxyz, quaternion_wxyz_to_matrix
from scenewright.systems.scenegen.block import SceneBlock
from scenewright.systems.scenegen.pretrained import SceneGenNetworks
from tests.support.rotations import euler_xyz_deg_to_matrix, transform_points

# Longest side of a published scene.
_PUBLISHED_EXTENT = 1.96


def relative_poses(
    translations: Float[Tensor, "N 3"],
    euler_xyz_deg: Float[Tensor, "N 3"],
    longest_sides: Float[Tensor, " N"],
    order: Int[Tensor, " n"],
) -> Float[Tensor, "n 8"]:
    """Training poses of annotated assets in the frame of the first of `order`.

    Args:
        translations: of the assets in a common y-up frame.
        euler_xyz_deg: extrinsic x-y-z angles in degrees.
        longest_sides: of the raw meshes' boxes.
        order: assets to keep, the query first.

    The quaternion's sign is as `matrix_to_quaternion_wxyz` gives it; compare up to sign.
    """
    order = order.long()
    rotations, sides = euler_xyz_deg_to_matrix(euler_xyz_deg)[order], longest_sides[order]
    query_inverse = rotations[0].T
    offsets = (translations[order] - translations[order[0]]) / sides[0]
    quaternions = matrix_to_quaternion_wxyz(query_inverse @ rotations)
    return torch.cat([offsets @ query_inverse.T, quaternions, sides[:, None] / sides[0]], 1)


@dataclass(frozen=True)
class PublishedAssembly:
    """The scene exactly as the published export writes it, y up, in output order."""

    transforms: Float[Tensor, "N 4 4"]
    vertices: tuple[Float[Tensor, "_ 3"], ...]
    bounds: Float[Tensor, "2 3"]
    positions: Float[Tensor, "N 3"]


def published_assembly(
    poses: Float[Tensor, "N 8"], vertices: Sequence[Float[Tensor, "_ 3"]], order: Sequence[int] | None = None
) -> PublishedAssembly:
    """Transforms of y-up asset meshes as published, for reproducing published evaluation values.

    Two quirks are kept: the frame of the first asset in output order is undone by a transpose, which leaves its squared
    scale in the scene; and the scene is scaled first and then moved by the centre it had before, so that it is not
    centred (subtract the mean of `bounds` to centre it).

    Args:
        poses, vertices: in network order, the query first.
        order: network index of each output asset; None keeps the network's order.
    """
    indices = list(range(len(poses)) if order is None else order)
    up = ZUP_FROM_YUP[:3, :3].to(poses)
    linear = up @ quaternion_wxyz_to_matrix(poses[:, 3:7])
    placed = compose_similarity(linear, poses[:, :3] @ up.T, poses[:, 7])
    placed[0] = compose_similarity(up, poses.new_zeros(3))
    placed = placed[indices]
    positions = placed[:, :3, 3].clone()

    back = placed[0, :3, :3].T
    placed = compose_similarity(back, -back @ placed[0, :3, 3]) @ placed
    moved = [transform_points(matrix, vertices[index]) for matrix, index in zip(placed, indices, strict=True)]
    low, high = torch.cat(moved).amin(0), torch.cat(moved).amax(0)
    normalise = compose_similarity(
        torch.eye(3, dtype=poses.dtype, device=poses.device), -(low + high) / 2, _PUBLISHED_EXTENT / (high - low).max()
    )
    placed = normalise @ placed
    moved = [transform_points(normalise, points) for points in moved]
    everything = torch.cat(moved)
    return PublishedAssembly(placed, tuple(moved), torch.stack([everything.amin(0), everything.amax(0)]), positions)


def published_noise(networks: SceneGenNetworks, num_assets: int, seed: int = 42) -> Float[Tensor, "N C R R R"]:
    """The published start: one draw for all assets, in query order, on the CPU."""
    config = networks.structure_flow.config
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((num_assets, config.in_channels, *[config.resolution] * 3), generator=generator)


def masks_by_grey_level(
    label_picture: Image.Image, order: Literal["order", "smallest", "largest"] = "largest"
) -> Bool[Tensor, "N height width"]:
    """One mask per distinct non-zero 8-bit grey level of a colour-coded mask picture.

    Two colours of equal grey level become one asset (the published behaviour, kept for comparison; `load_masks` tells
    colours apart). `order`: "order" by grey level, "smallest" by area, "largest" exactly the reverse of "smallest".
    """
    grey = np.asarray(label_picture.convert("RGB").convert("L"))
    levels, areas = np.unique(grey[grey > 0], return_counts=True)
    if order != "order":
        levels = levels[np.argsort(areas, kind="stable")]
    if order == "largest":
        levels = levels[::-1]
    return torch.from_numpy(grey == levels[:, None, None])


# Published: a parameter trains when its name contains one of these.
TRAINABLE = (
    "adaLN_modulation_global",
    "global_attn",
    "global_cross_attn",
    "position_head",
    "position_token",
    "register_token",
)


def train_only_scene_parts(flow: nn.Module) -> list[str]:
    """Freezes all that TRELLIS brought (and `norm4`, as published); returns the names that train."""
    for name, parameter in flow.named_parameters():
        parameter.requires_grad_(any(part in name for part in TRAINABLE))
    return [name for name, parameter in flow.named_parameters() if parameter.requires_grad]


def normalize_min_max(points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """2 x: the generator's output cube [-0.5, 0.5]^3 scaled to [-1, 1]^3 about the origin, without re-centring.

    The first of I-Scene's two evaluation normalisations; `normalize_isotropic` is the second.
    """
    return 2 * points


def normalize_scenegen(points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """k x - c with k = 1.96 / longest side and c the centre of the *unscaled* box, as SceneGen exports scenes.

    The offset (k - 1) c stays. Alignment removes it, but FilterReg's fixed variance sees it, so published numbers
    need the same slip on both sides.
    """
    low, high = points.amin(0), points.amax(0)
    return points * (1.96 / (high - low).amax().clamp_min(1e-12)) - (low + high) / 2


@torch.no_grad()
def copy_asset_attention(block: SceneBlock) -> None:
    """The other start (off in the published run): each scene attention is a copy of the asset's own."""
    for scene, asset in ((block.global_attn, block.self_attn), (block.global_cross_attn, block.cross_attn)):
        inherited = asset.state_dict()
        scene.load_state_dict({name: inherited[name] for name in scene.state_dict()})
    if block.adaLN_modulation is not None:
        modulation = block.adaLN_modulation.parameters()
        for scene_part, asset_part in zip(block.adaLN_modulation_global.parameters(), modulation, strict=True):
            scene_part.copy_(asset_part[: len(scene_part)])
