"""Voxels to objects with TRELLIS v1: all objects' latents in one packed batch, then each decoded to mesh and Gaussians.

Every object is conditioned on its own image tokens only. Several views take turns, and the last step averages them
(SceneGen sheet, section 4.2). Source: trellis1 sheet sections 6 to 8, 10.

Legend: N voxels, W objects, K views, L tokens, C channels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scenewright.backbones.trellis1.pretrained import load_named_network, read_pipeline, read_sampler
from scenewright.backbones.trellis1.slat_decoders import SLatGaussianDecoder, SLatMeshDecoder
from scenewright.backbones.trellis1.slat_flow import SLatFlow
from scenewright.backbones.trellis1.weights import IMAGE_REPOSITORY
from scenewright.geometry.isosurface.mesh_extraction import extract_mesh
from scenewright.geometry.mesh.finish import FinishOptions
from scenewright.geometry.mesh.surface_color import SplatField
from scenewright.machine import memory_in_use
from scenewright.nn.flow_context import FlowContext
from scenewright.nn.precision import torso_dtype
from scenewright.progress import SILENT, Progress, by_fraction
from scenewright.samplers.config import SamplerConfig
from scenewright.samplers.euler import euler
from scenewright.samplers.guidance import Velocity, guided, mean_velocity, round_robin
from scenewright.samplers.schedule import rescaled_times
from scenewright.sparse.tensor import SparseTensor
from scenewright.systems.assembly.decoding import GeneratorOf, RawObject, packed_voxels
from scenewright.systems.assembly.memory import batches_within
from scenewright.systems.assembly.structures import PlacedStructures
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.weights.hub import find_file
from scenewright.weights.record import LatentStatistics

__all__ = ["Trellis1Decoder", "sample_latents"]

Network = TypeVar("Network", bound=nn.Module)

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
    weights: dict[str, Path]
    name: str = "trellis1"

    @property
    def finish(self) -> FinishOptions:
        # The decoder's surface has an inner sheet that no view sees.
        return FinishOptions(max_faces=30_000, texture_size=1024, remove_invisible=True)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path = IMAGE_REPOSITORY,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        offline: bool = False,
        report: Callable[[str], None] | None = None,
    ) -> "Trellis1Decoder":
        """The networks named in the `pipeline.json` of a local folder or hub repository.

        Raises:
            WeightsError: files are missing, damaged, or do not fit.
        """
        arguments = read_pipeline(source, offline=offline)
        models = arguments["models"]
        weights = {}

        def network(key: str, kind: type[Network]) -> Network:
            if report is not None:
                report(f"Loading {key}")
            loaded = load_named_network(
                source, models, key, kind, needed_by="decoding objects", device=device, dtype=dtype, offline=offline
            )
            weights[key] = find_file(source, f"{models[key]}.safetensors", offline=offline)
            return loaded

        statistics = arguments["slat_normalization"]
        return cls(
            flow=network("slat_flow_model", SLatFlow),
            mesh_decoder=network("slat_decoder_mesh", SLatMeshDecoder),
            gaussian_decoder=network("slat_decoder_gs", SLatGaussianDecoder),
            sampler=read_sampler(arguments["slat_sampler"]),
            statistics=LatentStatistics(tuple(statistics["mean"]), tuple(statistics["std"])),
            source=str(source),
            weights=weights,
        )

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
        report = by_fraction(progress)
        device = self.flow.input_layer.weight.device
        present = [index for index, xyz in enumerate(structures.coords) if len(xyz)]
        costs = [self._latent_bytes(structures.coords[index], structures.tokens.shape) for index in present]
        in_use = memory_in_use(device)
        # Objects are decoded one by one when sampling is over; what does not fit then is refused before sampling.
        decoding = self.decoding_bytes([structures.coords[index] for index in present])
        names = [str(index + 1) for index in present]
        batches_within(decoding, options.max_memory_bytes, in_use, names=names)
        batches = batches_within(costs, options.max_memory_bytes, in_use, names=names)
        found: list[RawObject | None] = [None] * len(structures.coords)
        for batch in batches:
            chosen = [present[place] for place in batch]
            latents = sample_latents(
                self.flow,
                [structures.coords[index] for index in chosen],
                structures.tokens[:, chosen].to(device),
                self.configured_sampler(options),
                self.statistics,
                [generator_of(index, "latent") for index in chosen],
                progress=lambda step, steps: report("latent", step / steps),
            )
            for place, index in enumerate(chosen):
                report("decode", place / len(chosen))
                xyz, feats = latents.item(place)
                found[index] = self._decoded(SparseTensor(feats, packed_voxels([xyz], device)))
        return found

    def configured_sampler(self, options: GenerateOptions) -> SamplerConfig:
        """The published sampler with what the user changed."""
        return self.sampler.overridden(options.sampling)

    def _decoded(self, latent: SparseTensor) -> RawObject | None:
        coords, feats = self.mesh_decoder(latent).item(0)
        extracted = extract_mesh(coords, feats, 4 * self.mesh_decoder.trunk_config.resolution)
        if extracted.is_empty:
            return None
        splats = self.gaussian_decoder(latent)[0]
        return RawObject(extracted.to_mesh(), SplatField(splats), splats)

    def decoding_bytes(self, coords: Sequence[Int[Tensor, "_ 3"]]) -> list[int]:
        """What decoding each object adds, to its raw surface, beside what is kept of all others."""
        last_width = self.mesh_decoder.trunk_config.model_channels // 8
        per_voxel = max(_EXTRACTION_BYTES, _DECODER_BYTES + _DECODER_BYTES_PER_CHANNEL * last_width)
        counts = [4**3 * len(item) for item in coords]
        return [count * per_voxel + (sum(counts) - count) * _RESULT_BYTES for count in counts]

    def _latent_bytes(self, coords: Int[Tensor, "n 3"], tokens: Sequence[int]) -> int:
        """What one object adds to the peak of the latent stage."""
        config, itemsize = self.flow.config, torso_dtype(self.flow.torso).itemsize
        width, views, length = config.model_channels, tokens[0], tokens[2]
        context = 2 * views * length * width * config.num_blocks * itemsize
        coarse = (coords >> len(config.io_channels)).unique(dim=0)
        finest = config.io_channels[0] if config.io_channels else 0
        return context + itemsize * (len(coarse) * _ROWS_PER_TOKEN * width + len(coords) * _ROWS_PER_VOXEL * finest)


@torch.no_grad()
def sample_latents(
    flow: SLatFlow,
    coords: Sequence[Int[Tensor, "_ 3"]],
    tokens: Float[Tensor, "K W L C"],
    config: SamplerConfig,
    statistics: LatentStatistics,
    generators: Sequence[torch.Generator],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> SparseTensor:
    """Structured latents of several objects, one batch item each, denormalised.

    Args:
        tokens: condition of each view and object; their device is where the work runs.
        generators: of each object's noise, on the CPU: an object's noise does not depend on the objects beside it.
        progress: called with (steps done, steps).
    """
    device = tokens.device
    voxels = packed_voxels(coords, device)
    channels = flow.config.in_channels
    noise = [torch.randn(len(xyz), channels, generator=draw) for xyz, draw in zip(coords, generators, strict=True)]
    contexts = [flow.project_context(view) for view in tokens]

    def velocity_given(context: FlowContext | None) -> Velocity:
        def velocity(x: Tensor, t: float, step: int) -> Tensor:
            time = torch.full((voxels.batch_size,), 1000 * t, device=device)
            return flow(SparseTensor(x, voxels), time, context).feats

        return velocity

    unconditional = velocity_given(None)
    per_view = [
        guided(velocity_given(context), unconditional, config.guidance_strength, config.guidance_interval)
        for context in contexts
    ]
    in_turn, mean = round_robin(per_view), mean_velocity(per_view)
    latent = euler(
        lambda x, t, step: (mean if step == config.steps - 1 else in_turn)(x, t, step),
        torch.cat(noise).to(device),
        rescaled_times(config.steps, config.rescale_t),
        on_step=None if progress is None else lambda step, t, x, v: progress(step + 1, config.steps),
    )
    return SparseTensor(latent * latent.new_tensor(statistics.std) + latent.new_tensor(statistics.mean), voxels)
