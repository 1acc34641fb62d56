"""The detail stage of a room, kept stage by stage: latents of all its parts, then finished meshes of those to show.

    RoomParts -> DetailStage.room (shape, then texture) -> DetailStage.meshes -> RoomMesh of every part

Which networks make the latents and which decoder draws them is the caller's; published and mini weights take the same
way. Noise is drawn on the CPU, for either latent from the seed anew, as the published demo does.

Legend: T tokens of all parts, K image tokens, C channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from scenewright.backbones.trellis2.sampling import latent_noise
from scenewright.errors import EmptyStructureError
from scenewright.geometry.mesh.finish import finish_mesh
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.geometry.mesh.parts import select_faces
from scenewright.geometry.mesh.surface_color import AttributeField
from scenewright.progress import Progress
from scenewright.samplers.flow import interpolate
from scenewright.systems.inspace import stage_pictures
from scenewright.systems.inspace.asset_views import FaceTokens
from scenewright.systems.inspace.box_decoding import FoundBoxes
from scenewright.systems.inspace.composition import LayoutForm, RoomMesh, without_assets
from scenewright.systems.inspace.decoding import decoded_parts, face_budget
from scenewright.systems.inspace.detail import DetailSettings, room_reading, sample_latent
from scenewright.systems.inspace.detail_flow import DetailFlow
from scenewright.systems.inspace.parts import Part, RoomParts
from scenewright.systems.inspace.stage_files import StageFiles
from scenewright.types import Mesh

__all__ = ["DetailFlows", "DetailRoom", "DetailStage", "DrawnPart", "PartDecoder"]


@runtime_checkable
class DetailFlows(Protocol):
    """The two flows, each loaded when it is asked for; `source` names them."""

    @property
    def source(self) -> str: ...

    def shape_flow(self) -> DetailFlow: ...

    def texture_flow(self) -> DetailFlow: ...


@dataclass(frozen=True)
class DrawnPart:
    """A raw surface in the room's cube and what colours it."""

    surface: Mesh
    field: AttributeField


@runtime_checkable
class PartDecoder(Protocol):
    """Surfaces of parts from their normalised latents; `source` names the networks."""

    @property
    def source(self) -> str: ...

    def draw(self, part: Part, shape: Float[Tensor, "T C"], texture: Float[Tensor, "T C2"]) -> DrawnPart | None:
        """The part in place, on the CPU; None where it has no surface."""
        ...


@dataclass(frozen=True)
class DetailRoom:
    """The detail stage's result: parts, and the normalised latents of all their tokens."""

    parts: RoomParts
    shape: Float[Tensor, "T C"]
    texture: Float[Tensor, "T C2"]


