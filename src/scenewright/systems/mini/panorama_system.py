"""InSpace with the mini weights: a panorama, as a rule with distances, to a furnished room.

    room_input -> coarse cells (what is seen, and what the coarse flow puts where nothing is seen) -> floor polygon
               -> boxes (`panorama_boxes`) -> objects in cubes of their own (`panorama_furniture`)
               -> planes in the panorama's colours, composed

Presets take the published way instead (`panorama_details`): coarse cells and boxes become the parts of a room, whose
latents are made together; "refined" makes every object again in a cube of its own, from its coarse cells.

Small networks cannot see a whole room as finely as its distances tell it, so distances decide wherever they reach: the
coarse flow fills what is hidden, boxes come from what hangs together, and I-Scene's flow completes each object's hidden
side. Without distances the room is taken to be a cuboid, which on made rooms is nearer to the truth than what the
coarse flow makes of noise (`from_noise`); the published way starts from noise all the same.

Legend: N cells, A boxes. Frames: cube and world around the camera (`systems.inspace.room_frame`).
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

import scenewright
from scenewright.backbones.trellis2.sampling import structure_noise
from scenewright.errors import EmptyStructureError, InputError
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.geometry.threads import one_torch_thread
from scenewright.progress import SILENT, Progress, within
from scenewright.systems.inspace import stage_pictures
from scenewright.systems.inspace.box_decoding import FoundBoxes
from scenewright.systems.inspace.coarse import CoarseSettings, encode_partial_geometry, sample_coarse
from scenewright.systems.inspace.composition import LayoutForm, RoomMesh, compose_room, floor_polygon
from scenewright.systems.inspace.detail import DetailSettings
from scenewright.systems.inspace.detail_stage import DetailStage
from scenewright.systems.inspace.panorama import Panorama, PanoramaSettings, RoomInput, room_input
from scenewright.systems.inspace.panorama_depth import DepthModel
from scenewright.systems.inspace.partial_geometry import PointFilters
from scenewright.systems.inspace.room_frame import depth_rays
from scenewright.systems.inspace.stage_files import StageFiles
from scenewright.systems.inspace.system import panorama_of, with_distances
from scenewright.systems.loading import OpenOptions
from scenewright.systems.memory_plan import check_held
from scenewright.systems.mini.latent_decoder import LatentDecoder
from scenewright.systems.mini.networks import LatentNetworks, MiniNetworks, RoomNetworks
from scenewright.systems.mini.panorama_boxes import PieceSettings, pieces
from scenewright.systems.mini.panorama_cells import (
    PSEUDO_HEIGHT,
    as_if_seen,
    fine_cells,
    hidden_cells,
    seen_grid,
    top_of,
)
from scenewright.systems.mini.panorama_details import (
    FACE_TOKENS,
    Guess,
    MiniDetailFlows,
    MiniPartDecoder,
    guessed_parts,
)
from scenewright.systems.mini.panorama_furniture import Furniture, FurnitureSettings
from scenewright.systems.mini.sizes import (
    ROOM_FACE_SIZE,
    ROOM_RESOLUTION,
    ROOM_SAMPLER,
    ROOM_SHAPE_SAMPLER,
    ROOM_SHAPE_START,
    ROOM_TEXTURE_SAMPLER,
)
from scenewright.systems.options import DEFAULT, GenerateOptions, RoomOverride
from scenewright.systems.registry import find_system
from scenewright.systems.system import Views
from scenewright.types import Scene, View
from scenewright.weights.hub import sha256_of

__all__ = [
    "MiniInSpace",
    "MiniRoomSettings",
    "RoomForm",
    "face_pictures",
    "mini_rooms",
    "open_inspace",
]

_ASSUMED = (
    "There are no distances: the room was taken to be {:g} x {:g} m and {:g} m high; "
    "its furniture is painted on floor and walls; give --depth."
)


RoomForm = Literal["distances", "published", "refined"]
_FORMS: dict[str | None, RoomForm] = {
    None: "distances",
    "published": "published",
    "published_fixed": "published",
    "refined": "refined",
}
"""Forms that presets stand for; mini's weights know the fixed switches only."""


