"""Stages of TRELLIS.2 from condition tokens: structure, shape latent, texture latent.

Every stage takes its noise as an argument: `structure_noise` and `latent_noise` draw it on the CPU whatever the device,
so that a seed gives the same object everywhere. The published order of draws is structure, shape at low resolution,
shape at high resolution (cascades only), texture. Noise rows follow the order of coordinates.
Source: microsoft/TRELLIS.2 trellis2/pipelines/trellis2_image_to_3d.py and samplers/.

Legend: B samples, L condition tokens, N latent tokens, C channels.
"""

import logging
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.backbones.trellis2.config import DOWNSAMPLING, MAX_NUM_TOKENS
from scenewright.backbones.trellis2.latent_flow import LatentFlow
from scenewright.backbones.trellis2.sparse_unet import SparseUNetDecoder
from scenewright.backbones.trellis2.structure_flow import StructureFlow
from scenewright.errors import OutOfMemoryBudgetError
from scenewright.nn.flow_context import FlowContext
from scenewright.progress import Advance, ignore
from scenewright.samplers.config import SamplerConfig
from scenewright.samplers.euler import euler
from scenewright.samplers.guidance import Velocity, dense_deviation, guided, packed_deviation
from scenewright.samplers.schedule import rescaled_times
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.weights.record import LatentStatistics

__all__ = [
    "cascade_coords",
    "denormalized",
    "latent_noise",
    "normalized",
    "sample_shape_latent",
    "sample_structure_latent",
    "sample_texture_latent",
    "structure_noise",
    "upsampled_cascade",
]

logger = logging.getLogger(__name__)

# A cascade lowers its resolution in these steps, down to the one that needs no lowering.
_RESOLUTION_STEP = 128
_CASCADE_FLOOR = 1024


def structure_noise(flow: StructureFlow, num_samples: int, generator: torch.Generator) -> Float[Tensor, "B C R R R"]:
    """Noise on the dense latent, on the CPU."""
    size = flow.config
    return torch.randn(num_samples, size.in_channels, *[size.resolution] * 3, generator=generator)


def latent_noise(num_tokens: int, channels: int, generator: torch.Generator) -> Float[Tensor, "N C"]:
    """Noise on the tokens of a sparse latent, on the CPU."""
    return torch.randn(num_tokens, channels, generator=generator)


@torch.no_grad()
def sample_structure_latent(
    flow: StructureFlow,
    tokens: Float[Tensor, "B L C"],
    noise: Float[Tensor, "B2 Cz R R R"],
    config: SamplerConfig,
    *,
    progress: Advance = ignore,
) -> Float[Tensor, "B2 Cz R R R"]:
    """Structure latent of every sample.

    Args:
        tokens: condition of every sample, or of one for all.
        noise: taken to the device of `tokens`.
    """

    def velocity_given(context: FlowContext | None) -> Velocity:
        return lambda x, t, step: flow(x, _times(t, len(x), x.device), context)

    context = flow.project_context(tokens.expand(len(noise), -1, -1))
    velocity = _guided(velocity_given(context), velocity_given(None), config, dense_deviation)
    return _integrated(velocity, noise.to(tokens.device), config, progress)


@torch.no_grad()
def sample_shape_latent(
    flow: LatentFlow,
    tokens: Float[Tensor, "B L C"],
    voxels: VoxelSet,
    noise: Float[Tensor, "N Cz"],
    config: SamplerConfig,
    statistics: LatentStatistics,
    *,
    start_time: float = 1.0,
    progress: Advance = ignore,
) -> SparseTensor:
    """Shape latent on the given tokens, denormalised; arguments as in `sample_structure_latent`.

    Args:
        noise: the state at `start_time`: pure noise at 1, a normalised latent mixed with noise below (`interpolate`),
            to refine a guess instead of inventing everything.
    """
    latent = _sample_on_voxels(flow, tokens, voxels, noise, None, config, progress, start_time)
    return denormalized(SparseTensor(latent, voxels), statistics)


@torch.no_grad()
def sample_texture_latent(
    flow: LatentFlow,
    tokens: Float[Tensor, "B L C"],
    shape_latent: SparseTensor,
    noise: Float[Tensor, "N Cz"],
    config: SamplerConfig,
    statistics: LatentStatistics,
    shape_statistics: LatentStatistics,
    *,
    progress: Advance = ignore,
) -> SparseTensor:
    """Texture latent on the tokens of a (denormalised) shape latent, denormalised with its own `statistics`."""
    concat = normalized(shape_latent, shape_statistics).feats
    latent = _sample_on_voxels(flow, tokens, shape_latent.voxels, noise, concat, config, progress)
    return denormalized(shape_latent.replace(latent), statistics)


