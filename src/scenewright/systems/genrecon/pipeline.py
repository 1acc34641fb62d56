"""The stages of GenRecon from a capture to a scene; each is a function, and each result can be kept and resumed.

    Capture -> plan_scene -> encode_views -> structures -> cells -> shapes -> textures -> parts -> surface -> Scene

With a folder to keep results in, a run that stopped goes on after the last finished stage (and part of the decoding),
and gives the same bytes. A kept result belongs to the same capture, plan, weights, settings and seed, or is made anew.
Source: GenRecon (arXiv 2605.23888), `genrecon/pipelines/full_scene_images_to_3d.py`.

Frame: joint frame until `scene_of`; then world z up, metres.
Legend: K chunks, N views, R cells along a chunk side.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scenewright.backbones.structure_vae import StructureDecoder
from scenewright.backbones.trellis2.config import (
    SHAPE_SAMPLER,
    STRUCTURE_SAMPLER,
    TEXTURE_SAMPLER,
)
from scenewright.backbones.trellis2.sampling import denormalized
from scenewright.backbones.trellis2.shape_vae import ShapeDecoder, ShapeFields
from scenewright.backbones.trellis2.sparse_unet import Pyramid
from scenewright.backbones.trellis2.texture_vae import TextureDecoder
from scenewright.encoders.dinov3 import Dinov3
from scenewright.errors import EmptyStructureError, InputError
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.io.atomic import make_folder
from scenewright.io.data_file import load_data, save_data
from scenewright.jobs.store import Store, files_stamp, key_of
from scenewright.nn.precision import torso_dtype
from scenewright.progress import SILENT, Progress
from scenewright.samplers.config import SamplerConfig
from scenewright.sparse.tensor import SparseTensor
from scenewright.systems.genrecon.captures import Capture
from scenewright.systems.genrecon.conditioning import MEMORY_BYTES, NUM_GLOBAL_TOKENS, EncodedViews, condition_points
from scenewright.systems.genrecon.flow import ProjectedFlow, ProjectedLatentFlow, ProjectedStructureFlow
from scenewright.systems.genrecon.joint_decode import (
    MARGIN_CELLS,
    MAX_CELLS,
    Box,
    DecodedPart,
    chunk_cells,
    decode_joint_structure,
    decode_parts,
    joined_surface,
    merged_latent,
    partition,
)
from scenewright.systems.genrecon.lattice import ChunkLattice
from scenewright.systems.genrecon.sampling import (
    BOUNDARY_WIDTH,
    ChunkConditions,
    latent_overlap,
    sample_latents,
    sample_structures,
    stage_generator,
)
from scenewright.systems.genrecon.scene_pieces import SCENE_FINISH, SceneMaterials, SceneVoxels
from scenewright.systems.genrecon.scene_plan import PlanOptions, ScenePlan
from scenewright.systems.genrecon.square_views import square_pixels
from scenewright.types import Mesh
from scenewright.weights.record import LatentStatistics

__all__ = [
    "AS_PUBLISHED",
    "KEEP_NOTHING",
    "ChunkStructures",
    "KeptStages",
    "ReconstructOptions",
    "SceneLatents",
    "SceneNetworks",
    "SceneSurface",
    "encode_views",
    "is_kept_by_us",
    "reconstruct",
    "reconstruction_key",
]

Kept = TypeVar("Kept")
OCCUPANCY_THRESHOLD = -1.0
IMAGE_SIZE = 512


@runtime_checkable
class SceneNetworks(Protocol):
    """The networks of a scene, each loaded when it is asked for; see `systems.genrecon.networks`.

    `latent_resolution` is the number of shape and texture cells along a chunk side.
    """

    latent_resolution: int
    shape_statistics: LatentStatistics
    texture_statistics: LatentStatistics
    device: torch.device

    def encoder(self) -> nn.Module:
        """Pictures `[B, 3, S, S]` in [0, 1] to tokens `[B, 5 + P * P, D]`."""
        ...

    def structure_flow(self) -> ProjectedStructureFlow: ...
    def structure_decoder(self) -> StructureDecoder: ...
    def shape_flow(self) -> ProjectedLatentFlow: ...
    def texture_flow(self) -> ProjectedLatentFlow: ...
    def shape_decoder(self) -> ShapeDecoder: ...
    def texture_decoder(self) -> TextureDecoder: ...

    def weights_sha256(self) -> Mapping[str, str]:
        """Hash of every weight file by its name."""
        ...


@dataclass(frozen=True)
class ReconstructOptions:
    """Published defaults of the whole reconstruction.

    Attributes:
        texture_sampler: the published phone example guides textures with strength 4 (theirs: 5).
        boundary_width: cells along the sides of chunks that follow other chunks in shape and texture.
        image_size: of the squares given to the encoder.
        memory_bytes: ceiling of the working memory of the conditioning.
        max_cells, margin_cells: of a part of the joint decoding.
        published_assembly: pieces of chunks as published; see `scene_objects`.
    """

    plan: PlanOptions = field(default_factory=PlanOptions)
    structure_sampler: SamplerConfig = STRUCTURE_SAMPLER
    shape_sampler: SamplerConfig = SHAPE_SAMPLER
    texture_sampler: SamplerConfig = TEXTURE_SAMPLER
    occupancy_threshold: float = OCCUPANCY_THRESHOLD
    boundary_width: int = BOUNDARY_WIDTH
    image_size: int = IMAGE_SIZE
    chunks_at_once: int = 1
    memory_bytes: int = MEMORY_BYTES
    max_cells: int = MAX_CELLS
    margin_cells: int = MARGIN_CELLS
    finish: FinishOptions = SCENE_FINISH
    published_assembly: bool = False


@dataclass(frozen=True)
class ChunkStructures:
    """Occupied cells of every chunk, and the structure latents they were decoded from."""

    cells: tuple[Int[Tensor, "_ 3"], ...]
    latents: Float[Tensor, "K C r r r"]


@dataclass(frozen=True)
class SceneLatents:
    """Normalised latents on the cells of every chunk, packed in the order of the chunks."""

    rows: Float[Tensor, "T C"]


@dataclass(frozen=True)
class SceneSurface:
    """The raw surface of the scene in the joint frame, with its materials."""

    mesh: Mesh
    materials: SceneMaterials


# A file by which a folder of results is known, so that no other folder is ever deleted.
_MARK = ".results-of-a-capture"


def is_kept_by_us(folder: Path) -> bool:
    """Whether a folder holds results that `KeptStages` wrote, or nothing."""
    return folder.is_dir() and ((folder / _MARK).is_file() or not any(folder.iterdir()))


@dataclass(frozen=True)
class KeptStages:
    """Results of stages in a folder, each with the fingerprint of what it depends on; no folder keeps nothing."""

    folder: Path | None = None
    key: str = ""

    def kept(self, stage: str, kind: type[Kept], build: Callable[[], Kept]) -> Kept:
        """The kept result of a stage, or that of `build`, kept from now on."""
        if self.folder is None:
            return build()
        store, path = Store(self.folder), self.folder / f"{stage}.safetensors"
        if store.read(stage, self.key) is not None:
            try:
                return load_data(path, kind)
            except InputError:  # damaged since
                pass
        result = build()
        make_folder(self.folder)
        (self.folder / _MARK).touch()
        store.forget(stage)
        save_data(path, result)
        store.write(stage, self.key, {})
        return result


KEEP_NOTHING = KeptStages()
AS_PUBLISHED = ReconstructOptions()


def reconstruct(
    capture: Capture,
    plan: ScenePlan,
    networks: SceneNetworks,
    options: ReconstructOptions = AS_PUBLISHED,
    *,
    seed: int = 0,
    keep_in: Path | None = None,
    progress: Progress = SILENT,
) -> SceneSurface:
    """The surface and materials of a planned scene.

    Args:
        keep_in: folder for results of stages; a later call with the same arguments goes on from them.

    Raises:
        EmptyStructureError: the networks found nothing.
        InputError: a picture cannot be read.
    """
    stages = KeptStages(keep_in, reconstruction_key(capture, plan, networks.weights_sha256(), options, seed))
    views = stages.kept(
        "views", EncodedViews, lambda: encode_views(capture, plan, networks, options.image_size, progress=progress)
    )
    structures = stages.kept(
        "structures", ChunkStructures, lambda: _structures(plan, views, networks, options, seed, progress)
    )
    if not any(len(cells) for cells in structures.cells):
        raise EmptyStructureError("The networks found no occupied cell in any chunk; try another seed.")
    shapes = stages.kept(
        "shapes",
        SceneLatents,
        lambda: _latents("shape", networks.shape_flow(), plan, views, structures, None, options, seed, progress),
    )
    textures = stages.kept(
        "textures",
        SceneLatents,
        lambda: _latents(
            "texture", networks.texture_flow(), plan, views, structures, shapes.rows, options, seed, progress
        ),
    )
    return _decoded(plan, structures, shapes, textures, networks, options, stages, progress)


@torch.no_grad()
def encode_views(
    capture: Capture, plan: ScenePlan, networks: SceneNetworks, size: int = IMAGE_SIZE, *, progress: Progress = SILENT
) -> EncodedViews:
    """Tokens of all square views, one picture in memory at a time."""
    encoder, tokens = networks.encoder(), []
    advance = progress.stage("encode")
    opened: tuple[int, Any] | None = None
    for done, view in enumerate(plan.views, 1):
        if opened is None or opened[0] != view.picture:
            opened = view.picture, capture.pictures[view.picture].read()
        pixels = square_pixels(opened[1], view.crop, size)
        tokens.append(encoder(pixels[None].to(networks.device))[0].float().cpu())
        advance(done, len(plan.views))
    return EncodedViews(
        torch.stack(tokens),
        torch.stack([view.cam_from_joint for view in plan.views]),
        torch.stack([view.intrinsics_unit for view in plan.views]),
        1 + encoder.config.num_registers if isinstance(encoder, Dinov3) else NUM_GLOBAL_TOKENS,
    )


def _structures(
    plan: ScenePlan,
    views: EncodedViews,
    networks: SceneNetworks,
    options: ReconstructOptions,
    seed: int,
    progress: Progress,
) -> ChunkStructures:
    flow = networks.structure_flow()
    on_device = _on_device(views, networks.device)
    translations = plan.chunks.relative_translation.float()
    lattice = ChunkLattice.from_translations(translations, flow.config.resolution)
    if not lattice.is_exact(translations):
        raise InputError(
            f"Chunks have to stand whole cells of the structure latent apart, of which these networks have "
            f"{lattice.resolution} along a chunk side; plan the scene with lattice_cells={lattice.resolution}."
        )
    points = lattice.centres(lattice.all_cells()).to(networks.device)
    rows = condition_points(
        flow.aggregator, on_device, points, dtype=_products_dtype(flow), memory_bytes=options.memory_bytes
    )
    grid = rows.unflatten(0, lattice.size)
    conditions = ChunkConditions(
        on_device.tokens[list(plan.chunk_views)],
        [lattice.cut(grid, chunk).flatten(0, 2) for chunk in range(len(lattice.offsets))],
    )
    latents = sample_structures(
        flow,
        conditions,
        lattice,
        options.structure_sampler,
        stage_generator(seed, "structure"),
        chunks_at_once=options.chunks_at_once,
        advance=progress.stage("structure"),
    )
    resolution = networks.latent_resolution
    logits = decode_joint_structure(networks.structure_decoder(), latents, translations, resolution)
    cells = tuple(chunk_cells(own, options.occupancy_threshold).cpu() for own in logits)
    return ChunkStructures(cells, latents.cpu())


def _latents(
    stage: str,
    flow: ProjectedLatentFlow,
    plan: ScenePlan,
    views: EncodedViews,
    structures: ChunkStructures,
    concat: Float[Tensor, "T C"] | None,
    options: ReconstructOptions,
    seed: int,
    progress: Progress,
) -> SceneLatents:
    """Latents of one stage; each distinct cell is conditioned once and copied to the chunks that hold it."""
    device = next(flow.parameters()).device
    on_device = _on_device(views, device)
    lattice = ChunkLattice.from_translations(plan.chunks.relative_translation.float(), flow.config.resolution)
    overlap = latent_overlap(lattice, structures.cells, options.boundary_width)
    points = lattice.centres(overlap.cells).to(device)
    rows = condition_points(
        flow.aggregator, on_device, points, dtype=_products_dtype(flow), memory_bytes=options.memory_bytes
    )
    lengths = [len(cells) for cells in structures.cells]
    conditions = ChunkConditions(
        on_device.tokens[list(plan.chunk_views)], overlap.to(device).copied(rows).split(lengths)
    )
    sampler = options.shape_sampler if stage == "shape" else options.texture_sampler
    result = sample_latents(
        flow,
        conditions,
        structures.cells,
        overlap,
        sampler,
        stage_generator(seed, stage),
        concat=None if concat is None else concat.to(device),
        chunks_at_once=options.chunks_at_once,
        advance=progress.stage(stage),
    )
    return SceneLatents(result.cpu())


def _decoded(
    plan: ScenePlan,
    structures: ChunkStructures,
    shapes: SceneLatents,
    textures: SceneLatents,
    networks: SceneNetworks,
    options: ReconstructOptions,
    stages: KeptStages,
    progress: Progress,
) -> SceneSurface:
    resolution = networks.latent_resolution
    lattice = ChunkLattice.from_translations(plan.chunks.relative_translation.float(), resolution)
    lengths = [len(cells) for cells in structures.cells]
    device = networks.device
    shape, texture = (
        denormalized(_to(merged_latent(lattice, structures.cells, latents.rows.split(lengths)), device), statistics)
        for latents, statistics in ((shapes, networks.shape_statistics), (textures, networks.texture_statistics))
    )
    shape_decoder, texture_decoder = networks.shape_decoder(), networks.texture_decoder()

    def decode_shape(latent: SparseTensor) -> tuple[ShapeFields, Pyramid]:
        decoded = shape_decoder(latent)
        return shape_decoder.fields(decoded), decoded.pyramid

    def decode_texture(latent: SparseTensor, pyramid: Pyramid) -> SparseTensor:
        decoded = texture_decoder(latent, pyramid)
        return decoded.voxels.replace(texture_decoder.materials(decoded))

    per_cell = 2**shape_decoder.num_steps
    boxes = partition(shape.coords[:, 1:].cpu(), max_cells=options.max_cells, margin=options.margin_cells)
    advance, parts = progress.stage("decode"), []
    for index, box in enumerate(boxes):

        def build(box: Box = box) -> DecodedPart:
            (part,) = decode_parts(
                shape,
                decode_shape,
                [box],
                voxels_per_cell=per_cell,
                margin=options.margin_cells,
                texture=texture,
                decode_texture=decode_texture,
            )
            return part

        parts.append(stages.kept(f"part_{index:03d}", DecodedPart, build))
        advance(index + 1, len(boxes))
    side = resolution * per_cell
    mesh, coords, materials = joined_surface(parts, lattice, side)
    assert materials is not None
    return SceneSurface(mesh, SceneVoxels.on_lattice(coords, materials, lattice, side))


def _products_dtype(flow: ProjectedFlow) -> torch.dtype:
    """As the blocks compute; float16 has no products on a processor."""
    return torch.bfloat16 if torso_dtype(flow.torso) == torch.bfloat16 else torch.float32


def _on_device(views: EncodedViews, device: torch.device) -> EncodedViews:
    return replace(
        views,
        tokens=views.tokens.to(device),
        cam_from_joint=views.cam_from_joint.to(device),
        intrinsics_unit=views.intrinsics_unit.to(device),
    )


def _to(latent: SparseTensor, device: torch.device) -> SparseTensor:
    return SparseTensor(latent.feats.to(device), latent.voxels.to(device))


def reconstruction_key(
    capture: Capture, plan: ScenePlan, weights_sha256: Mapping[str, str], options: ReconstructOptions, seed: int
) -> str:
    """Key of everything that the result depends on; pictures by name, size and time of change."""
    used = [capture.pictures[index] for index in plan.pictures]
    pictures = [
        (picture.name, files_stamp(picture.path))
        if picture.image is None
        else (picture.name, hashlib.sha256(picture.image.tobytes()).hexdigest())
        for picture in used
    ]
    settings = asdict(replace(options, finish=SCENE_FINISH, published_assembly=False))
    return key_of(
        pictures=pictures,
        views=[(view.crop, view.intrinsics_unit.tolist(), view.cam_from_joint.tolist()) for view in plan.views],
        chunk_views=plan.chunk_views,
        chunks=[plan.chunks.centres.tolist(), plan.chunks.size],
        weights=dict(weights_sha256),
        options=settings,
        seed=seed,
    )
