"""Voxels to objects with TRELLIS.2: shape and texture latents of all objects in packed batches, then each decoded.

Both backbones share the structure latent, so voxels of any system serve; a plan that starts from a coarser grid takes
the occupied cells of that grid. Pictures of the objects are encoded by the encoder of this backbone.
Source: microsoft/TRELLIS.2 trellis2/pipelines/trellis2_image_to_3d.py.

Legend: N latent tokens, W objects, L condition tokens, C channels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from scenewright.backbones.networks import NetworkKey, PublishedNetworks
from scenewright.backbones.trellis2 import SPEC
from scenewright.backbones.trellis2.config import MAX_NUM_TOKENS
from scenewright.backbones.trellis2.decoding import decode_materials, decode_shape, object_surface
from scenewright.backbones.trellis2.latent_flow import LatentFlow
from scenewright.backbones.trellis2.plans import ObjectPlan, plan_named
from scenewright.backbones.trellis2.pretrained import (
    SHAPE_DECODER,
    TEXTURE_DECODER,
    default_plan,
    shape_flow,
    texture_flow,
    trellis2_networks,
)
from scenewright.backbones.trellis2.sampling import (
    latent_noise,
    sample_shape_latent,
    sample_texture_latent,
    upsampled_cascade,
)
from scenewright.backbones.trellis2.shape_vae import ShapeDecoder
from scenewright.backbones.trellis2.texture_vae import TextureDecoder
from scenewright.encoders.dinov3 import Dinov3
from scenewright.encoders.pictures import encode_pictures
from scenewright.encoders.preprocess.trellis2 import resized_for_encoder
from scenewright.encoders.weights import load_named_dinov3
from scenewright.errors import EmptyStructureError, InputError, OutOfMemoryBudgetError
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.geometry.mesh.surface_color import VoxelField
from scenewright.machine import memory_in_use
from scenewright.nn.precision import torso_dtype
from scenewright.progress import SILENT, Progress
from scenewright.sparse.tensor import SparseTensor, packed_voxels
from scenewright.systems.assembly.decoding import Draw, GeneratorOf, RawObject, decode_present
from scenewright.systems.assembly.memory import batches_within
from scenewright.systems.assembly.structures import PlacedStructures
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.weights.source import WeightsSource

__all__ = ["ObjectLatents", "Trellis2Decoder", "coarser_coords"]

Tokens = Mapping[int, Float[Tensor, "W L C"]]
"""Condition tokens of all objects by the side of the pictures they were made from."""

# Peak of activations per token, in rows of the flow's width (measured; see memory.py).
_ROWS_PER_TOKEN = 32

# Decoding one object: bytes for each voxel of the finest grid (benchmarks/trellis2_decode_memory.py, rounded up), and
# how many of those a surface has for each latent token, four doublings coarser.
_BYTES_PER_FINEST_VOXEL, _FINEST_VOXELS_PER_TOKEN = 3300, 4**4


@dataclass(frozen=True)
class ObjectLatents:
    """One object's denormalised latents on the same tokens, and the resolution of the voxels they decode to."""

    shape: SparseTensor
    texture: SparseTensor
    resolution: int


