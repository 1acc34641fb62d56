"""Stages of TRELLIS v1 from condition tokens: structure, then structured latent.

Source: trellis1 sheet sections 10 and 11.3. Noise is drawn on the CPU whatever the device, so that a seed gives the
same object everywhere; the generator serves the structure first and the latent next.

Legend: K condition images, L tokens, B samples, N voxels.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.backbones.structure_vae import StructureDecoder, occupied_coords
from scenewright.backbones.trellis1.slat_flow import SLatFlow
from scenewright.backbones.trellis1.structure_flow import FlowContext, StructureFlow
from scenewright.errors import EmptyStructureError
from scenewright.samplers.config import SamplerConfig
from scenewright.samplers.euler import euler
from scenewright.samplers.guidance import Velocity, guided, mean_velocity, round_robin
from scenewright.samplers.schedule import rescaled_times
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.weights.record import LatentStatistics

__all__ = ["MultiImageMode", "decode_structure", "sample_slat", "sample_structure_latent"]

MultiImageMode = Literal["stochastic", "multidiffusion"]
Progress = Callable[[int, int], None]


@torch.no_grad()
def sample_structure_latent(
    flow: StructureFlow,
    tokens: Float[Tensor, "K L C"],
    config: SamplerConfig,
    generator: torch.Generator,
    *,
    num_samples: int = 1,
    multi_image: MultiImageMode = "stochastic",
    progress: Progress | None = None,
) -> Float[Tensor, "B Cz r r r"]:
    """Structure latents of `num_samples` objects that share the condition.

    Args:
        tokens: condition tokens of one image, or of K images of the same object.
        generator: a CPU generator.
        multi_image: how K > 1 images are combined: one per step in turn, or the mean of all at every step.
        progress: called with (steps done, steps).
    """
    sizes = flow.config
    shape = (num_samples, sizes.in_channels, *[sizes.resolution] * 3)
    noise = torch.randn(shape, generator=generator).to(tokens.device)
    contexts = [flow.project_context(row.expand(num_samples, -1, -1)) for row in tokens]

    def velocity_given(context: FlowContext | None) -> Velocity:
        def velocity(x: Tensor, t: float, step: int) -> Tensor:
            return flow(x, torch.full((num_samples,), 1000 * t, device=x.device), context)

        return velocity

    velocity = _guided([velocity_given(context) for context in contexts], velocity_given(None), config, multi_image)
    return euler(
        velocity, noise, rescaled_times(config.steps, config.rescale_t), on_step=_step_counter(config, progress)
    )


@torch.no_grad()
def decode_structure(decoder: StructureDecoder, latent: Float[Tensor, "B Cz r r r"]) -> Int[Tensor, "N 4"]:
    """Voxels (batch, x, y, z) that the decoder finds occupied.

    Raises:
        EmptyStructureError: a sample has no occupied voxel, so that there is no object.
    """
    coords = occupied_coords(decoder(latent))
    counts = torch.bincount(coords[:, 0].long(), minlength=len(latent))
    if bool((counts == 0).any()):
        empty = int((counts == 0).nonzero()[0])
        raise EmptyStructureError(
            f"Sample {empty} has no occupied voxel, so there is no object; try another seed, or check that the image "
            "shows the object on a clean background."
        )
    return coords


@torch.no_grad()
def sample_slat(
    flow: SLatFlow,
    coords: Int[Tensor, "N 4"],
    tokens: Float[Tensor, "K L C"],
    config: SamplerConfig,
    statistics: LatentStatistics,
    generator: torch.Generator,
    *,
    multi_image: MultiImageMode = "stochastic",
    progress: Progress | None = None,
) -> SparseTensor:
    """Structured latent on the given voxels, denormalised; arguments as in `sample_structure_latent`."""
    voxels = VoxelSet(coords)
    noise = torch.randn(len(coords), flow.config.in_channels, generator=generator).to(tokens.device)
    contexts = [flow.project_context(row.expand(voxels.batch_size, -1, -1)) for row in tokens]

    def velocity_given(context: FlowContext | None) -> Velocity:
        def velocity(x: Tensor, t: float, step: int) -> Tensor:
            time = torch.full((voxels.batch_size,), 1000 * t, device=x.device)
            return flow(SparseTensor(x, voxels), time, context).feats

        return velocity

    velocity = _guided([velocity_given(context) for context in contexts], velocity_given(None), config, multi_image)
    times = rescaled_times(config.steps, config.rescale_t)
    latent = euler(velocity, noise, times, on_step=_step_counter(config, progress))
    mean, std = (torch.tensor(values, device=latent.device) for values in (statistics.mean, statistics.std))
    return SparseTensor(latent * std + mean, voxels)


def _guided(
    conditional: list[Velocity], unconditional: Velocity, config: SamplerConfig, multi_image: MultiImageMode
) -> Velocity:
    if len(conditional) == 1:
        combined = conditional[0]
    elif multi_image == "stochastic":
        combined = round_robin(conditional)
    elif multi_image == "multidiffusion":
        combined = mean_velocity(conditional)
    else:
        raise ValueError(f"Several images are combined by stochastic or multidiffusion, not '{multi_image}'.")
    return guided(combined, unconditional, config.guidance_strength, config.guidance_interval)


def _step_counter(
    config: SamplerConfig, progress: Progress | None
) -> Callable[[int, float, Tensor, Tensor], None] | None:
    if progress is None:
        return None
    return lambda step, t, x, v: progress(step + 1, config.steps)