@dataclass(frozen=True)
class DetailStage:
    """The stage for one room.

    Attributes:
        finish: of every part, whose kind has a published face budget besides.
    """

    flows: DetailFlows
    decoder: PartDecoder
    settings: DetailSettings
    finish: FinishOptions
    layout: LayoutForm
    stages: StageFiles

    def room(
        self,
        parts: RoomParts,
        found: FoundBoxes,
        tokens: Float[Tensor, "6 K C"],
        camera: Float[Tensor, " 3"],
        faces: FaceTokens,
        seed: int,
        progress: Progress,
        *,
        guess: Float[Tensor, "T Cz"] | None = None,
    ) -> DetailRoom:
        """Latents of all parts.

        Args:
            found: all boxes; asset parts name theirs by row.
            tokens: of the six faces, on the device of the flows.
            faces: sizes of these tokens.
            guess: normalised shape latent that sampling starts from at the settings' time; None starts from noise.
        """
        settings, image = self.settings, tokens.flatten(0, 1)
        boxes = found.boxes[list(parts.boxes)]
        readings = [
            reading.to(tokens.device)
            for reading in room_reading(parts, boxes, camera, faces, settings.cross_attention_rows)
        ]
        inputs: tuple[object, ...] = (parts, found.boxes, image, camera, settings, seed, self.flows.source)
        inputs = inputs if guess is None else (*inputs, guess)

        def sampled(flow: DetailFlow, stage: str, shape: Tensor | None) -> Tensor:
            channels = flow.config.in_channels if shape is None else flow.config.out_channels
            state, start = latent_noise(len(parts.coords), channels, torch.Generator().manual_seed(seed)), 1.0
            config = settings.sampler if shape is None else settings.texture_sampler or settings.sampler
            if guess is not None and shape is None:
                start = settings.start
                state = interpolate(guess, state, start, config.sigma_min)
            advance, given = progress.stage(stage), None if shape is None else shape.to(image.device)
            return sample_latent(
                flow, parts, readings, image, state, config, shape=given, start_time=start, advance=advance
            ).cpu()

        def draw(latent: Tensor) -> Image.Image:
            return stage_pictures.latent_picture(parts.coords, latent)

        shape = self.stages.kept("shape", inputs, Tensor, lambda: sampled(self.flows.shape_flow(), "shape", None), draw)
        texture = self.stages.kept(
            "texture", (inputs, shape), Tensor, lambda: sampled(self.flows.texture_flow(), "texture", shape), draw
        )
        return DetailRoom(parts, shape, texture)

    def meshes(
        self, detail: DetailRoom, found: FoundBoxes, refined: Mapping[int, RoomMesh], progress: Progress
    ) -> list[RoomMesh]:
        """Finished surfaces of the parts that a composed scene needs: assets first, then the layout without them.

        Args:
            refined: assets that are there already, by their box.

        Raises:
            EmptyStructureError: no part has a surface.
        """
        parts = detail.parts
        rows = list(zip(parts.parts, parts.split(detail.shape), parts.split(detail.texture), strict=True))
        shown = decoded_parts(parts, "composed")
        wanted = [row for row, is_shown in zip(rows, shown, strict=True) if is_shown or row[0].box in refined]
        wanted.sort(key=lambda row: row[0].kind == "layout")
        advance = progress.stage("decode")
        meshes: list[RoomMesh] = []
        for number, (part, shape, texture) in enumerate(wanted):
            advance(number, len(wanted))
            if part.kind == "layout" and self.layout == "planes":
                continue
            if part.box is not None and part.box in refined:
                meshes.append(refined[part.box])
                continue
            name = part.kind if part.box is None else f"asset_{part.box:03d}"
            mesh = self.mesh(part, shape, texture, meshes, found, name=name)
            if mesh is not None:
                meshes.append(RoomMesh(part.kind, mesh, part.box))
        if not meshes and self.layout == "generated":
            raise EmptyStructureError("No part of the room has a surface; try another seed.")
        return meshes

    def mesh(
        self, part: Part, shape: Tensor, texture: Tensor, assets: Sequence[RoomMesh], found: FoundBoxes, *, name: str
    ) -> Mesh | None:
        """The finished surface of a part, or None where there is none; a layout is cut free of the assets.

        Args:
            name: of its stage file.
        """
        finish = replace(self.finish, max_faces=min(self.finish.max_faces, face_budget(part)))
        cut = [item for item in assets if item.box is not None] if part.kind == "layout" else []

        def make() -> tuple[Mesh, ...]:
            drawn = self.decoder.draw(part, shape, texture)
            if drawn is None:
                return ()
            surface = drawn.surface
            if cut:
                boxes = found.boxes[[item.box for item in cut if item.box is not None]]
                surface = select_faces(surface, without_assets(surface, [item.mesh for item in cut], boxes))
            return (finish_mesh(surface, drawn.field, finish),) if len(surface.faces) else ()

        def picture(meshes: tuple[Mesh, ...]) -> Image.Image:
            return stage_pictures.mesh_picture(meshes[0]) if meshes else Image.new("L", (8, 8), 255)

        inputs = (part, shape, texture, finish, cut, self.decoder.source)
        kept: Any = self.stages.kept(name, inputs, tuple, make, picture)
        return kept[0] if kept else None