@dataclass(frozen=True)
class MiniRoomSettings:
    """Options of a room; chosen on made rooms (docs/mini.md).

    Attributes:
        form: objects from the distances, or by the detail stage.
        detail: of the detail stage.
        furniture: of objects in cubes of their own.
        assumed_m: width, depth and height of a room without distances.
        from_noise: let the coarse flow start from noise instead, also where there are distances.
        max_assets: boxes beyond are left out, smallest first.
    """

    panorama: PanoramaSettings = field(
        default_factory=lambda: PanoramaSettings(
            filters=PointFilters(), face_size=ROOM_FACE_SIZE, max_width=2048, max_depth_width=1024
        )
    )
    coarse: CoarseSettings = field(
        default_factory=lambda: CoarseSettings(ROOM_SAMPLER, camera_scale=2.0, inversion="exact", alpha=0.5)
    )
    pieces: PieceSettings = field(default_factory=PieceSettings)
    form: RoomForm = "distances"
    detail: DetailSettings = field(
        default_factory=lambda: DetailSettings(ROOM_SHAPE_SAMPLER, ROOM_TEXTURE_SAMPLER, start=ROOM_SHAPE_START)
    )
    furniture: FurnitureSettings = field(default_factory=FurnitureSettings)
    assumed_m: tuple[float, float, float] = (4.4, 4.4, 2.7)
    from_noise: bool = False
    max_assets: int = 30
    finish: FinishOptions = field(
        default_factory=lambda: FinishOptions(max_faces=8_000, texture_size=256, smooth_steps=2)
    )


@dataclass(frozen=True)
class CoarseCells:
    """Occupied cells of mini's coarse grid."""

    occupied: Int[Tensor, "N 3"]


