"""Stages of TRELLIS v1 from condition tokens: structure, then structured latents of several objects at once.

Noise is drawn on the CPU whatever the device, so that a seed gives the same object everywhere. In the published
pipeline one generator serves an object's structure first and its latent next.
Source: microsoft/TRELLIS trellis/pipelines/trellis_image_to_3d.py.

Legend: K condition images (views), W objects, L tokens, N voxels.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.backbones.trellis1.slat_flow import SLatFlow
from scenewright.backbones.trellis1.structure_flow import StructureFlow
from scenewright.nn.flow_context import FlowContext
from scenewright.progress import Advance, ignore
from scenewright.samplers.config import SamplerConfig
from scenewright.samplers.euler import euler
from scenewright.samplers.guidance import Velocity, guided, mean_velocity, round_robin
from scenewright.samplers.schedule import rescaled_times
from scenewright.sparse.tensor import SparseTensor, packed_voxels
from scenewright.weights.record import LatentStatistics

__all__ = ["MultiImage", "sample_latents", "sample_structure_latent"]

MultiImage = Literal["stochastic", "multidiffusion", "mean_at_the_end"]
"""Several pictures take turns, one a step; all are averaged at every step; they take turns, the last step averages."""


@torch.no_grad()
def sample_structure_latent(
    flow: StructureFlow,
    tokens: Float[Tensor, "K L C"],
    config: SamplerConfig,
    generator: torch.Generator,
    *,
    multi_image: MultiImage = "stochastic",
    progress: Advance = ignore,
) -> Float[Tensor, "1 Cz r r r"]:
    """Structure latent of one object.

    Args:
        tokens: condition tokens of one image, or of K images of the object.
        generator: a CPU generator.
    """
    sizes = flow.config
    noise = torch.randn(1, sizes.in_channels, *[sizes.resolution] * 3, generator=generator)

    def velocity_given(context: FlowContext | None) -> Velocity:
        return lambda x, t, step: flow(x, torch.full((1,), 1000 * t, device=x.device), context)

    contexts = [flow.project_context(view[None]) for view in tokens]
    velocity = _guided([velocity_given(context) for context in contexts], velocity_given(None), config, multi_image)
    return _integrated(velocity, noise.to(tokens.device), config, progress)


@torch.no_grad()
def sample_latents(
    flow: SLatFlow,
    coords: Sequence[Int[Tensor, "_ 3"]],
    tokens: Float[Tensor, "K W L C"],
    config: SamplerConfig,
    statistics: LatentStatistics,
    generators: Sequence[torch.Generator],
    *,
    multi_image: MultiImage = "mean_at_the_end",
    progress: Advance = ignore,
) -> SparseTensor:
    """Structured latents of several objects, one batch item each, denormalised.

    Args:
        tokens: condition of each view and object; their device is where the work runs.
        generators: of each object's noise, on the CPU: an object's noise does not depend on the objects beside it.
    """
    voxels = packed_voxels(coords, tokens.device)
    channels = flow.config.in_channels
    noise = [torch.randn(len(xyz), channels, generator=own) for xyz, own in zip(coords, generators, strict=True)]

    def velocity_given(context: FlowContext | None) -> Velocity:
        def velocity(x: Tensor, t: float, step: int) -> Tensor:
            time = torch.full((voxels.batch_size,), 1000 * t, device=x.device)
            return flow(SparseTensor(x, voxels), time, context).feats

        return velocity

    contexts = [flow.project_context(view) for view in tokens]
    velocity = _guided([velocity_given(context) for context in contexts], velocity_given(None), config, multi_image)
    latent = _integrated(velocity, torch.cat(noise).to(tokens.device), config, progress)
    return SparseTensor(latent * latent.new_tensor(statistics.std) + latent.new_tensor(statistics.mean), voxels)


def _guided(
    conditional: list[Velocity], unconditional: Velocity, config: SamplerConfig, multi_image: MultiImage
) -> Velocity:
    def guide(velocity: Velocity) -> Velocity:
        return guided(velocity, unconditional, config.guidance_strength, config.guidance_interval)

    if multi_image not in get_args(MultiImage):
        raise ValueError(f"Several images are combined by {', '.join(get_args(MultiImage))}; got '{multi_image}'.")
    if multi_image == "multidiffusion":
        return guide(mean_velocity(conditional))
    in_turn = guide(round_robin(conditional))
    if multi_image == "stochastic":
        return in_turn
    mean = mean_velocity([guide(velocity) for velocity in conditional])
    return lambda x, t, step: (mean if step == config.steps - 1 else in_turn)(x, t, step)


def _integrated(velocity: Velocity, noise: Tensor, config: SamplerConfig, progress: Advance) -> Tensor:
    times = rescaled_times(config.steps, config.rescale_t)
    return euler(velocity, noise, times, on_step=lambda step, t, x, v: progress(step + 1, config.steps))
