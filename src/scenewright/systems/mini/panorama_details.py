"""InSpace's detail stage with mini weights: all parts of a room at once, on a grid of 256 voxels.

    coarse cells, boxes -> room_parts -> guessed_parts (closed surfaces of the parts' cells, and their latents)
                        -> DetailStage.room (starts from these latents) -> MiniPartDecoder (each part)

As with single objects (`latent_decoder`), a small network does better with something to start from than from noise.

Legend: N coarse cells, A boxes, T tokens of all parts. Frame: the room's cube.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.backbones.trellis2.decoding import decode_materials, decode_shape, object_surface
from scenewright.backbones.trellis2.sampling import denormalized, normalized
from scenewright.backbones.trellis2.shape_vae import shape_features
from scenewright.errors import EmptyStructureError
from scenewright.geometry.mesh.surface_color import VoxelField
from scenewright.geometry.ovoxel.dual_grid import mesh_to_dual_grid
from scenewright.sparse.tensor import SparseTensor, VoxelSet, packed_voxels
from scenewright.systems.inspace.asset_views import FaceTokens
from scenewright.systems.inspace.detail_flow import DetailFlow
from scenewright.systems.inspace.detail_stage import DrawnPart
from scenewright.systems.inspace.partial_geometry import COARSE_RESOLUTION
from scenewright.systems.inspace.parts import (
    LATENT_RESOLUTION,
    Part,
    RoomParts,
    cells_in_boxes,
    layout_cells,
    room_parts,
)
from scenewright.systems.inspace.refinement import coarse_cells
from scenewright.systems.mini.latent_decoder import drawn_onto
from scenewright.systems.mini.networks import LatentNetworks, detail_files, load_detail_flow
from scenewright.systems.mini.sizes import NUM_TOKENS, ROOM_FACE_SIZE, ROOM_VOXELS
from scenewright.systems.mini.surface import surface_of_voxels
from scenewright.types import Mesh

__all__ = ["FACE_TOKENS", "Guess", "GuessedAsset", "MiniDetailFlows", "MiniPartDecoder", "guessed_parts"]

_PUBLISHED = FaceTokens()
FACE_TOKENS = FaceTokens(
    image_size=ROOM_FACE_SIZE,
    patch_size=ROOM_FACE_SIZE // round(NUM_TOKENS**0.5),
    num_special=0,
    expand_px=_PUBLISHED.expand_px * ROOM_FACE_SIZE / _PUBLISHED.image_size,
)
"""Tokens of mini's conditioner; the margin of a box is the published share of a face."""


@dataclass(frozen=True)
class MiniDetailFlows:
    """Mini's two detail flows, each loaded when it is asked for."""

    folder: Path | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def source(self) -> str:
        return "mini" if self.folder is None else f"mini ({self.folder})"

    @property
    def files(self) -> dict[str, Path]:
        return detail_files(self.folder)

    def shape_flow(self) -> DetailFlow:
        """The flow of shape latents."""
        return load_detail_flow("room_shape_flow", self.folder, self.device)

    def texture_flow(self) -> DetailFlow:
        """The flow of texture latents."""
        return load_detail_flow("room_texture_flow", self.folder, self.device)


@dataclass(frozen=True)
class GuessedAsset:
    """Coarse cells of the asset of a box, and their smoothed surface."""

    box: int
    cells: Int[Tensor, "N 3"]
    surface: Mesh


@dataclass(frozen=True)
class Guess:
    """Parts on the cells that smoothed surfaces of their coarse cells cross, and the surfaces' normalised latents."""

    parts: RoomParts
    latent: Float[Tensor, "T C"]
    assets: tuple[GuessedAsset, ...] = ()