class MiniInSpace:
    """The system.

    Args:
        stages: where results are kept; None keeps none.
        depth: the network that estimates distances of panoramas without any; None estimates none.
    """

    name = "inspace"

    def __init__(
        self,
        rooms: RoomNetworks,
        objects: MiniNetworks,
        decoder: LatentDecoder,
        details: MiniDetailFlows,
        settings: MiniRoomSettings | None = None,
        *,
        stages: StageFiles | None = None,
        depth: DepthModel | None = None,
    ) -> None:
        self.rooms, self.objects, self.decoder, self.details = rooms, objects, decoder, details
        self.depth = depth
        self.settings, self.stages = settings or MiniRoomSettings(), stages or StageFiles()

    @one_torch_thread()
    def generate(
        self, views: Views, *, seed: int = 0, options: GenerateOptions = DEFAULT, progress: Progress = SILENT
    ) -> Scene:
        """The furnished room of one panorama, floor at z = 0, in metres where the view has depth.

        Raises:
            InputError: there is not exactly one view, it is no panorama, or its distances show no room.
            OutOfMemoryBudgetError: networks and work do not fit the ceiling.
            EmptyStructureError: nothing was found at all.
        """
        given = (views,) if isinstance(views, View) else tuple(views)
        if len(given) != 1:
            raise InputError(f"InSpace makes a room from one panorama, but got {len(given)} views.")
        if options.preset not in _FORMS:
            raise InputError(f"Expected the preset published, published_fixed or refined, got '{options.preset}'.")
        work = find_system(self.name).with_preset(options.preset).mini_working.bytes(1)
        check_held(f"{self.name} with the mini weights", self.objects.device, options.max_memory_bytes, work)
        settings, form = self.settings, _FORMS[options.preset]
        changed = replace(
            settings,
            form=settings.form if options.preset is None else form,
            panorama=replace(settings.panorama, known=options.room),
            coarse=replace(settings.coarse, sampler=settings.coarse.sampler.overridden(options.sampling)),
            detail=replace(settings.detail, sampler=settings.detail.sampler.overridden(options.sampling)),
            furniture=replace(settings.furniture, samples=options.sampling.samples(settings.furniture.samples)),
            finish=settings.finish.overridden(options.finish),
        )
        system = MiniInSpace(
            self.rooms, self.objects, self.decoder, self.details, changed, stages=self.stages, depth=self.depth
        )
        return system.scene_of(panorama_of(given[0]), seed=seed, progress=progress)

    def weights_sha256(self) -> dict[str, str]:
        """Hash of every weight file by its name."""
        files = {**self.rooms.files, **self.objects.files, **self.decoder.weights, **self.details.files}
        if self.depth is not None:
            files["depth"] = self.depth.weights_file
        return {name: sha256_of(path) for name, path in sorted(files.items())}

    @one_torch_thread()
    def scene_of(self, panorama: Panorama, *, seed: int = 0, progress: Progress = SILENT) -> Scene:
        """The room of a panorama; the same panorama, seed and settings give the same bytes.

        Raises:
            InputError: the distances show no room, or edited boxes are no boxes.
            EmptyStructureError: nothing was found at all.
        """
        settings = self.settings
        panorama = with_distances(panorama, self.depth, self.stages, progress)
        from_noise = settings.from_noise or (settings.form == "published" and panorama.distance_m is None)
        is_known = panorama.distance_m is not None and not from_noise
        if from_noise:
            panorama = replace(panorama, distance_m=None)
        room = self._room(panorama) if from_noise or is_known else self._assumed_room(panorama)
        cells = self._coarse(room, seed, progress)
        if room.panorama.distance_m is None:
            room = as_if_seen(room, cells)
        polygon = floor_polygon(room, cells)
        top = room.ceiling_m if room.ceiling_m is not None else top_of(room.frame, cells) + room.camera_height_m
        found = self.stages.boxes(
            (room, cells, settings.pieces),
            lambda: self._boxes(room, polygon, top - room.camera_height_m, progress),
            lambda found: stage_pictures.box_picture(cells, found.boxes, ROOM_RESOLUTION),
        )
        if settings.form == "distances":
            furniture = self._furniture
            meshes = furniture.meshes(room, furniture.structures(room, found, seed, progress), seed, progress)
        else:
            meshes = self._detail_meshes(room, cells, found, seed, progress)
        if not meshes and len(polygon) < 4:
            raise EmptyStructureError("Neither walls nor furniture were found in the panorama; try another seed.")
        scene = compose_room(room, meshes, found, cells, _layout_of(settings.form))
        provenance = {
            "generator": f"scenewright {scenewright.__version__}",
            "system": self.name,
            "weights": "mini",
            "seed": seed,
            "room": room.facts,
            "boxes": len(found.boxes),
            "form": settings.form,
            **scene.provenance,
        }
        return replace(scene, provenance=provenance, is_metric=is_known and scene.is_metric)

    def _room(self, panorama: Panorama, known: RoomOverride | None = None) -> RoomInput:
        settings = self.settings.panorama if known is None else replace(self.settings.panorama, known=known)
        return self.stages.kept(
            "room",
            (panorama, settings),
            RoomInput,
            lambda: room_input(panorama, settings),
            stage_pictures.room_picture,
        )

    def _assumed_room(self, panorama: Panorama) -> RoomInput:
        """A cuboid with the camera over its floor, in its middle where no extent is given."""
        settings, (width, depth, height) = self.settings.panorama, self.settings.assumed_m
        known = settings.known
        left, back, right, front = known.extent_m or (width / 2, depth / 2, width / 2, depth / 2)
        heights = (known.camera_height_m, known.floor_m, settings.assumed_camera_height_m)
        camera = next(value for value in heights if value is not None)
        height = max(height, camera + 0.5)
        rays = depth_rays(PSEUDO_HEIGHT, 2 * PSEUDO_HEIGHT)
        above, below = rays.new_tensor([right, front, height - camera]), rays.new_tensor([left, back, camera])
        distance = (torch.where(rays > 0, above, below) / rays.abs().clamp(min=1e-9)).amin(-1).float()
        is_given = {
            "heading": known.heading is not None,
            "camera_height": (known.camera_height_m, known.floor_m) != (None, None),
            "extent": known.extent_m is not None,
            "ceiling": False,
        }
        shape = replace(known, heading=known.heading or 0.0, camera_height_m=camera, floor_m=None)
        room = self._room(replace(panorama, distance_m=distance), shape)
        origins = {name: "given" if given else "assumed" for name, given in is_given.items()}
        note = _ASSUMED.format(left + right, back + front, height)
        return replace(room, origins=origins, notes=(note, *room.notes))

    def _coarse(self, room: RoomInput, seed: int, progress: Progress) -> Int[Tensor, "N 3"]:
        """Cells that are seen, and those that the coarse flow puts where nothing is seen."""

        def make() -> CoarseCells:
            progress.stage("encode")
            tokens = self.objects.conditioner(face_pictures(room.faces))
            seen, partial = seen_grid(room), None
            if seen is not None:
                partial = encode_partial_geometry(self.rooms.structure_encoder, seen.nonzero().int(), ROOM_RESOLUTION)
            noise = structure_noise(self.rooms.flow, 1, torch.Generator().manual_seed(seed))
            advance = progress.stage("structure")
            latent = sample_coarse(
                self.rooms.flow, tokens, room.camera, noise, settings, partial=partial, advance=advance
            )
            with torch.no_grad():
                logits = self.objects.structure_decoder(latent)
            occupied = logits[0, 0].cpu() > 0
            if seen is not None:
                occupied = seen | (occupied & hidden_cells(room))
            if not bool(occupied.any()):
                raise EmptyStructureError(
                    "The coarse stage left no occupied cell, so there is no room; try another seed."
                )
            return CoarseCells(occupied.nonzero().int())

        settings = self.settings.coarse
        kept = self.stages.kept(
            "coarse",
            (room, settings, seed),
            CoarseCells,
            make,
            lambda found: stage_pictures.cell_picture(found.occupied, ROOM_RESOLUTION),
        )
        return kept.occupied

    def _boxes(
        self, room: RoomInput, polygon: Float[np.ndarray, "C 2"], ceiling_m: float, progress: Progress
    ) -> FoundBoxes:
        progress.stage("boxes")
        assert room.panorama.distance_m is not None
        found = pieces(room.panorama.distance_m, -room.camera_height_m, ceiling_m, polygon, self.settings.pieces)
        boxes, scores = found.boxes[: self.settings.max_assets].clone(), found.scores[: self.settings.max_assets]
        boxes[:, :3] = room.frame.to_cube(boxes[:, :3])
        boxes[:, 3:6] *= room.frame.scale
        return FoundBoxes(boxes, scores)

    @property
    def _furniture(self) -> Furniture:
        settings, encoder = self.settings, self.rooms.structure_encoder
        return Furniture(self.objects, encoder, self.decoder, settings.furniture, settings.finish, self.stages)

    def _detail_meshes(
        self, room: RoomInput, cells: Int[Tensor, "N 3"], found: FoundBoxes, seed: int, progress: Progress
    ) -> list[RoomMesh]:
        """Finished surfaces by the detail stage, and for "refined" those of its objects made again."""
        settings, networks = self.settings, self.decoder.networks
        if settings.form == "refined" and not len(found.boxes):
            return []  # floor and walls are planes
        occupied = fine_cells(room, cells)
        progress.stage("objects")(len(found.boxes), len(found.boxes))
        guess = self.stages.kept(
            "guess",
            (occupied, found.boxes, self.details.source),
            Guess,
            lambda: guessed_parts(networks, occupied, found.boxes),
        )
        stage = DetailStage(
            self.details,
            MiniPartDecoder(networks, {asset.box: asset.surface for asset in guess.assets}),
            settings.detail,
            settings.finish,
            _layout_of(settings.form),
            self.stages,
        )
        tokens = self.objects.conditioner(face_pictures(room.faces))
        detail = stage.room(guess.parts, found, tokens, room.camera, FACE_TOKENS, seed, progress, guess=guess.latent)
        refined: dict[int, RoomMesh] = {}
        if settings.form == "refined":
            coarse = {asset.box: asset.cells for asset in guess.assets}
            refined = self._furniture.refined(room, found, coarse, seed, within(progress, "refine"))
        return stage.meshes(detail, found, refined, progress)


