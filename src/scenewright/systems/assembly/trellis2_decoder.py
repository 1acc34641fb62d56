"""Voxels to objects with TRELLIS.2: shape and texture latents of all objects in packed batches, then each decoded.

Both backbones share the structure latent, so voxels of any system serve; a plan that starts from a coarser grid takes
the occupied cells of that grid. Pictures of the objects are encoded by the encoder of this backbone.
Source: trellis2 sheet sections 8.3, 10, 11.1.

Legend: N latent tokens, W objects, L condition tokens, C channels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.backbones.trellis2.decoding import decode_materials, decode_shape, object_surface
from scenewright.backbones.trellis2.object_sampling import PLANS, ObjectPlan, PlanName
from scenewright.backbones.trellis2.pretrained import Trellis2
from scenewright.backbones.trellis2.sampling import (
    latent_noise,
    sample_shape_latent,
    sample_texture_latent,
    upsampled_cascade,
)
from scenewright.backbones.trellis2.weights import REPOSITORY
from scenewright.encoders.dinov3 import Dinov3
from scenewright.errors import EmptyStructureError, InputError
from scenewright.geometry.mesh.finish import FinishOptions
from scenewright.geometry.mesh.surface_color import VoxelField
from scenewright.machine import memory_in_use
from scenewright.nn.precision import torso_dtype
from scenewright.progress import SILENT, Progress, by_fraction
from scenewright.samplers.config import SamplerConfig
from scenewright.sparse.tensor import SparseTensor
from scenewright.systems.assembly.decoding import GeneratorOf, RawObject, packed_voxels
from scenewright.systems.assembly.memory import batches_within
from scenewright.systems.assembly.structures import PlacedStructures
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.systems.single_object.trellis2 import encode_picture, load_image_encoder
from scenewright.weights.hub import find_file, is_local_source

__all__ = ["Trellis2Decoder", "coarser_coords"]

# Peak of activations per token, in rows of the flow's width (measured; see memory.py).
_ROWS_PER_TOKEN = 32

# Decoding one object: bytes for each voxel of the finest grid (benchmarks/trellis2_decode_memory.py, rounded up), and
# how many of those a surface has for each latent token, four doublings coarser.
_BYTES_PER_FINEST_VOXEL, _FINEST_VOXELS_PER_TOKEN = 3300, 4**4


@dataclass(frozen=True)
class Trellis2Decoder:
    """The latent flows and decoders of TRELLIS.2 with the encoder their condition comes from."""

    networks: Trellis2
    encoder: Dinov3
    plan: ObjectPlan
    weights: Mapping[str, Path]
    name: str = "trellis2"

    @property
    def source(self) -> str:
        return self.networks.source

    @property
    def finish(self) -> FinishOptions:
        return FinishOptions(max_faces=50_000, texture_size=1024, normal_map=True)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path = REPOSITORY,
        *,
        plan: PlanName | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        keep_loaded: bool = False,
        offline: bool = False,
        report: Callable[[str], None] | None = None,
    ) -> "Trellis2Decoder":
        """The networks of a local folder or hub repository; flows and decoders are loaded when they are needed.

        Args:
            plan: way to the resolution; None is the one published with the weights.
            keep_loaded: keep every network in memory for the next scene.

        Raises:
            WeightsError: files are missing, damaged, or do not fit.
            InputError: the published plan is unknown.
        """
        networks = Trellis2(source, device=device, dtype=dtype, keep_loaded=keep_loaded, offline=offline, report=report)
        name = plan or networks.default_plan
        if name not in PLANS:
            raise InputError(f"Expected a plan out of {', '.join(PLANS)}, got '{name}'.")
        chosen = PLANS[name]  # type: ignore[index]
        encoder = load_image_encoder(networks, device=device, offline=offline)
        weights = {key: networks.weights_file(key) for key in _keys(chosen)}
        if is_local_source(source):
            weights["image_encoder"] = find_file(source, f"{networks.image_encoder}.safetensors", offline=offline)
        return cls(networks, encoder, chosen, weights)

    @torch.no_grad()
    def decode(
        self,
        structures: PlacedStructures,
        generator_of: GeneratorOf,
        options: GenerateOptions = DEFAULT,
        *,
        progress: Progress = SILENT,
    ) -> list[RawObject | None]:
        """See `ObjectDecoder.decode`."""
        present = [index for index, xyz in enumerate(structures.coords) if len(xyz)]
        found: list[RawObject | None] = [None] * len(structures.coords)
        if not present:
            return found
        sampling = _SceneSampling(self, [structures.pictures[index] for index in present], options, progress)
        generators = [lambda stage, index=index: generator_of(index, stage) for index in present]
        coords = [
            coarser_coords(structures.coords[index], structures.resolution, self.plan.structure_resolution)
            for index in present
        ]
        shapes, resolutions = sampling.shapes(coords, generators)
        self._check_decoding(shapes, options.max_memory_bytes, [str(index + 1) for index in present])
        textures = sampling.textures(shapes, generators)
        for place, index in enumerate(present):
            sampling.report("decode", place / len(present))
            found[index] = self._decoded(shapes[place], textures[place], resolutions[place])
        return found

    def _check_decoding(self, shapes: Sequence[SparseTensor], ceiling: int | None, names: Sequence[str]) -> None:
        """Refuses what cannot be decoded below the ceiling, before more time goes into it."""
        if ceiling is None:
            return
        decoder = self.networks.network("shape_slat_decoder")  # so that its weights are in use
        in_use = memory_in_use(self.networks.device)
        del decoder
        costs = [len(shape.feats) * _FINEST_VOXELS_PER_TOKEN * _BYTES_PER_FINEST_VOXEL for shape in shapes]
        batches_within(costs, ceiling, in_use, names=names)

    def _decoded(self, shape: SparseTensor, texture: SparseTensor, resolution: int) -> RawObject | None:
        try:
            grids, pyramid = decode_shape(self.networks.network("shape_slat_decoder"), shape, resolution)
            surface = object_surface(grids[0])
        except EmptyStructureError:
            return None
        voxels = decode_materials(self.networks.network("tex_slat_decoder"), texture, pyramid, resolution)
        return RawObject(surface, VoxelField(voxels[0]))


def coarser_coords(coords: Int[Tensor, "N 3"], resolution: int, coarser: int) -> Int[Tensor, "M 3"]:
    """Cells of a grid of `coarser` cells per side that hold a voxel of a grid of `resolution`, lexicographic, int32.

    Raises:
        InputError: `coarser` does not divide `resolution`.
    """
    if resolution % coarser:
        raise InputError(f"Voxels on a grid of {resolution} cannot be decoded by a plan that starts from {coarser}.")
    return (coords.int() // (resolution // coarser)).unique(dim=0)


class _SceneSampling:
    """The latent stages of one scene: every stage runs over all objects, in batches below the memory ceiling."""

    def __init__(
        self, decoder: Trellis2Decoder, pictures: Sequence[Any], options: GenerateOptions, progress: Progress
    ) -> None:
        self.networks, self.plan, self.options = decoder.networks, decoder.plan, options
        self.report = by_fraction(progress)
        device = self.networks.device
        self.report("encode", 0.0)
        encoded = [
            encode_picture(picture, decoder.encoder, self.plan.condition_sizes, device=device) for picture in pictures
        ]
        self.tokens = {size: torch.cat([tokens[size] for tokens in encoded]) for size in self.plan.condition_sizes}

    def shapes(
        self, coords: Sequence[Int[Tensor, "_ 3"]], generators: Sequence[Callable[[str], torch.Generator]]
    ) -> tuple[list[SparseTensor], list[int]]:
        """Shape latent of every object, and the resolution of the voxels it decodes to."""
        first = self.plan.first_resolution
        condition = self.tokens[512] if first == 512 else self.tokens[self.plan.condition_sizes[-1]]
        shapes = self._shape_stage(f"shape_slat_flow_model_{first}", "shape", coords, condition, generators)
        resolutions = [first] * len(coords)
        if not self.plan.is_cascade:
            return shapes, resolutions
        decoder = self.networks.network("shape_slat_decoder")
        finer = []
        for index, shape in enumerate(shapes):
            rows, resolutions[index] = upsampled_cascade(
                decoder, shape, self.plan.target_resolution, lowest_resolution=first
            )
            finer.append(rows[:, 1:])
        del decoder  # so that its memory can go to the next flow
        key, condition = f"shape_slat_flow_model_{self.plan.flow_size}", self.tokens[self.plan.condition_sizes[-1]]
        return self._shape_stage(key, "fine shape", finer, condition, generators), resolutions

    def textures(
        self, shapes: Sequence[SparseTensor], generators: Sequence[Callable[[str], torch.Generator]]
    ) -> list[SparseTensor]:
        """Texture latent of every object."""
        networks, condition = self.networks, self.tokens[self.plan.condition_sizes[-1]]
        flow = networks.network(f"tex_slat_flow_model_{self.plan.flow_size}")

        def sample(batch: list[int]) -> SparseTensor:
            shape_channels = shapes[batch[0]].feats.shape[1]
            channels = flow.config.in_channels - shape_channels
            coords = [shapes[index].coords[:, 1:] for index in batch]
            packed = SparseTensor(
                torch.cat([shapes[index].feats for index in batch]), packed_voxels(coords, networks.device)
            )
            noise = [latent_noise(len(shapes[index].feats), channels, generators[index]("texture")) for index in batch]
            return sample_texture_latent(
                flow,
                condition[batch],
                packed,
                torch.cat(noise),
                self._sampler("texture"),
                networks.texture_statistics,
                networks.shape_statistics,
                progress=lambda step, steps: self.report("texture", step / steps),
            )

        return self._batched(flow, [len(shape.feats) for shape in shapes], condition.shape[1], sample)

    def _shape_stage(
        self,
        key: str,
        stage: Literal["shape", "fine shape"],
        coords: Sequence[Int[Tensor, "_ 3"]],
        condition: Float[Tensor, "W L C"],
        generators: Sequence[Callable[[str], torch.Generator]],
    ) -> list[SparseTensor]:
        flow = self.networks.network(key)

        def sample(batch: list[int]) -> SparseTensor:
            channels = flow.config.in_channels
            noise = [latent_noise(len(coords[index]), channels, generators[index](stage)) for index in batch]
            return sample_shape_latent(
                flow,
                condition[batch],
                packed_voxels([coords[index] for index in batch], self.networks.device),
                torch.cat(noise),
                self._sampler("shape"),
                self.networks.shape_statistics,
                progress=lambda step, steps: self.report(stage, step / steps),
            )

        return self._batched(flow, [len(xyz) for xyz in coords], condition.shape[1], sample)

    def _batched(
        self, flow: Any, counts: Sequence[int], length: int, sample: Callable[[list[int]], SparseTensor]
    ) -> list[SparseTensor]:
        """`sample` over batches below the ceiling; one latent of batch size 1 per object."""
        config, itemsize = flow.config, torso_dtype(flow.torso).itemsize
        context = 2 * length * config.model_channels * config.num_blocks * itemsize
        costs = [context + count * _ROWS_PER_TOKEN * config.model_channels * itemsize for count in counts]
        in_use = memory_in_use(self.networks.device)
        separate: list[SparseTensor] = []
        for batch in batches_within(costs, self.options.max_memory_bytes, in_use):
            latents = sample(batch)
            for item in range(len(batch)):
                xyz, feats = latents.item(item)
                separate.append(SparseTensor(feats, packed_voxels([xyz], feats.device)))
        return separate

    def _sampler(self, stage: str) -> SamplerConfig:
        published = self.networks.sampler(stage)
        steps = self.options.sampling.steps
        return published if steps is None else replace(published, steps=steps)


def _keys(plan: ObjectPlan) -> list[str]:
    """Networks that decoding needs, by their key in the pipeline file."""
    flows = [f"shape_slat_flow_model_{plan.first_resolution}", f"tex_slat_flow_model_{plan.flow_size}"]
    if plan.is_cascade:
        flows.append(f"shape_slat_flow_model_{plan.flow_size}")
    return [*flows, "shape_slat_decoder", "tex_slat_decoder"]
