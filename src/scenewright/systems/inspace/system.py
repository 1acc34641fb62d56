"""InSpace as a scene system: one panorama in, a furnished room of separate objects out.

    panorama (-> estimated_distance) -> room_input -> encode_faces -> sample_coarse -> boxes -> room_parts
             -> sample_latent (shape, texture) -> decode_part (each) -> finish -> compose_room -> Scene

Every arrow is a function; what it gives can be kept in a folder, edited, and continued from (`stage_files`).
Noise is drawn on the CPU, in every stage from the seed anew, as the published demo does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

import scenewright
from scenewright.backbones.networks import NetworkKey, PublishedNetworks
from scenewright.backbones.trellis2.pretrained import (
    SHAPE_DECODER,
    STRUCTURE_DECODER,
    TEXTURE_DECODER,
    shape_flow,
    texture_flow,
)
from scenewright.backbones.trellis2.sampling import structure_noise
from scenewright.encoders.dinov3 import Dinov3
from scenewright.errors import InputError
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.geometry.mesh.surface_color import VoxelField
from scenewright.progress import SILENT, Progress
from scenewright.systems.inspace import stage_pictures
from scenewright.systems.inspace.asset_views import FaceTokens
from scenewright.systems.inspace.box_decoding import BoxDecoding, FoundBoxes, decode_boxes
from scenewright.systems.inspace.coarse import (
    CoarseSettings,
    coarse_occupancy,
    encode_faces,
    encode_partial_geometry,
    sample_coarse,
)
from scenewright.systems.inspace.composition import LayoutForm, RoomMesh, compose_room
from scenewright.systems.inspace.detail import DetailSettings, decode_part
from scenewright.systems.inspace.detail_stage import DetailRoom, DetailStage, DrawnPart
from scenewright.systems.inspace.panorama import Panorama, PanoramaSettings, RoomInput, room_input
from scenewright.systems.inspace.panorama_depth import DepthModel, EstimatedDistance
from scenewright.systems.inspace.partial_geometry import COARSE_RESOLUTION
from scenewright.systems.inspace.parts import Part, RoomParts, room_parts
from scenewright.systems.inspace.pretrained import InSpaceWeights
from scenewright.systems.inspace.refinement import (
    RefinedAsset,
    RefineSettings,
    assets_to_refine,
    base_latents,
    scene_latents,
)
from scenewright.systems.inspace.stage_files import StageFiles
from scenewright.systems.inspace.weights import FOLDERS
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.systems.system import Views
from scenewright.types import Camera, Mesh, Scene, View
from scenewright.weights.hub import sha256_of

__all__ = ["InSpace", "InSpaceSettings", "panorama_of", "with_distances"]


@dataclass(frozen=True)
class InSpaceSettings:
    """Options of a room; defaults are the published run's where there is one.

    Attributes:
        finish: of every part, whose kind has a published face budget besides.
        refine: how assets are made again in cubes of their own; None leaves them as the room's grid has them.
    """

    panorama: PanoramaSettings = field(default_factory=PanoramaSettings)
    coarse: CoarseSettings = field(default_factory=CoarseSettings)
    boxes: BoxDecoding = field(default_factory=BoxDecoding)
    detail: DetailSettings = field(default_factory=DetailSettings)
    layout: LayoutForm = "generated"
    finish: FinishOptions = field(
        default_factory=lambda: FinishOptions(max_faces=200_000, texture_size=1024, orient=True)
    )
    refine: RefineSettings | None = None

    def with_preset(self, preset: str | None) -> "InSpaceSettings":
        """The settings of a preset; sizes and samplers stay.

        "published" repeats the published run with its mixed-up rows, "published_fixed" starts partial geometry at the
        time of its noise and lets every asset read its own tokens, "refined" makes assets again in their own cubes and
        the layout of planes, on the same weights and otherwise as opened.

        Raises:
            InputError: there is no such preset.
        """
        if preset is None:
            return self
        if preset == "refined":
            return replace(self, layout="planes", refine=self.refine or RefineSettings())
        if preset not in ("published", "published_fixed"):
            raise InputError(f"Expected the preset published, published_fixed or refined, got '{preset}'.")
        is_fixed = preset == "published_fixed"
        return replace(
            self,
            coarse=replace(self.coarse, inversion="exact" if is_fixed else "published_batch"),
            detail=replace(self.detail, cross_attention_rows="intended" if is_fixed else "published"),
            layout="generated",
            refine=None,
        )


@dataclass(frozen=True)
class CoarseRoom:
    """The coarse stage's result: the structure latent and the occupied cells it decodes to."""

    latent: Float[Tensor, "1 C R R R"]
    occupied: Int[Tensor, "N 3"]