def _layout_of(form: RoomForm) -> LayoutForm:
    return "generated" if form == "published" else "planes"


def face_pictures(faces: UInt8[Tensor, "6 S S 3"]) -> Float[Tensor, "6 4 S S"]:
    """Cube faces as mini's conditioner reads pictures: nothing of them is cut out."""
    return torch.cat([faces.permute(0, 3, 1, 2).float() / 255, torch.ones(6, 1, *faces.shape[1:3])], 1)


def open_inspace(options: OpenOptions) -> MiniInSpace:
    """InSpace with the weights that ship with the package; `work` keeps what the stages make."""
    depth = None if options.depth_model is None else DepthModel(options.depth_model, options.device, options.offline)
    return mini_rooms(device=options.device, work=options.work, depth=depth)


def mini_rooms(
    folder: Path | None = None,
    settings: MiniRoomSettings | None = None,
    *,
    device: torch.device | str = "cpu",
    work: Path | None = None,
    depth: DepthModel | None = None,
) -> MiniInSpace:
    """The system with mini weights of `folder`, or those that ship with the package.

    Raises:
        WeightsError: the weights are missing, damaged, or of other sizes.
    """
    objects = MiniNetworks.load("iscene", folder, device=device)
    decoder = LatentDecoder(LatentNetworks.load(folder, device=device), source=objects.source)
    return MiniInSpace(
        RoomNetworks.load(folder, device=device),
        objects,
        decoder,
        MiniDetailFlows(folder, torch.device(device)),
        settings,
        stages=StageFiles(work),
        depth=depth,
    )