@dataclass(frozen=True)
class Trellis2Decoder:
    """The latent flows and decoders of TRELLIS.2 with the encoder their condition comes from.

    `max_num_tokens` is the published limit of latent tokens: a cascade lowers its resolution until it needs fewer,
    plans without a cascade refuse them.
    """

    networks: PublishedNetworks
    encoder: Dinov3
    plan: ObjectPlan
    weights: Mapping[str, Path]
    max_num_tokens: int = MAX_NUM_TOKENS
    name: str = SPEC.name

    @property
    def source(self) -> str:
        return str(self.networks.source)

    @property
    def device(self) -> torch.device:
        return self.networks.device

    @property
    def finish(self) -> FinishOptions:
        return SPEC.finish

    @classmethod
    def from_pretrained(
        cls,
        source: WeightsSource,
        *,
        plan: str | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        keep_loaded: bool = False,
    ) -> "Trellis2Decoder":
        """The networks that `pipeline.json` names; flows and decoders are loaded when they are needed.

        Args:
            plan: way to the resolution; None is the one published with the weights.
            keep_loaded: keep every network in memory for the next scene.

        Raises:
            WeightsError: files are missing, damaged, or do not fit.
            InputError: the plan is unknown.
        """
        networks = trellis2_networks(source, device=device, dtype=dtype, keep_loaded=keep_loaded)
        chosen = plan_named(plan or default_plan(networks))
        encoder, encoder_file = load_named_dinov3(networks.image_encoder, source, device=device)
        sizes = sorted({chosen.first_resolution, chosen.flow_size})
        keys: list[NetworkKey[Any]] = [
            *map(shape_flow, sizes),
            texture_flow(chosen.flow_size),
            SHAPE_DECODER,
            TEXTURE_DECODER,
        ]
        weights = {key.name: networks.weights_file(key) for key in keys}
        return cls(networks, encoder, chosen, weights | {"image_encoder": encoder_file})

    def decode(
        self,
        structures: PlacedStructures,
        generator_of: GeneratorOf,
        options: GenerateOptions = DEFAULT,
        *,
        progress: Progress = SILENT,
    ) -> list[RawObject | None]:
        """See `ObjectDecoder.decode`."""

        def decode(present: list[int]) -> list[RawObject | None]:
            grid = self.plan.structure_resolution
            return self.objects(
                [coarser_coords(structures.coords[index], structures.resolution, grid) for index in present],
                self.encode([structures.pictures[index] for index in present], progress),
                [partial(generator_of, index) for index in present],
                options,
                names=[str(index + 1) for index in present],
                progress=progress,
            )

        return decode_present(structures, decode)

    def encode(self, pictures: Sequence[Image.Image], progress: Progress = SILENT) -> Tokens:
        """Condition tokens of prepared pictures, one of each object, on the networks' device."""
        progress.stage("encode")
        tokens = {}
        for size in self.plan.condition_sizes:
            rows = [encode_pictures([resized_for_encoder(picture, size)], self.encoder) for picture in pictures]
            tokens[size] = torch.cat(rows).to(self.device)
        return tokens

    @torch.no_grad()
    def objects(
        self,
        coords: Sequence[Int[Tensor, "_ 3"]],
        tokens: Tokens,
        draws: Sequence[Draw],
        options: GenerateOptions = DEFAULT,
        *,
        names: Sequence[str] | None = None,
        progress: Progress = SILENT,
    ) -> list[RawObject | None]:
        """The object of every list of voxels; None where the decoder finds no surface.

        Args:
            coords: on a grid of `plan.structure_resolution`, none of them empty.
            draws: of each object's noise, for the stages "shape", "fine shape" (cascades only) and "texture".
            names: what messages call the objects.

        Raises:
            OutOfMemoryBudgetError: not even one object at a time fits the ceiling, or an object has too many tokens.
        """
        latents = _Sampling(self, tokens, draws, options, progress).latents(coords, names)
        found: list[RawObject | None] = []
        with self.networks.loaned(SHAPE_DECODER) as shapes, self.networks.loaned(TEXTURE_DECODER) as textures:
            advance = progress.stage("decode")
            for item in latents:
                advance(len(found), len(latents))
                found.append(_decoded(item, shapes, textures))
        return found