@dataclass(frozen=True)
class _BaseDecoder:
    """TRELLIS.2's decoders, loaned for every part."""

    base: PublishedNetworks

    @property
    def source(self) -> str:
        return str(self.base.source)

    def draw(self, part: Part, shape: Tensor, texture: Tensor) -> DrawnPart | None:
        """See `PartDecoder.draw`."""
        device = self.base.device
        statistics = self.base.statistics("shape"), self.base.statistics("texture")
        with self.base.loaned(SHAPE_DECODER) as shapes, self.base.loaned(TEXTURE_DECODER) as textures:
            decoded = decode_part(shapes, textures, part.coords, shape.to(device), texture.to(device), statistics)
        return None if decoded is None else DrawnPart(_on_cpu(decoded.surface), VoxelField(decoded.voxels))


class InSpace:
    """The system: InSpace's own networks, TRELLIS.2's decoders, and the encoder of the faces.

    Args:
        weights: where InSpace's networks come from; each is loaded for its stage and let go.
        base: TRELLIS.2's networks.
        stages: where results are kept; None keeps none.
        depth: the network that estimates distances of panoramas without any; None estimates none.
    """

    name = "inspace"

    def __init__(
        self,
        weights: InSpaceWeights,
        base: PublishedNetworks,
        encoder: Dinov3,
        settings: InSpaceSettings | None = None,
        *,
        stages: StageFiles | None = None,
        depth: DepthModel | None = None,
    ) -> None:
        self.weights, self.base, self.encoder = weights, base, encoder
        self.settings, self.stages = settings or InSpaceSettings(), stages or StageFiles()
        self.depth = depth
        self._hashes: dict[Path, str] = {}
        self._base_keys: set[NetworkKey[Any]] = {STRUCTURE_DECODER, SHAPE_DECODER, TEXTURE_DECODER}

    def generate(
        self, views: Views, *, seed: int = 0, options: GenerateOptions = DEFAULT, progress: Progress = SILENT
    ) -> Scene:
        """The furnished room of one panorama, floor at z = 0, in metres where the view has depth or it is estimated.

        Without distances the coarse stage starts from noise, in a room of assumed size.

        Raises:
            InputError: there is not exactly one view, it is no panorama, or its distances show no room.
            EmptyStructureError: the coarse stage found nothing, or no part has a surface.
        """
        given = (views,) if isinstance(views, View) else tuple(views)
        if len(given) != 1:
            raise InputError(f"InSpace makes a room from one panorama, but got {len(given)} views.")
        panorama = panorama_of(given[0])
        settings, sampling = self.settings.with_preset(options.preset), options.sampling
        changed = replace(
            settings,
            panorama=replace(settings.panorama, known=options.room),
            coarse=replace(settings.coarse, sampler=settings.coarse.sampler.overridden(sampling)),
            detail=replace(settings.detail, sampler=settings.detail.sampler.overridden(sampling)),
            finish=settings.finish.overridden(options.finish),
            refine=None if settings.refine is None else replace(settings.refine, sampling=sampling),
        )
        if changed.refine is not None and changed.refine.flows == "base":
            self._base_keys |= {shape_flow(512), texture_flow(512)}
        system = InSpace(self.weights, self.base, self.encoder, changed, stages=self.stages, depth=self.depth)
        return system.scene_of(panorama, seed=seed, progress=progress)

    def weights_sha256(self) -> dict[str, str]:
        """Hash of every weight file by its name; read once. Flows of a refinement are there once one was made."""
        files = {f"inspace/{name}": self.weights.file(name) for name in FOLDERS}
        files |= {f"base/{key.name}": self.base.weights_file(key) for key in self._base_keys}
        if self.depth is not None:
            files["depth"] = self.depth.weights_file
        for path in files.values():
            if path not in self._hashes:
                self._hashes[path] = sha256_of(path)
        return {name: self._hashes[path] for name, path in sorted(files.items())}

    @property
    def _stage(self) -> DetailStage:
        settings, decoder = self.settings, _BaseDecoder(self.base)
        return DetailStage(self.weights, decoder, settings.detail, settings.finish, settings.layout, self.stages)

    @property
    def face_tokens(self) -> FaceTokens:
        """The encoder's tokens of a face; a box's margin stays the published share of the face."""
        sizes, size = self.encoder.config, self.settings.panorama.face_size
        published = FaceTokens()
        margin = published.expand_px * size / published.image_size
        return FaceTokens(published.fov_deg, size, sizes.patch_size, 1 + sizes.num_registers, margin)

    def scene_of(self, panorama: Panorama, *, seed: int = 42, progress: Progress = SILENT) -> Scene:
        """The room of a panorama; the same panorama, seed and settings give the same bytes on the same device.

        Raises:
            InputError: the distances show no room, or edited boxes are no boxes.
            EmptyStructureError: the coarse stage found nothing, or no part has a surface.
        """
        settings = self.settings
        panorama = with_distances(panorama, self.depth, self.stages, progress)
        room = self.stages.kept(
            "room",
            (panorama, settings.panorama),
            RoomInput,
            lambda: room_input(panorama, settings.panorama),
            stage_pictures.room_picture,
        )
        tokens = self._tokens(room, progress)
        coarse = self._coarse(room, tokens, seed, progress)
        found = self.stages.boxes(
            (coarse.occupied, settings.boxes, self.weights.source),
            lambda: self._found(coarse, progress),
            lambda found: stage_pictures.box_picture(coarse.occupied, found.boxes, COARSE_RESOLUTION),
        )
        detail = self._detail(room, coarse, found, tokens, seed, progress)
        refined = self._refined(room, coarse, detail.parts, found, seed, progress)
        meshes = self._stage.meshes(detail, found, refined, progress)
        scene = compose_room(room, meshes, found, detail.parts.parts[0].coords, settings.layout)
        provenance = {
            "generator": f"scenewright {scenewright.__version__}",
            "system": self.name,
            "weights": self.weights.source,
            "base_weights": str(self.base.source),
            "seed": seed,
            "boxes": len(found.boxes),
            "tokens": len(detail.parts.coords),
            "room": room.facts,
            **scene.provenance,
        }
        return replace(scene, provenance=provenance)

    def _tokens(self, room: RoomInput, progress: Progress) -> Float[Tensor, "6 T C"]:
        def make() -> Tensor:
            progress.stage("encode")
            return encode_faces(self.encoder, room.faces).cpu()

        return self.stages.kept("tokens", (room.faces, str(self.base.source)), Tensor, make).to(self.weights.device)

    def _coarse(self, room: RoomInput, tokens: Tensor, seed: int, progress: Progress) -> CoarseRoom:
        def make() -> CoarseRoom:
            advance = progress.stage("structure")
            flow = self.weights.structure_flow()
            partial = None
            if room.voxels is not None and settings.alpha < 1:
                encoder = self.weights.structure_encoder()
                partial = encode_partial_geometry(encoder, room.voxels).to(tokens.device)
            noise = structure_noise(flow, 1, _generator(seed))
            latent = sample_coarse(flow, tokens, room.camera, noise, settings, partial=partial, advance=advance)
            with self.base.loaned(STRUCTURE_DECODER) as decoder:
                occupied = coarse_occupancy(decoder, latent)
            return CoarseRoom(latent.cpu(), occupied.cpu())

        settings = self.settings.coarse
        inputs = (tokens, room.voxels, room.camera, settings, seed, self.weights.source)
        return self.stages.kept(
            "coarse",
            inputs,
            CoarseRoom,
            make,
            lambda coarse: stage_pictures.cell_picture(coarse.occupied, COARSE_RESOLUTION),
        )

    def _found(self, coarse: CoarseRoom, progress: Progress) -> FoundBoxes:
        progress.stage("boxes")
        network = self.weights.box_network()
        occupancy = torch.zeros(1, 1, *[COARSE_RESOLUTION] * 3)
        occupancy[(0, 0, *coarse.occupied.long().T)] = 1
        with torch.no_grad():
            found = decode_boxes(network(occupancy.to(self.weights.device)), self.settings.boxes)[0]
        return FoundBoxes(found.boxes.cpu(), found.scores.cpu())

    def _detail(
        self, room: RoomInput, coarse: CoarseRoom, found: FoundBoxes, tokens: Tensor, seed: int, progress: Progress
    ) -> DetailRoom:
        parts = room_parts(coarse.occupied, found.boxes, self.settings.detail.layout_mode)
        return self._stage.room(parts, found, tokens, room.camera, self.face_tokens, seed, progress)

    def _refined(
        self,
        room: RoomInput,
        coarse: CoarseRoom,
        parts: RoomParts,
        found: FoundBoxes,
        seed: int,
        progress: Progress,
    ) -> dict[int, RoomMesh]:
        """Assets made again in cubes of their own, by their box, but for those that do not fill their coarse cells."""
        settings = self.settings.refine
        if settings is None:
            return {}
        size, is_masked = self.settings.panorama.face_size, settings.flows == "base"
        assets = assets_to_refine(room, coarse.occupied, parts, found.boxes, settings, size, is_masked=is_masked)
        inputs = (assets, settings, self.settings.detail.sampler, seed, self.weights.source)
        latents = self._refined_latents(assets, inputs, seed, settings, progress)
        advance, made = progress.stage("refine: decode"), {}
        for number, (asset, shape, texture) in enumerate(zip(assets, *latents, strict=True)):
            advance(number, len(assets))
            part = replace(asset.part, coords=asset.cells)
            mesh = self._stage.mesh(part, shape, texture, (), found, name=f"refined_{part.box:03d}")
            placed = asset.accepted(mesh, settings)
            if placed is not None and part.box is not None:
                made[part.box] = placed
        return made

    def _refined_latents(
        self, assets: Sequence[RefinedAsset], inputs: object, seed: int, settings: RefineSettings, progress: Progress
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Normalised shape and texture latents of the assets in their own cubes."""

        def tokens() -> list[Tensor]:
            crops = torch.stack([asset.crop for asset in assets])
            return [encode_faces(self.encoder, crop[None]).to(self.weights.device) for crop in crops]

        def latents(shapes: tuple[Tensor, ...] | None) -> tuple[Tensor, ...]:
            if not assets:
                return ()
            name = "shape" if shapes is None else "texture"
            advance = progress.stage(f"refine: {name}")
            if settings.flows == "base":
                return base_latents(
                    self.base, assets, tokens(), seed, settings.sampling, shapes=shapes, advance=advance
                )
            flow = self.weights.shape_flow() if shapes is None else self.weights.texture_flow()
            sampler = self.settings.detail.sampler
            return scene_latents(flow, assets, tokens(), seed, sampler, shapes=shapes, advance=advance)

        shapes: tuple[Tensor, ...] = self.stages.kept("refined_shape", inputs, tuple, lambda: latents(None))
        textures = self.stages.kept("refined_texture", (inputs, shapes), tuple, lambda: latents(shapes))
        return shapes, textures


def with_distances(panorama: Panorama, model: DepthModel | None, stages: StageFiles, progress: Progress) -> Panorama:
    """The panorama with its distances, estimated where it has none and there is a network for it."""
    if panorama.distance_m is not None or model is None:
        return panorama

    def make() -> EstimatedDistance:
        return model.estimated(panorama.rgb, advance=progress.stage("depth"))

    found = stages.kept(
        "distances",
        (panorama.rgb, model.source),
        EstimatedDistance,
        make,
        lambda found: stage_pictures.distance_picture(found.distance_m),
    )
    return found.added_to(panorama)


def panorama_of(view: View) -> Panorama:
    """The panorama of a view, with its distances where it has them.

    Raises:
        InputError: the view has a perspective camera, or the picture is not twice as wide as high.
    """
    if isinstance(view.camera, Camera):
        raise InputError(
            "InSpace reads a panorama, but got a picture of a perspective camera; use SceneGen or I-Scene."
        )
    rgb = torch.from_numpy(np.array(view.image))
    return Panorama(rgb, view.depth_m)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _on_cpu(mesh: Mesh) -> Mesh:
    return replace(mesh, vertices=mesh.vertices.cpu(), faces=mesh.faces.cpu())
