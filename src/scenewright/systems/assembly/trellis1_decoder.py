"""Voxels to objects with TRELLIS v1: all objects' latents in one packed batch, then each decoded to mesh and Gaussians.

Every object is conditioned on its own image tokens only. Several views take turns, and the last step averages them
(SceneGen, multi-view inference). Source: microsoft/TRELLIS trellis/pipelines/trellis_image_to_3d.py.

Legend: N voxels, W objects, K views, L tokens, C channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.backbones.networks import PublishedNetworks
from scenewright.backbones.trellis1 import SPEC
from scenewright.backbones.trellis1.pretrained import GAUSSIAN_DECODER, MESH_DECODER, SLAT_FLOW, trellis1_networks
from scenewright.backbones.trellis1.sampling import MultiImage, sample_latents
from scenewright.backbones.trellis1.slat_decoders import SLatGaussianDecoder, SLatMeshDecoder
from scenewright.backbones.trellis1.slat_flow import SLatFlow
from scenewright.geometry.isosurface.mesh_extraction import extract_mesh
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.geometry.mesh.surface_color import SplatField
from scenewright.machine import memory_in_use
from scenewright.nn.precision import torso_dtype
from scenewright.progress import SILENT, Progress
from scenewright.samplers.config import SamplerConfig
from scenewright.sparse.tensor import SparseTensor, packed_voxels
from scenewright.systems.assembly.decoding import Draw, GeneratorOf, RawObject, decode_present
from scenewright.systems.assembly.memory import batches_within
from scenewright.systems.assembly.structures import PlacedStructures
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.weights.record import LatentStatistics
from scenewright.weights.source import WeightsSource

__all__ = ["Trellis1Decoder"]

# Peak of activations per voxel, in rows of the width of the layers they pass (measured; see memory.py).
_ROWS_PER_TOKEN = 24
_ROWS_PER_VOXEL = 40

# Bytes for each voxel of the four times finer grid, resident while one object is decoded, measured
# (benchmarks/memory_ceiling.py): running the mesh decoder, by the width of its last block, and extracting the surface
# from its 101 numbers, whichever is more. What remains of an object afterwards, its raw surface and Gaussians, is kept
# until all are decoded.
_DECODER_BYTES, _DECODER_BYTES_PER_CHANNEL, _EXTRACTION_BYTES = 1450, 14, 2600
_RESULT_BYTES = 220


@dataclass(frozen=True)
class Trellis1Decoder:
    """The latent flow and the two decoders of TRELLIS v1, all on one device."""

    flow: SLatFlow
    mesh_decoder: SLatMeshDecoder
    gaussian_decoder: SLatGaussianDecoder
    sampler: SamplerConfig
    statistics: LatentStatistics
    source: str
    weights: Mapping[str, Path]
    name: str = SPEC.name

    @property
    def device(self) -> torch.device:
        return self.flow.input_layer.weight.device

    @property
    def finish(self) -> FinishOptions:
        return SPEC.finish

    @classmethod
    def from_pretrained(
        cls,
        source: WeightsSource,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> "Trellis1Decoder":
        """The networks that `pipeline.json` names.

        Args:
            dtype: of the repeated blocks; None is float16 on CUDA and float32 elsewhere.

        Raises:
            WeightsError: files are missing, damaged, or do not fit.
        """
        return cls.of(trellis1_networks(source, device=device, dtype=dtype))

    @classmethod
    def of(cls, networks: PublishedNetworks) -> "Trellis1Decoder":
        """The decoder with its own copies of the published networks."""
        return cls(
            flow=networks.load(SLAT_FLOW),
            mesh_decoder=networks.load(MESH_DECODER),
            gaussian_decoder=networks.load(GAUSSIAN_DECODER),
            sampler=networks.sampler("latent"),
            statistics=networks.statistics("latent"),
            source=str(networks.source),
            weights={key.name: networks.weights_file(key) for key in (SLAT_FLOW, MESH_DECODER, GAUSSIAN_DECODER)},
        )

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
            return self.objects(
                [structures.coords[index] for index in present],
                structures.tokens[:, present].to(self.device),
                [partial(generator_of, index) for index in present],
                options,
                names=[str(index + 1) for index in present],
                progress=progress,
            )

        return decode_present(structures, decode)

    @torch.no_grad()
    def objects(
        self,
        coords: Sequence[Int[Tensor, "_ 3"]],
        tokens: Float[Tensor, "K W L C"],
        draws: Sequence[Draw],
        options: GenerateOptions = DEFAULT,
        *,
        multi_image: MultiImage = "mean_at_the_end",
        names: Sequence[str] | None = None,
        progress: Progress = SILENT,
    ) -> list[RawObject | None]:
        """The object of every list of voxels; None where the decoder finds no surface.

        Args:
            coords: on a grid of the flow's resolution, none of them empty.
            tokens: condition of each view and object, on the device.
            draws: of each object's noise, for the stage "latent".
            names: what messages call the objects.

        Raises:
            OutOfMemoryBudgetError: not even one object at a time fits the ceiling.
        """
        ceiling, in_use = options.max_memory_bytes, memory_in_use(self.device)
        # Objects are decoded one by one when sampling is over; what does not fit then is refused before sampling.
        batches_within(self.decoding_bytes(coords), ceiling, in_use, names=names)
        costs = [self._latent_bytes(xyz, tokens.shape) for xyz in coords]
        found: list[RawObject | None] = []
        for batch in batches_within(costs, ceiling, in_use, names=names):
            latents = sample_latents(
                self.flow,
                [coords[index] for index in batch],
                tokens[:, batch],
                self.sampler.overridden(options.sampling),
                self.statistics,
                [draws[index]("latent") for index in batch],
                multi_image=multi_image,
                progress=progress.stage("latent"),
            )
            advance = progress.stage("decode")
            for item in range(len(batch)):
                advance(item, len(batch))
                xyz, feats = latents.item(item)
                found.append(self._decoded(SparseTensor(feats, packed_voxels([xyz], self.device))))
        return found

    def _decoded(self, latent: SparseTensor) -> RawObject | None:
        coords, feats = self.mesh_decoder(latent).item(0)
        extracted = extract_mesh(coords, feats, 4 * self.mesh_decoder.trunk_config.resolution)
        if extracted.is_empty:
            return None
        splats = self.gaussian_decoder(latent)[0]
        return RawObject(extracted.to_mesh(), SplatField(splats), splats)

    def decoding_bytes(self, coords: Sequence[Int[Tensor, "_ 3"]]) -> list[int]:
        """Memory that decoding an object takes, up to its raw surface, beside what is kept of all others."""
        last_width = self.mesh_decoder.trunk_config.model_channels // 8
        per_voxel = max(_EXTRACTION_BYTES, _DECODER_BYTES + _DECODER_BYTES_PER_CHANNEL * last_width)
        counts = [4**3 * len(item) for item in coords]
        return [count * per_voxel + (sum(counts) - count) * _RESULT_BYTES for count in counts]

    def _latent_bytes(self, coords: Int[Tensor, "n 3"], tokens: Sequence[int]) -> int:
        """Memory that one object adds to the peak of the latent stage."""
        config, itemsize = self.flow.config, torso_dtype(self.flow.torso).itemsize
        width, views, length = config.model_channels, tokens[0], tokens[2]
        context = 2 * views * length * width * config.num_blocks * itemsize
        coarse = (coords >> len(config.io_channels)).unique(dim=0)
        finest = config.io_channels[0] if config.io_channels else 0
        return context + itemsize * (len(coarse) * _ROWS_PER_TOKEN * width + len(coords) * _ROWS_PER_VOXEL * finest)
