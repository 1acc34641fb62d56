"""A room's furniture with mini weights, each object in a cube of its own: its structure, its surface, its place.

    boxes -> Furniture.structures (from distances, I-Scene's flow completes the hidden side) -> Furniture.meshes
    coarse cells of the detail stage's assets -> Furniture.refined

Legend: A boxes, N cells, P side of the small pictures, R resolution. Frames: world around the camera; the room's cube.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from scenewright.backbones.structure_vae import StructureEncoder
from scenewright.errors import InputError
from scenewright.geometry.mesh.finish import finish_mesh
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.progress import Advance, Progress
from scenewright.rendering.preview import preview_still
from scenewright.rendering.sheet import picture_sheet
from scenewright.samplers.config import SamplerConfig
from scenewright.systems.assembly.structures import PlacedStructures, object_generator
from scenewright.systems.inspace import stage_pictures
from scenewright.systems.inspace.box_decoding import FoundBoxes
from scenewright.systems.inspace.composition import RoomMesh
from scenewright.systems.inspace.panorama import RoomInput
from scenewright.systems.inspace.refinement import AssetFrame, agreement, asset_cells
from scenewright.systems.inspace.room_frame import RoomFrame
from scenewright.systems.inspace.stage_files import StageFiles
from scenewright.systems.iscene.structure_flow import SceneContextFlow
from scenewright.systems.mini.latent_decoder import LatentDecoder
from scenewright.systems.mini.networks import MiniNetworks
from scenewright.systems.mini.occupancy import outer_shell
from scenewright.systems.mini.panorama_objects import ObjectCrop, object_crop, sampled_shapes, shape_of
from scenewright.systems.mini.sizes import RESOLUTION
from scenewright.types import Mesh, Scene, SceneObject

__all__ = ["Furniture", "FurnitureSettings", "Structure"]


@dataclass(frozen=True)
class FurnitureSettings:
    """Options of objects in cubes of their own; chosen on made rooms (docs/mini.md).

    Attributes:
        samples: of every object's structure, averaged.
        likely: share of the samples that must hold a hidden cell for occupied.
        start: flow time at which an object's structure starts, as what is seen or hidden of it mixed with noise.
        min_pixels: objects that fewer pixels show are left out.
        least_agreement: as of `RefineSettings`.
    """

    samples: int = 2
    likely: float = 0.5
    start: float = 0.7
    sampler: SamplerConfig = field(default_factory=lambda: SamplerConfig(steps=3, guidance_strength=0.0, rescale_t=3.0))
    min_pixels: int = 60
    least_agreement: float = 0.5


@dataclass(frozen=True)
class Structure:
    """One object's cells in a cube of its own, and its picture."""

    coords: Int[Tensor, "N 3"]
    world_from_cube: Float[Tensor, "4 4"]
    picture: Float[Tensor, "4 P P"]