@torch.no_grad()
def guessed_parts(networks: LatentNetworks, occupied: Int[Tensor, "N 3"], boxes: Float[Tensor, "A 7"]) -> Guess:
    """The smoothed surfaces of the coarse cells of layout and assets, as a start for the detail stage.

    An asset's cells are those that its box reaches, above the layer of the floor: the faces of a box run through cells
    whose middles may lie outside. Assets that have none are left out, and so is the part of the whole room.

    Args:
        occupied: cells of the coarse grid.

    Raises:
        EmptyStructureError: no cell is occupied.
    """
    parts = room_parts(occupied, _grown(boxes, LATENT_RESOLUTION), "floor_perimeter")
    floor = layout_cells(occupied)[1]
    kept: list[tuple[Part, Mesh]] = []
    assets: list[GuessedAsset] = []
    for part in parts.parts:
        if part.kind == "room":
            continue
        cells = coarse_cells(occupied, part)
        if part.box is not None:
            box = _grown(boxes[part.box][None], COARSE_RESOLUTION)
            inside = cells_in_boxes(cells, box, COARSE_RESOLUTION)[0]
            cells = cells[inside & (cells[:, 2] > floor)]
        surface = surface_of_voxels(cells, COARSE_RESOLUTION)
        if surface is not None:
            kept.append((part, surface))
            if part.box is not None:
                assets.append(GuessedAsset(part.box, cells, surface))
    nothing = Part("room", occupied.new_zeros(0, 3))
    if not kept:
        return Guess(RoomParts((nothing,)), torch.zeros(0, networks.shape_flow.config.in_channels))
    grids = [mesh_to_dual_grid(surface, ROOM_VOXELS) for _, surface in kept]
    features = shape_features(
        packed_voxels([grid.coords for grid in grids], networks.device),
        torch.cat([grid.dual_vertices for grid in grids]).to(networks.device),
        torch.cat([grid.intersected for grid in grids]).to(networks.device),
    )
    latent = normalized(networks.shape_encoder(features).mean, networks.statistics["shape"])
    latent_cells = latent.coords[:, 1:].cpu().split(list(latent.voxels.lengths))
    found = [Part(part.kind, rows, part.box) for (part, _), rows in zip(kept, latent_cells, strict=True)]
    return Guess(RoomParts((nothing, *found)), latent.feats.cpu(), tuple(assets))


def _grown(boxes: Float[Tensor, "A 7"], resolution: int) -> Float[Tensor, "A 7"]:
    """Boxes that hold the middles of the cells that they reach."""
    return torch.cat([boxes[:, :3], boxes[:, 3:6] + 1 / resolution, boxes[:, 6:]], 1)


@dataclass(frozen=True)
class MiniPartDecoder:
    """Mini's decoders on the room's grid; an asset's closed surface of cells is drawn onto the decoded one.

    Args:
        surfaces: of the assets' cells, by their box; an asset without one keeps the decoded surface.
    """

    networks: LatentNetworks
    surfaces: Mapping[int, Mesh]
    source: str = "mini"

    @torch.no_grad()
    def draw(self, part: Part, shape: Float[Tensor, "T C"], texture: Float[Tensor, "T C2"]) -> DrawnPart | None:
        """See `PartDecoder.draw`."""
        networks = self.networks
        voxels = VoxelSet(torch.nn.functional.pad(part.coords, (1, 0)), 1).to(networks.device)
        latent = denormalized(SparseTensor(shape.to(networks.device), voxels), networks.statistics["shape"])
        try:
            grids, pyramid = decode_shape(networks.shape_decoder, latent, ROOM_VOXELS)
            guess = None if part.box is None else self.surfaces.get(part.box)
            surface = object_surface(grids[0]) if guess is None else drawn_onto(guess, grids[0])
        except EmptyStructureError:
            return None
        latent = denormalized(SparseTensor(texture.to(networks.device), voxels), networks.statistics["texture"])
        materials = decode_materials(networks.texture_decoder, latent, pyramid, ROOM_VOXELS)[0]
        return DrawnPart(surface, VoxelField(materials))
