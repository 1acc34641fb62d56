"""InSpace with the mini weights: a panorama, as a rule with distances, to a furnished room.

    room_input -> coarse cells (what is seen, and what the coarse flow puts where nothing is seen) -> floor polygon
               -> boxes (`panorama_boxes`) -> structures in cubes of their own (`panorama_objects`)
               -> surfaces and materials -> planes in the panorama's colours, composed

Small networks cannot see a whole room as finely as its distances tell it, so distances decide wherever they reach: the
coarse flow fills what is hidden, boxes come from what hangs together, and I-Scene's flow completes each object's hidden
side. Without distances the room is taken to be a cuboid, which on made rooms is nearer to the truth than what the
coarse flow makes of noise (`from_noise`).

Legend: N cells, A boxes. Frames: cube and world around the camera (`systems.inspace.room_frame`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from torch import Tensor

import scenewright
from scenewright.backbones.trellis2.sampling import structure_noise
from scenewright.errors import EmptyStructureError, InputError
from scenewright.geometry.mesh.finish import finish_mesh
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.geometry.threads import one_torch_thread
from scenewright.progress import SILENT, Advance, Progress
from scenewright.samplers.config import SamplerConfig
from scenewright.systems.assembly.structures import PlacedStructures, object_generator
from scenewright.systems.inspace.box_decoding import FoundBoxes
from scenewright.systems.inspace.coarse import CoarseSettings, encode_partial_geometry, sample_coarse
from scenewright.systems.inspace.composition import RoomMesh, compose_room, floor_polygon
from scenewright.systems.inspace.panorama import Panorama, PanoramaSettings, RoomInput, room_input
from scenewright.systems.inspace.panorama_depth import DepthModel
from scenewright.systems.inspace.partial_geometry import PointFilters
from scenewright.systems.inspace.parts import layout_cells
from scenewright.systems.inspace.room_frame import RoomFrame, depth_rays
from scenewright.systems.inspace.stage_files import StageFiles
from scenewright.systems.inspace.system import panorama_of, with_distances
from scenewright.systems.iscene.structure_flow import SceneContextFlow
from scenewright.systems.loading import OpenOptions
from scenewright.systems.memory_plan import check_held
from scenewright.systems.mini.latent_decoder import LatentDecoder
from scenewright.systems.mini.networks import LatentNetworks, MiniNetworks, RoomNetworks
from scenewright.systems.mini.occupancy import outer_shell
from scenewright.systems.mini.panorama_boxes import PieceSettings, pieces
from scenewright.systems.mini.panorama_objects import ObjectCrop, looked_up, object_crop, sampled_shapes, shape_of
from scenewright.systems.mini.sizes import ROOM_FACE_SIZE, ROOM_RESOLUTION, ROOM_SAMPLER
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.systems.registry import find_system
from scenewright.systems.system import Views
from scenewright.types import Mesh, Scene, View
from scenewright.weights.hub import sha256_of

__all__ = [
    "MiniInSpace",
    "MiniRoomSettings",
    "coarsened",
    "distance_of_cells",
    "face_pictures",
    "mini_rooms",
    "open_inspace",
]

_PSEUDO_HEIGHT = 128
_ASSUMED = (
    "There are no distances: the room was taken to be {:g} x {:g} m and {:g} m high, with the camera in its middle; "
    "its furniture is painted on floor and walls; give --depth."
)


@dataclass(frozen=True)
class MiniRoomSettings:
    """Options of a room; chosen on made rooms (docs/mini.md).

    Attributes:
        assumed_m: width, depth and height of a room without distances.
        from_noise: let the coarse flow start from noise instead, also where there are distances.
        samples: of every object's structure, averaged.
        likely: share of the samples that must hold a hidden cell for occupied.
        object_start: flow time at which an object's structure starts, as what is seen or hidden of it mixed with noise.
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
    assumed_m: tuple[float, float, float] = (4.4, 4.4, 2.7)
    from_noise: bool = False
    samples: int = 2
    likely: float = 0.5
    object_start: float = 0.7
    object_sampler: SamplerConfig = field(
        default_factory=lambda: SamplerConfig(steps=3, guidance_strength=0.0, rescale_t=3.0)
    )
    min_pixels: int = 60
    max_assets: int = 30
    finish: FinishOptions = field(
        default_factory=lambda: FinishOptions(max_faces=8_000, texture_size=256, smooth_steps=2)
    )