def upsampled_cascade(
    decoder: SparseUNetDecoder,
    latent: SparseTensor,
    resolution: int,
    *,
    lowest_resolution: int = 512,
    max_num_tokens: int = MAX_NUM_TOKENS,
) -> tuple[Int[Tensor, "N 4"], int]:
    """Tokens of the second flow of a cascade, and the resolution they stand for; see `cascade_coords`."""
    fine_coords = decoder.upsampled_coords(latent, decoder.num_steps)
    return cascade_coords(fine_coords, lowest_resolution, resolution, max_num_tokens)


def cascade_coords(
    fine_coords: Int[Tensor, "M 4"], fine_resolution: int, resolution: int, max_num_tokens: int = MAX_NUM_TOKENS
) -> tuple[Int[Tensor, "N 4"], int]:
    """Latent tokens at the highest resolution up to `resolution` that needs fewer than `max_num_tokens` of them.

    The resolution falls in steps of 128. At exactly 1024 any number of tokens is accepted; a target from which the
    steps miss 1024 has no such floor, as published. The count is over the whole batch.

    Args:
        fine_coords: voxels (batch, x, y, z) of the first flow's decoded shape, on a grid of `fine_resolution`.

    Returns:
        Lexicographic tokens on a grid of (resolution // 16), int32, and the resolution used.

    Raises:
        OutOfMemoryBudgetError: not even the coarsest grid has few enough tokens.
    """
    for candidate in range(resolution, 0, -_RESOLUTION_STEP):
        side = candidate // DOWNSAMPLING
        cells = ((fine_coords[:, 1:] + 0.5) / fine_resolution * side).int()
        tokens = torch.cat([fine_coords[:, :1].int(), cells], 1).unique(dim=0)
        if len(tokens) < max_num_tokens or candidate == _CASCADE_FLOOR:
            if candidate < resolution:
                logger.warning("Made at resolution %d instead of %d to limit tokens.", candidate, resolution)
            if len(tokens) >= max_num_tokens:
                logger.warning("%d tokens are above the limit of %d; expect a long run.", len(tokens), max_num_tokens)
            return tokens, candidate
    raise OutOfMemoryBudgetError(
        f"No resolution up to {resolution} needs fewer than {max_num_tokens} tokens; raise the limit."
    )


def normalized(latent: SparseTensor, statistics: LatentStatistics) -> SparseTensor:
    """(z - mean) / std per channel: what flows work on."""
    mean, std = _statistics(latent.feats, statistics)
    return latent.replace((latent.feats - mean) / std)


def denormalized(latent: SparseTensor, statistics: LatentStatistics) -> SparseTensor:
    """z * std + mean per channel: what decoders work on."""
    mean, std = _statistics(latent.feats, statistics)
    return latent.replace(latent.feats * std + mean)


def _statistics(feats: Tensor, statistics: LatentStatistics) -> tuple[Tensor, Tensor]:
    return feats.new_tensor(statistics.mean), feats.new_tensor(statistics.std)


def _sample_on_voxels(
    flow: LatentFlow,
    tokens: Tensor,
    voxels: VoxelSet,
    noise: Tensor,
    concat: Tensor | None,
    config: SamplerConfig,
    progress: Advance,
    start_time: float = 1.0,
) -> Tensor:
    size = voxels.batch_size

    def velocity_given(context: FlowContext | None) -> Velocity:
        return lambda x, t, step: flow(SparseTensor(x, voxels), _times(t, size, x.device), context, concat).feats

    context = flow.project_context(tokens.expand(size, -1, -1))
    deviation = packed_deviation(voxels.batch_index, size)
    velocity = _guided(velocity_given(context), velocity_given(None), config, deviation)
    return _integrated(velocity, noise.to(tokens.device), config, progress, start_time)


def _times(t: float, count: int, device: torch.device) -> Tensor:
    return torch.full((count,), 1000 * t, device=device)


def _guided(
    conditional: Velocity,
    unconditional: Velocity,
    config: SamplerConfig,
    deviation: Callable[[Tensor], Tensor],
) -> Velocity:
    return guided(
        conditional,
        unconditional,
        config.guidance_strength,
        config.guidance_interval,
        rescale=config.guidance_rescale,
        deviation=deviation,
        sigma_min=config.sigma_min,
    )


def _integrated(
    velocity: Velocity,
    noise: Tensor,
    config: SamplerConfig,
    progress: Advance,
    start_time: float = 1.0,
) -> Tensor:
    times = start_time * rescaled_times(config.steps, config.rescale_t)
    return euler(velocity, noise, times, on_step=lambda step, t, x, v: progress(step + 1, config.steps))