def coarser_coords(coords: Int[Tensor, "N 3"], resolution: int, coarser: int) -> Int[Tensor, "M 3"]:
    """Cells of a grid of `coarser` cells per side that hold a voxel of a grid of `resolution`, lexicographic, int32.

    Raises:
        InputError: `coarser` does not divide `resolution`.
    """
    if resolution % coarser:
        raise InputError(f"Voxels on a grid of {resolution} cannot be decoded by a plan that starts from {coarser}.")
    return (coords.int() // (resolution // coarser)).unique(dim=0)


def _decoded(latents: ObjectLatents, shapes: ShapeDecoder, textures: TextureDecoder) -> RawObject | None:
    try:
        grids, pyramid = decode_shape(shapes, latents.shape, latents.resolution)
        surface = object_surface(grids[0])
    except EmptyStructureError:
        return None
    return RawObject(surface, VoxelField(decode_materials(textures, latents.texture, pyramid, latents.resolution)[0]))


@dataclass(frozen=True)
class _Sampling:
    """The latent stages of all objects: every stage runs over all of them, in batches below the memory ceiling."""

    decoder: Trellis2Decoder
    tokens: Tokens
    draws: Sequence[Draw]
    options: GenerateOptions
    progress: Progress

    def latents(self, coords: Sequence[Int[Tensor, "_ 3"]], names: Sequence[str] | None) -> list[ObjectLatents]:
        shapes, resolutions = self._shapes(coords)
        self._check_decoding(shapes, names)
        textures = self._textures(shapes)
        return [ObjectLatents(*parts) for parts in zip(shapes, textures, resolutions, strict=True)]

    def _shapes(self, coords: Sequence[Int[Tensor, "_ 3"]]) -> tuple[list[SparseTensor], list[int]]:
        """Shape latent of every object, and the resolution of the voxels it decodes to."""
        plan, limit = self.decoder.plan, self.decoder.max_num_tokens
        most = max(map(len, coords))
        if not plan.is_cascade and most >= limit:
            raise OutOfMemoryBudgetError(
                f"The structure needs {most} tokens at resolution {plan.target_resolution}, the limit is {limit}; use "
                "a cascade or raise the limit."
            )
        first, condition = plan.first_resolution, self.tokens[512]
        if first != 512:
            condition = self._fine_tokens
        shapes = self._shape_stage("shape", first, coords, condition)
        if not plan.is_cascade:
            return shapes, [first] * len(coords)
        with self.decoder.networks.loaned(SHAPE_DECODER) as decoder:
            finer = [
                upsampled_cascade(decoder, shape, plan.target_resolution, lowest_resolution=first, max_num_tokens=limit)
                for shape in shapes
            ]
        fine_coords, resolutions = [rows[:, 1:] for rows, _ in finer], [resolution for _, resolution in finer]
        return self._shape_stage("fine shape", plan.flow_size, fine_coords, self._fine_tokens), resolutions

    def _shape_stage(
        self, stage: str, size: int, coords: Sequence[Int[Tensor, "_ 3"]], condition: Float[Tensor, "W L C"]
    ) -> list[SparseTensor]:
        networks = self.decoder.networks

        def sample(flow: LatentFlow, batch: list[int]) -> SparseTensor:
            channels = flow.config.in_channels
            return sample_shape_latent(
                flow,
                condition[batch],
                packed_voxels([coords[index] for index in batch], networks.device),
                torch.cat([latent_noise(len(coords[index]), channels, self.draws[index](stage)) for index in batch]),
                networks.sampler("shape").overridden(self.options.sampling),
                networks.statistics("shape"),
                progress=self.progress.stage(stage),
            )

        with networks.loaned(shape_flow(size)) as flow:
            return self._batched(flow, [len(xyz) for xyz in coords], condition.shape[1], sample)

    def _textures(self, shapes: Sequence[SparseTensor]) -> list[SparseTensor]:
        """Texture latent of every object; materials are published without guidance, so none is taken from the user."""
        networks, condition = self.decoder.networks, self._fine_tokens
        sampler = networks.sampler("texture").overridden(self.options.sampling.unguided)

        def sample(flow: LatentFlow, batch: list[int]) -> SparseTensor:
            chosen = [shapes[index] for index in batch]
            voxels = packed_voxels([shape.coords[:, 1:] for shape in chosen], networks.device)
            packed = SparseTensor(torch.cat([shape.feats for shape in chosen]), voxels)
            channels = flow.config.in_channels - packed.feats.shape[1]
            noise = [latent_noise(len(shapes[index].feats), channels, self.draws[index]("texture")) for index in batch]
            return sample_texture_latent(
                flow,
                condition[batch],
                packed,
                torch.cat(noise),
                sampler,
                networks.statistics("texture"),
                networks.statistics("shape"),
                progress=self.progress.stage("texture"),
            )

        with networks.loaned(texture_flow(self.decoder.plan.flow_size)) as flow:
            return self._batched(flow, [len(shape.feats) for shape in shapes], condition.shape[1], sample)

    def _batched(
        self,
        flow: LatentFlow,
        counts: Sequence[int],
        length: int,
        sample: Callable[[LatentFlow, list[int]], SparseTensor],
    ) -> list[SparseTensor]:
        """`sample` over batches below the ceiling; one latent of batch size 1 per object."""
        config, itemsize = flow.config, torso_dtype(flow.torso).itemsize
        context = 2 * length * config.model_channels * config.num_blocks * itemsize
        costs = [context + count * _ROWS_PER_TOKEN * config.model_channels * itemsize for count in counts]
        separate: list[SparseTensor] = []
        for batch in batches_within(costs, self.options.max_memory_bytes, memory_in_use(self.decoder.device)):
            latents = sample(flow, batch)
            for item in range(len(batch)):
                xyz, feats = latents.item(item)
                separate.append(SparseTensor(feats, packed_voxels([xyz], feats.device)))
        return separate

    def _check_decoding(self, shapes: Sequence[SparseTensor], names: Sequence[str] | None) -> None:
        """Refuses what cannot be decoded below the ceiling, before more time goes into it."""
        ceiling, networks = self.options.max_memory_bytes, self.decoder.networks
        if ceiling is None:
            return
        with networks.loaned(SHAPE_DECODER), networks.loaned(TEXTURE_DECODER):
            in_use = memory_in_use(networks.device)
        costs = [len(shape.feats) * _FINEST_VOXELS_PER_TOKEN * _BYTES_PER_FINEST_VOXEL for shape in shapes]
        batches_within(costs, ceiling, in_use, names=names)

    @property
    def _fine_tokens(self) -> Float[Tensor, "W L C"]:
        """The tokens that the last shape flow and the texture flow are conditioned on."""
        return self.tokens[self.decoder.plan.condition_sizes[-1]]
