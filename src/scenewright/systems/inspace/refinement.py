"""Assets generated again, each in a cube of its own: cells of centimetres instead of a thirty-second of the room.

    box -> AssetFrame -> asset_cells (structure) and asset_crop (picture) -> sample_assets -> decode -> placed

An asset's coarse cells, resampled to its own grid, are the structure; a perspective picture cut from the panorama and
aimed at the box is the condition. The flows are TRELLIS.2's own ("base"), which know single objects on black, or the
room's ("scene"), which know furnished rooms. A result that does not fill the asset's coarse cells is dropped
(`agreement`), and the room's own asset stays. Ours; the published code has nothing like it.

Legend: N coarse cells, M cells of an asset, S side of the crop, K image tokens. Frames: cube of the room; an asset's
own cube [-0.5, 0.5]^3, axes along its box.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from scenewright.backbones.networks import PublishedNetworks
from scenewright.backbones.trellis2.pretrained import shape_flow, texture_flow
from scenewright.backbones.trellis2.sampling import (
    denormalized,
    latent_noise,
    normalized,
    sample_shape_latent,
    sample_texture_latent,
)
from scenewright.geometry.camera.cubemap import sample_equirect
from scenewright.progress import Advance
from scenewright.samplers.config import SamplerConfig, SamplingOverride
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.systems.inspace.asset_views import box_corners
from scenewright.systems.inspace.composition import RoomMesh
from scenewright.systems.inspace.decoding import decoded_parts
from scenewright.systems.inspace.detail import sample_latent
from scenewright.systems.inspace.detail_flow import DetailFlow
from scenewright.systems.inspace.panorama import RoomInput
from scenewright.systems.inspace.partial_geometry import COARSE_RESOLUTION
from scenewright.systems.inspace.parts import LATENT_RESOLUTION, Part, RoomParts
from scenewright.systems.inspace.view_attention import Reading
from scenewright.types import Mesh

__all__ = [
    "AssetFrame",
    "RefineSettings",
    "RefinedAsset",
    "agreement",
    "asset_cells",
    "asset_crop",
    "assets_to_refine",
    "base_latents",
    "coarse_cells",
    "scene_latents",
]

_WIDEST_TANGENT = math.tan(math.radians(60))
_LEAST_SHARE = 0.01
"""Fewer pixels of a crop than this share belong to no object that can be told from the rest."""


@dataclass(frozen=True)
class RefineSettings:
    """Options of the refinement.

    Attributes:
        flows: the base model's, on a crop that shows the asset alone, or the room's, on the crop as it is.
        sampling: over the base model's published settings.
        margin: side of an asset's cube over the largest side of its box.
        least_agreement: below this agreement with the coarse cells the room's own asset stays.
    """

    flows: Literal["base", "scene"] = "base"
    sampling: SamplingOverride = field(default_factory=SamplingOverride)
    margin: float = 1.05
    least_agreement: float = 0.5


@dataclass(frozen=True)
class AssetFrame:
    """The cube of an asset in the room's: p_room = R(yaw) p side + center."""

    center: tuple[float, float, float]
    yaw: float
    side: float

    @classmethod
    def around(cls, box: Float[Tensor, " 7"], margin: float) -> "AssetFrame":
        """The cube around a box whose largest side, with the margin, fills it."""
        x, y, z = box[:3].tolist()
        return cls((x, y, z), float(box[6]), float(box[3:6].max()) * margin)

    @property
    def rotation(self) -> Float[Tensor, "3 3"]:
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])

    def to_room(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Points of the asset's cube in the room's."""
        return points @ self.rotation.T * self.side + points.new_tensor(self.center)

    def from_room(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Points of the room's cube in the asset's."""
        return (points - points.new_tensor(self.center)) @ self.rotation / self.side

    def placed(self, mesh: Mesh) -> Mesh:
        """A mesh of the asset's cube in the room's."""
        normals = None if mesh.vertex_normals is None else mesh.vertex_normals @ self.rotation.T
        return replace(mesh, vertices=self.to_room(mesh.vertices), vertex_normals=normals)


@dataclass(frozen=True)
class RefinedAsset:
    """One asset to make again: its part, its coarse cells, its cube, its cells there, and the picture of it."""

    part: Part
    coarse: Int[Tensor, "N 3"]
    frame: AssetFrame
    cells: Int[Tensor, "M 3"]
    crop: UInt8[Tensor, "S S 3"]

    def accepted(self, mesh: Mesh | None, settings: RefineSettings) -> RoomMesh | None:
        """A mesh of the asset's cube in the room's; None where it does not fill the asset's coarse cells."""
        placed = None if mesh is None else self.frame.placed(mesh)
        if placed is None or agreement(placed, self.coarse) < settings.least_agreement:
            return None
        return RoomMesh("asset", placed, self.part.box, is_refined=True)


def assets_to_refine(
    room: RoomInput,
    occupied: Int[Tensor, "N 3"],
    parts: RoomParts,
    boxes: Float[Tensor, "A 7"],
    settings: RefineSettings,
    crop_size: int,
    *,
    is_masked: bool,
) -> tuple[RefinedAsset, ...]:
    """All assets of a room that are no crumbs.

    Args:
        occupied: cells of the coarse grid.
        boxes: all boxes; parts name theirs by row.
        crop_size, is_masked: of the pictures (`asset_crop`).
    """
    wanted: list[RefinedAsset] = []
    for part, is_decoded in zip(parts.parts, decoded_parts(parts, "composed"), strict=True):
        if not is_decoded or part.box is None:
            continue
        own, box = coarse_cells(occupied, part), boxes[part.box]
        frame = AssetFrame.around(box, settings.margin)
        crop = asset_crop(room, box, crop_size, is_masked=is_masked)
        wanted.append(RefinedAsset(part, own, frame, asset_cells(own, frame), crop))
    return tuple(wanted)


def coarse_cells(occupied: Int[Tensor, "N 3"], part: Part) -> Int[Tensor, "N2 3"]:
    """The coarse cells of a part: those that its latent cells hold."""
    side, ratio = LATENT_RESOLUTION, COARSE_RESOLUTION // LATENT_RESOLUTION
    own = torch.zeros(side, side, side, dtype=torch.bool)
    own[tuple(part.coords.long().T)] = True
    return occupied[own[tuple((occupied.long() // ratio).T)]]


def asset_cells(
    coarse: Int[Tensor, "N 3"], frame: AssetFrame, resolution: int = LATENT_RESOLUTION, *, grown: int = 1
) -> Int[Tensor, "M 3"]:
    """Cells of the asset's grid that a coarse cell covers or has its centre in, and `grown` around them; lexicographic.

    A structure that only says where to look is grown; one that is the shape is not.
    """
    taken = torch.zeros((COARSE_RESOLUTION,) * 3, dtype=torch.bool)
    taken[tuple(coarse.long().T)] = True
    cells = torch.cartesian_prod(*[torch.arange(resolution)] * 3)
    there = ((frame.to_room((cells + 0.5) / resolution - 0.5) + 0.5) * COARSE_RESOLUTION).floor().long()
    inside = ((there >= 0) & (there < COARSE_RESOLUTION)).all(1)
    grid = torch.zeros((resolution,) * 3)
    grid[tuple(cells[inside][taken[tuple(there[inside].T)]].T)] = 1
    centers = frame.from_room((coarse + 0.5) / COARSE_RESOLUTION - 0.5)
    own = ((centers + 0.5) * resolution).floor().long()
    grid[tuple(own[((own >= 0) & (own < resolution)).all(1)].T)] = 1
    return F.max_pool3d(grid[None, None], 2 * grown + 1, 1, grown)[0, 0].nonzero().int()


def asset_crop(
    room: RoomInput, box: Float[Tensor, " 7"], size: int, *, is_masked: bool, margin: float = 1.1
) -> UInt8[Tensor, "size size 3"]:
    """A perspective picture of the panorama, aimed at a box and just wide enough for it (120 degrees at most).

    Args:
        is_masked: black where the distances show something outside the box; where they are unknown, or show nothing in
            the box, the picture stays whole.
    """
    corners = (box_corners(box[None].double())[0] - room.camera.double()) / room.frame.scale
    ahead = F.normalize(corners.mean(0), dim=0)
    up = ahead.new_tensor([0.0, 0.0, 1.0]) if float(ahead[2].abs()) < 0.99 else ahead.new_tensor([0.0, 1.0, 0.0])
    right = F.normalize(torch.linalg.cross(ahead, up), dim=0)
    up = torch.linalg.cross(right, ahead)
    depth = corners @ ahead
    tangents = torch.stack([corners @ right, corners @ up], 1).abs().amax(1) / depth.clamp(min=1e-6)
    reach = min(margin * float(tangents.max()), _WIDEST_TANGENT) if bool((depth > 0).all()) else _WIDEST_TANGENT
    axis = ((torch.arange(size, dtype=torch.float64) + 0.5) * 2 / size - 1) * reach
    down, across = torch.meshgrid(axis, axis, indexing="ij")
    rays = ahead + across[..., None] * right - down[..., None] * up
    x, y, z = F.normalize(rays, dim=-1).float().unbind(-1)
    directions = torch.stack([x, -z, y], -1)  # OpenCV axes of a camera that looks along +y
    pixels = sample_equirect(room.panorama.rgb.float(), directions).round().clamp(0, 255).byte()
    distance = room.panorama.distance_m
    if not is_masked or distance is None:
        return pixels
    far = sample_equirect(distance.nan_to_num(0, 0, 0).float()[..., None], directions)
    points = torch.stack([x, y, z], -1) * far * room.frame.scale + room.camera
    frame = AssetFrame.around(box, 1.0)
    half = box[3:6] / 2 / frame.side + 1 / COARSE_RESOLUTION / frame.side
    shown = (frame.from_room(points.flatten(0, 1)).abs() <= half).all(1).view(size, size) & (far[..., 0] > 0)
    return pixels if float(shown.float().mean()) < _LEAST_SHARE else pixels * shown[..., None]


def agreement(mesh: Mesh, coarse: Int[Tensor, "N 3"]) -> float:
    """F-score of a mesh's vertices and the coarse cells of its asset, within one cell; 0 where either is empty."""
    if not len(mesh.vertices) or not len(coarse):
        return 0.0
    made = ((mesh.vertices + 0.5) * COARSE_RESOLUTION).floor().long().clamp(0, COARSE_RESOLUTION - 1).unique(dim=0)
    precision, recall = _share_near(made, coarse.long()), _share_near(coarse.long(), made)
    return 2 * precision * recall / max(precision + recall, 1e-9)


def _share_near(cells: Int[Tensor, "N 3"], others: Int[Tensor, "M 3"]) -> float:
    grid = torch.zeros((COARSE_RESOLUTION,) * 3)
    grid[tuple(others.T)] = 1
    near = F.max_pool3d(grid[None, None], 3, 1, 1)[0, 0]
    return float(near[tuple(cells.T)].mean())


@torch.no_grad()
def base_latents(
    base: PublishedNetworks,
    assets: Sequence[RefinedAsset],
    tokens: Sequence[Float[Tensor, "1 K C"]],
    seed: int,
    sampling: SamplingOverride,
    *,
    shapes: Sequence[Float[Tensor, "_ Cs"]] | None = None,
    advance: Advance,
) -> tuple[Float[Tensor, "_ Cz"], ...]:
    """Normalised shape latents of the assets by the base model's flow, or texture latents where shapes are given."""
    stage = "shape" if shapes is None else "texture"
    config, statistics = base.sampler(stage).overridden(sampling), base.statistics(stage)
    latents: list[Tensor] = []
    with base.loaned(shape_flow(512) if shapes is None else texture_flow(512)) as flow:
        for number, (asset, condition) in enumerate(zip(assets, tokens, strict=True)):
            advance(number, len(assets))
            voxels = VoxelSet(F.pad(asset.cells, (1, 0)), 1).to(base.device)
            noise = latent_noise(len(asset.cells), flow.config.out_channels, torch.Generator().manual_seed(seed))
            if shapes is None:
                made = sample_shape_latent(flow, condition, voxels, noise, config, statistics)
            else:
                own = base.statistics("shape")
                shape = denormalized(SparseTensor(shapes[number].to(base.device), voxels), own)
                made = sample_texture_latent(flow, condition, shape, noise, config, statistics, own)
            latents.append(normalized(made, statistics).feats.cpu())
    return tuple(latents)


@torch.no_grad()
def scene_latents(
    flow: DetailFlow,
    assets: Sequence[RefinedAsset],
    tokens: Sequence[Float[Tensor, "1 K C"]],
    seed: int,
    config: SamplerConfig,
    *,
    shapes: Sequence[Float[Tensor, "_ Cs"]] | None = None,
    advance: Advance,
) -> tuple[Float[Tensor, "_ Cz"], ...]:
    """As `base_latents`, by the room's own flow: each asset is a room of one part that reads the whole crop."""
    latents: list[Tensor] = []
    for number, (asset, condition) in enumerate(zip(assets, tokens, strict=True)):
        advance(number, len(assets))
        parts, device = RoomParts((Part("room", asset.cells),)), condition.device
        rows, keys = (torch.arange(count, device=device) for count in (len(asset.cells), condition.shape[1]))
        noise = latent_noise(len(asset.cells), flow.config.out_channels, torch.Generator().manual_seed(seed))
        shape = None if shapes is None else shapes[number].to(device)
        made = sample_latent(flow, parts, [Reading(rows, keys, is_run=True)], condition[0], noise, config, shape=shape)
        latents.append(made.cpu())
    return tuple(latents)