@dataclass(frozen=True)
class Furniture:
    """Networks and options for the objects of one room."""

    objects: MiniNetworks
    structure_encoder: StructureEncoder
    decoder: LatentDecoder
    settings: FurnitureSettings
    finish: FinishOptions
    stages: StageFiles

    def structures(
        self, room: RoomInput, found: FoundBoxes, seed: int, progress: Progress
    ) -> list[tuple[int, Structure]]:
        """Boxes that show something, by row, and the structure of each, from what is seen and hidden of it."""

        def make() -> tuple[tuple[int, Structure], ...]:
            advance = progress.stage("objects")
            crops: list[tuple[int, ObjectCrop]] = []
            for row, box in enumerate(found.boxes):
                crop = _crop(room, box)
                if crop.pixels >= self.settings.min_pixels and bool(crop.seen.any()):
                    crops.append((row, crop))
                advance(row + 1, len(found.boxes))
            if not crops:
                return ()
            rows, advance = [row for row, _ in crops], progress.stage("samples")
            likely = self._likely([crop for _, crop in crops], rows, seed, advance)
            return tuple(
                (
                    row,
                    Structure(
                        shape_of(crop, grid, self.settings.likely).nonzero().int(), crop.world_from_cube, crop.picture
                    ),
                )
                for (row, crop), grid in zip(crops, likely, strict=True)
            )

        inputs = (room, found, self.settings, seed)
        return list(self.stages.kept("structures", inputs, tuple, make, _structure_picture))

    def refined(
        self,
        room: RoomInput,
        found: FoundBoxes,
        coarse: Mapping[int, Int[Tensor, "_ 3"]],
        seed: int,
        progress: Progress,
    ) -> dict[int, RoomMesh]:
        """Objects whose structure is their coarse cells, by their box, but for those that do not fill these cells."""
        structures = []
        for row, cells in coarse.items():
            crop = _crop(room, found.boxes[row])
            if crop.pixels < self.settings.min_pixels:
                continue
            own = asset_cells(cells, _frame_of(crop.world_from_cube, room.frame), RESOLUTION, grown=0)
            structures.append((row, Structure(own, crop.world_from_cube, crop.picture)))
        made = {item.box: item for item in self.meshes(room, structures, seed, progress, name="refined")}
        return {
            row: replace(item, is_refined=True)
            for row, item in made.items()
            if row is not None and agreement(item.mesh, coarse[row]) >= self.settings.least_agreement
        }

    def meshes(
        self,
        room: RoomInput,
        structures: Sequence[tuple[int, Structure]],
        seed: int,
        progress: Progress,
        *,
        name: str = "assets",
    ) -> list[RoomMesh]:
        """Finished surfaces in the room's cube; `name` is that of the stage's file."""
        if not structures:
            return []

        def make() -> tuple[tuple[int, Mesh], ...]:
            items = [item for _, item in structures]
            placed = PlacedStructures(
                coords=tuple(item.coords for item in items),
                resolution=RESOLUTION,
                world_from_object=torch.stack([item.world_from_cube for item in items]),
                tokens=self.objects.conditioner(torch.stack([item.picture for item in items]))[None],
                pictures=tuple(_image(item.picture) for item in items),
            )
            names = [str(row) for row, _ in structures]
            raw = self.decoder.decode(
                placed, lambda index, stage: object_generator(seed, names[index], stage), progress=progress
            )
            advance = progress.stage("finish")
            meshes = []
            for number, ((row, item), made) in enumerate(zip(structures, raw, strict=True)):
                advance(number, len(structures))
                if made is None or not len(made.surface.faces):
                    continue
                try:
                    mesh = finish_mesh(made.surface, made.field, self.finish)
                except InputError:  # nothing is left of crumbs
                    continue
                meshes.append((row, _frame_of(item.world_from_cube, room.frame).placed(mesh)))
            return tuple(meshes)

        inputs = (tuple(structures), room.frame, self.finish, seed)
        kept = self.stages.kept(name, inputs, tuple, make, _mesh_picture)
        return [RoomMesh("asset", mesh, row) for row, mesh in kept]

    @torch.no_grad()
    def _likely(
        self, crops: Sequence[ObjectCrop], rows: Sequence[int], seed: int, advance: Advance
    ) -> Float[Tensor, "A R R R"]:
        """Likelihood of every cell, by samples that start from the shell of what is seen or hidden."""
        settings, flow = self.settings, cast(SceneContextFlow, self.objects.flow)
        tokens = self.objects.conditioner(torch.stack([crop.picture for crop in crops]))
        shells = [torch.from_numpy(outer_shell((crop.seen | crop.hidden).numpy())) for crop in crops]
        partial = self.structure_encoder(torch.stack(shells)[:, None].float())[0]
        generators = [object_generator(seed, str(row), "structure") for row in rows]
        shape = (flow.scene_config.num_slots, *partial.shape[1:])
        total = torch.zeros(len(crops), *shells[0].shape)
        for number in range(settings.samples):
            noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
            total += sampled_shapes(
                flow,
                self.objects.structure_decoder,
                tokens,
                noise,
                settings.sampler,
                partial=partial,
                start=settings.start,
            )
            advance(number + 1, settings.samples)
        return total / settings.samples


def _crop(room: RoomInput, box: Float[Tensor, " 7"]) -> ObjectCrop:
    in_metres = box.clone()
    in_metres[:3] = room.frame.to_world(box[:3])
    in_metres[3:6] /= room.frame.scale
    return object_crop(room.panorama, in_metres, -room.camera_height_m)


def _frame_of(world_from_cube: Float[Tensor, "4 4"], frame: RoomFrame) -> AssetFrame:
    """An object's cube in the room's."""
    x, y, z = frame.to_cube(world_from_cube[:3, 3]).tolist()
    yaw = math.atan2(float(world_from_cube[1, 0]), float(world_from_cube[0, 0]))
    return AssetFrame((x, y, z), yaw, float(world_from_cube[:3, 0].norm()) * frame.scale)


def _image(picture: Float[Tensor, "4 P P"]) -> Image.Image:
    return Image.fromarray((picture[:3] * 255).round().byte().permute(1, 2, 0).numpy())


def _structure_picture(structures: Iterable[tuple[int, Structure]]) -> Image.Image:
    """Each object's picture, and its cells from above and level."""
    given = list(structures)
    rows = [[_image(item.picture), stage_pictures.cell_picture(item.coords, RESOLUTION)] for _, item in given]
    names = tuple(f"box {row}" for row, _ in given)
    return picture_sheet(rows, row_labels=names, cell=192) if rows else Image.new("L", (8, 8), 255)


def _mesh_picture(meshes: Iterable[tuple[int, Mesh]]) -> Image.Image:
    """The finished objects in the room's cube, from above their front."""
    objects = tuple(SceneObject(f"box {row}", (mesh,), world_from_object=torch.eye(4)) for row, mesh in meshes)
    return preview_still(Scene(objects)) if objects else Image.new("L", (8, 8), 255)