@dataclass(frozen=True)
class CoarseCells:
    """Occupied cells of mini's coarse grid."""

    occupied: Int[Tensor, "N 3"]


@dataclass(frozen=True)
class Structure:
    """One object's cells in a cube of its own, and its picture."""

    coords: Int[Tensor, "N 3"]
    world_from_cube: Float[Tensor, "4 4"]
    picture: Float[Tensor, "4 P P"]


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
        settings: MiniRoomSettings | None = None,
        *,
        stages: StageFiles | None = None,
        depth: DepthModel | None = None,
    ) -> None:
        self.rooms, self.objects, self.decoder, self.depth = rooms, objects, decoder, depth
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
        if options.preset is not None:
            raise InputError(
                f"The mini weights have no preset '{options.preset}'; leave it out, or use published ones."
            )
        work = find_system(self.name).mini_working.bytes(1)
        check_held(f"{self.name} with the mini weights", self.objects.device, options.max_memory_bytes, work)
        settings = self.settings
        changed = replace(
            settings,
            panorama=replace(settings.panorama, known=options.room),
            coarse=replace(settings.coarse, sampler=settings.coarse.sampler.overridden(options.sampling)),
            finish=settings.finish.overridden(options.finish),
        )
        system = MiniInSpace(self.rooms, self.objects, self.decoder, changed, stages=self.stages, depth=self.depth)
        return system.scene_of(panorama_of(given[0]), seed=seed, progress=progress)

    def weights_sha256(self) -> dict[str, str]:
        """Hash of every weight file by its name."""
        files = {**self.rooms.files, **self.objects.files, **self.decoder.weights}
        return {name: sha256_of(path) for name, path in sorted(files.items())}

    @one_torch_thread()
    def scene_of(self, panorama: Panorama, *, seed: int = 0, progress: Progress = SILENT) -> Scene:
        """The room of a panorama; the same panorama, seed and settings give the same bytes.

        Raises:
            InputError: the distances show no room, or edited boxes are no boxes.
            EmptyStructureError: nothing was found at all.
        """
        settings = self.settings
        notes: tuple[str, ...] = ()
        panorama = with_distances(panorama, self.depth, self.stages, progress)
        is_known = panorama.distance_m is not None and not settings.from_noise
        if settings.from_noise:
            panorama = replace(panorama, distance_m=None)
        elif panorama.distance_m is None:
            panorama = replace(panorama, distance_m=self._assumed_distance())
            notes = (_ASSUMED.format(*settings.assumed_m),)
        room = self.stages.kept(
            "room", (panorama, settings.panorama), RoomInput, lambda: room_input(panorama, settings.panorama)
        )
        cells = self._coarse(room, seed, progress)
        if room.panorama.distance_m is None:
            room = _as_if_seen(room, cells)
        polygon = floor_polygon(room, cells)
        top = room.ceiling_m if room.ceiling_m is not None else _top_of(room.frame, cells) + room.camera_height_m
        found = self.stages.boxes(
            (room, cells, settings.pieces), lambda: self._boxes(room, polygon, top - room.camera_height_m, progress)
        )
        structures = self._structures(room, found, seed, progress)
        meshes = self._meshes(room, structures, seed, progress)
        if not meshes and len(polygon) < 4:
            raise EmptyStructureError("Neither walls nor furniture were found in the panorama; try another seed.")
        scene = compose_room(room, meshes, found, cells, "planes")
        provenance = {
            "generator": f"scenewright {scenewright.__version__}",
            "system": self.name,
            "weights": "mini",
            "seed": seed,
            "room": room.facts,
            "boxes": len(found.boxes),
            **scene.provenance,
        }
        return replace(
            scene, provenance=provenance, is_metric=is_known and scene.is_metric, notes=(*notes, *scene.notes)
        )

    def _assumed_distance(self) -> Float[Tensor, "height width"]:
        """Distances of a cuboid with the camera over the middle of its floor."""
        width, depth, height = self.settings.assumed_m
        known = self.settings.panorama.known.camera_height_m
        camera = known or self.settings.panorama.assumed_camera_height_m
        rays = depth_rays(_PSEUDO_HEIGHT, 2 * _PSEUDO_HEIGHT)
        reach = rays.new_tensor([width / 2, depth / 2, max(height - camera, 0.5)])
        floor = rays.new_tensor([width / 2, depth / 2, camera])
        walls = torch.where(rays > 0, reach, floor) / rays.abs().clamp(min=1e-9)
        return walls.amin(-1).float()

    def _coarse(self, room: RoomInput, seed: int, progress: Progress) -> Int[Tensor, "N 3"]:
        """Cells that are seen, and those that the coarse flow puts where nothing is seen."""

        def make() -> CoarseCells:
            progress.stage("encode")
            tokens = self.objects.conditioner(face_pictures(room.faces))
            seen, partial = _seen_grid(room), None
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
                occupied = seen | (occupied & _hidden_cells(room))
            if not bool(occupied.any()):
                raise EmptyStructureError(
                    "The coarse stage left no occupied cell, so there is no room; try another seed."
                )
            return CoarseCells(occupied.nonzero().int())

        settings = self.settings.coarse
        return self.stages.kept("coarse", (room, settings, seed), CoarseCells, make).occupied

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

    def _structures(
        self, room: RoomInput, found: FoundBoxes, seed: int, progress: Progress
    ) -> list[tuple[int, Structure]]:
        """Boxes that show something, by row, and the structure of each."""

        def make() -> tuple[tuple[int, Structure], ...]:
            advance = progress.stage("objects")
            crops: list[tuple[int, ObjectCrop]] = []
            for row, box in enumerate(found.boxes):
                in_metres = box.clone()
                in_metres[:3] = room.frame.to_world(box[:3])
                in_metres[3:6] /= room.frame.scale
                crop = object_crop(room.panorama, in_metres, -room.camera_height_m)
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

        return list(self.stages.kept("structures", (room, found, self.settings, seed), tuple, make))

    @torch.no_grad()
    def _likely(
        self, crops: Sequence[ObjectCrop], rows: Sequence[int], seed: int, advance: Advance
    ) -> Float[Tensor, "A R R R"]:
        """Likelihood of every cell, by samples that start from the shell of what is seen or hidden."""
        settings, flow = self.settings, cast(SceneContextFlow, self.objects.flow)
        tokens = self.objects.conditioner(torch.stack([crop.picture for crop in crops]))
        shells = [torch.from_numpy(outer_shell((crop.seen | crop.hidden).numpy())) for crop in crops]
        partial = self.rooms.structure_encoder(torch.stack(shells)[:, None].float())[0]
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
                settings.object_sampler,
                partial=partial,
                start=settings.object_start,
            )
            advance(number + 1, settings.samples)
        return total / settings.samples

    def _meshes(
        self, room: RoomInput, structures: Sequence[tuple[int, Structure]], seed: int, progress: Progress
    ) -> list[RoomMesh]:
        """Finished surfaces in the room's cube."""
        if not structures:
            return []

        def make() -> tuple[tuple[int, Mesh], ...]:
            items = [item for _, item in structures]
            placed = PlacedStructures(
                coords=tuple(item.coords for item in items),
                resolution=ROOM_RESOLUTION,
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
                    mesh = finish_mesh(made.surface, made.field, self.settings.finish)
                except InputError:  # nothing is left of crumbs
                    continue
                meshes.append((row, _moved(mesh, item.world_from_cube, room.frame)))
            return tuple(meshes)

        kept = self.stages.kept("assets", (structures, room.frame, self.settings.finish, seed), tuple, make)
        return [RoomMesh("asset", mesh, row) for row, mesh in kept]


def coarsened(occupied: Bool[Tensor, "fine fine fine"]) -> Bool[Tensor, "R R R"]:
    """Mini's coarse grid: cells that hold an occupied one."""
    factor = len(occupied) // ROOM_RESOLUTION
    return torch.nn.functional.max_pool3d(occupied[None, None].float(), factor)[0, 0] > 0


def face_pictures(faces: UInt8[Tensor, "6 S S 3"]) -> Float[Tensor, "6 4 S S"]:
    """Cube faces as mini's conditioner reads pictures: nothing of them is cut out."""
    return torch.cat([faces.permute(0, 3, 1, 2).float() / 255, torch.ones(6, 1, *faces.shape[1:3])], 1)


def _image(picture: Float[Tensor, "4 P P"]) -> Image.Image:
    return Image.fromarray((picture[:3] * 255).round().byte().permute(1, 2, 0).numpy())


def _moved(mesh: Mesh, world_from_cube: Float[Tensor, "4 4"], frame: RoomFrame) -> Mesh:
    """A mesh of an object's own cube in the room's cube."""
    world = mesh.vertices @ world_from_cube[:3, :3].T + world_from_cube[:3, 3]
    turn = world_from_cube[:3, :3] / world_from_cube[:3, 0].norm()
    normals = None if mesh.vertex_normals is None else mesh.vertex_normals @ turn.T
    return replace(mesh, vertices=frame.to_cube(world), vertex_normals=normals)


def _seen_grid(room: RoomInput) -> Bool[Tensor, "R R R"] | None:
    if room.voxels is None:
        return None
    fine = torch.zeros((2 * ROOM_RESOLUTION,) * 3, dtype=torch.bool)
    fine[tuple(room.voxels.long().T)] = True
    return coarsened(fine)


def _hidden_cells(room: RoomInput) -> Bool[Tensor, "R R R"]:
    """Cells behind what is seen."""
    axis = (torch.arange(ROOM_RESOLUTION, dtype=torch.float64) + 0.5) / ROOM_RESOLUTION - 0.5
    centers = torch.cartesian_prod(axis, axis, axis)
    world = room.frame.to_world(centers)
    assert room.panorama.distance_m is not None
    hit = looked_up(room.panorama.distance_m, world)
    cell = 1 / (ROOM_RESOLUTION * room.frame.scale)
    return (hit < world.norm(dim=1) + 0.5 * cell).view((ROOM_RESOLUTION,) * 3)


def distance_of_cells(
    cells: Int[Tensor, "N 3"], frame: RoomFrame, height: int = _PSEUDO_HEIGHT
) -> Float[Tensor, "height width"]:
    """Distance along every ray of a panorama to the first occupied cell; 0 where there is none."""
    grid = torch.zeros((ROOM_RESOLUTION,) * 3, dtype=torch.bool)
    grid[tuple(cells.long().T)] = True
    rays = depth_rays(height, 2 * height)
    side = 1 / frame.scale
    step = side / ROOM_RESOLUTION / 4
    found = torch.zeros(height, 2 * height, dtype=torch.float64)
    open_rays = torch.ones_like(found, dtype=torch.bool)
    for number in range(1, math.ceil(math.sqrt(3) * side / step)):
        cube = frame.to_cube(rays * (number * step))
        inside = (cube.abs() < 0.5).all(-1)
        index = ((cube.clamp(-0.4999, 0.4999) + 0.5) * ROOM_RESOLUTION).long()
        hit = open_rays & inside & grid[index[..., 0], index[..., 1], index[..., 2]]
        found[hit] = number * step
        open_rays &= ~hit
    return found.float()


def _as_if_seen(room: RoomInput, cells: Int[Tensor, "N 3"]) -> RoomInput:
    """The room with the distances of its cells, standing on their fullest layer."""
    distance = distance_of_cells(cells, room.frame)
    floor = (layout_cells(cells)[1] + 1) / ROOM_RESOLUTION - 0.5
    height = -(floor / room.frame.scale + room.frame.center[2])
    return replace(
        room,
        panorama=replace(room.panorama, distance_m=distance),
        camera_height_m=height if height > 0.2 else room.camera_height_m,
    )


def _top_of(frame: RoomFrame, cells: Int[Tensor, "N 3"]) -> float:
    """Height of the highest cell over the camera."""
    return ((int(cells[:, 2].max()) + 1) / ROOM_RESOLUTION - 0.5) / frame.scale + frame.center[2]


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
        RoomNetworks.load(folder, device=device), objects, decoder, settings, stages=StageFiles(work), depth=depth
    )
