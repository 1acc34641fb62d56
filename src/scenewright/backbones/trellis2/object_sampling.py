"""From condition tokens to the latents of an object, at one resolution or through a cascade.

Source: trellis2 sheet section 11.1. Networks are asked for by their published key when a stage needs them, so that a
caller decides how many are in memory at once.

Legend: B samples, L condition tokens, C channels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.backbones.trellis2.config import MAX_NUM_TOKENS
from scenewright.backbones.trellis2.sampling import (
    decode_structure,
    latent_noise,
    sample_shape_latent,
    sample_structure_latent,
    sample_texture_latent,
    structure_noise,
    upsampled_cascade,
)
from scenewright.errors import OutOfMemoryBudgetError
from scenewright.samplers.config import SamplerConfig
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.weights.record import LatentStatistics

__all__ = ["PLANS", "ObjectLatents", "ObjectPlan", "ObjectSamplers", "PlanName", "sample_object"]

PlanName = Literal["512", "1024", "1024_cascade", "1536_cascade"]
StageProgress = Callable[[str, float], None]


@dataclass(frozen=True)
class ObjectPlan:
    """Which networks make an object: the first shape flow, whether a second one refines it, and the target."""

    structure_resolution: int
    first_resolution: int
    target_resolution: int

    @property
    def is_cascade(self) -> bool:
        return self.target_resolution > self.first_resolution

    @property
    def condition_sizes(self) -> tuple[int, ...]:
        """Sides of the pictures whose tokens the plan needs; the structure is always sampled from 512."""
        return (512,) if self.flow_size == 512 else (512, self.flow_size)

    @property
    def flow_size(self) -> int:
        """Which flows make the final latents; those for 1024 serve everything above, too."""
        return min(self.target_resolution, 1024)


PLANS: Mapping[PlanName, ObjectPlan] = {
    "512": ObjectPlan(32, 512, 512),
    "1024": ObjectPlan(64, 1024, 1024),
    "1024_cascade": ObjectPlan(32, 512, 1024),
    "1536_cascade": ObjectPlan(32, 512, 1536),
}


@dataclass(frozen=True)
class ObjectSamplers:
    """Settings of the three stages."""

    structure: SamplerConfig
    shape: SamplerConfig
    texture: SamplerConfig


@dataclass(frozen=True)
class ObjectLatents:
    """Denormalised latents on the same tokens, and the resolution of the voxels they decode to."""

    shape: SparseTensor
    texture: SparseTensor
    resolution: int


@runtime_checkable
class NetworkSource(Protocol):
    """Whoever has the networks; `network` gives one by its key in the published pipeline file."""

    shape_statistics: LatentStatistics
    texture_statistics: LatentStatistics

    def network(self, key: str) -> Any: ...


def sample_object(
    networks: NetworkSource,
    tokens: Mapping[int, Float[Tensor, "B L C"]],
    plan: ObjectPlan,
    samplers: ObjectSamplers,
    generator: torch.Generator,
    *,
    num_samples: int = 1,
    max_num_tokens: int = MAX_NUM_TOKENS,
    progress: StageProgress | None = None,
) -> ObjectLatents:
    """Shape and texture latents of `num_samples` objects.

    Args:
        tokens: condition tokens by picture size, for every size in `plan.condition_sizes`; of one picture or of one
            per sample.
        generator: a CPU generator.
        max_num_tokens: a cascade lowers its resolution until it needs fewer tokens; see `cascade_coords`. Attention
            over more would take time and memory out of proportion, so a plan without a cascade refuses them.
        progress: called with a stage's name and the fraction of it that is done.

    Raises:
        EmptyStructureError: a sample has no voxel.
        OutOfMemoryBudgetError: the structure has too many tokens for a plan without a cascade.
    """
    report = progress or (lambda stage, done: None)
    first_tokens, final_tokens = tokens[512], tokens[plan.condition_sizes[-1]]

    def stage(name: str) -> Callable[[int, int], None]:
        return lambda step, steps: report(name, step / steps)

    # A network is bound inside the function of its stage only, so that it can be let go before the next is loaded.
    def sample_structure() -> Tensor:
        flow = networks.network("sparse_structure_flow_model")
        noise = structure_noise(flow, num_samples, generator)
        return sample_structure_latent(flow, first_tokens, noise, samplers.structure, progress=stage("structure"))

    def sample_shape(size: int, voxels: VoxelSet, condition: Tensor, name: str) -> SparseTensor:
        flow = networks.network(f"shape_slat_flow_model_{size}")
        noise = latent_noise(len(voxels), flow.config.in_channels, generator)
        return sample_shape_latent(
            flow, condition, voxels, noise, samplers.shape, networks.shape_statistics, progress=stage(name)
        )

    def sample_texture(shape: SparseTensor) -> SparseTensor:
        flow = networks.network(f"tex_slat_flow_model_{plan.flow_size}")
        noise = latent_noise(len(shape.voxels), flow.config.in_channels - shape.feats.shape[1], generator)
        return sample_texture_latent(
            flow,
            final_tokens,
            shape,
            noise,
            samplers.texture,
            networks.texture_statistics,
            networks.shape_statistics,
            progress=stage("texture"),
        )

    latent = sample_structure()
    coords = decode_structure(networks.network("sparse_structure_decoder"), latent, plan.structure_resolution)
    if not plan.is_cascade and len(coords) >= max_num_tokens:
        raise OutOfMemoryBudgetError(
            f"The structure needs {len(coords)} tokens at resolution {plan.target_resolution}, the limit is "
            f"{max_num_tokens}; use a cascade or raise the limit."
        )
    resolution = plan.first_resolution
    condition = first_tokens if resolution == 512 else final_tokens
    shape = sample_shape(resolution, VoxelSet(coords, num_samples), condition, "shape")
    if plan.is_cascade:
        coords, resolution = upsampled_cascade(
            networks.network("shape_slat_decoder"),
            shape,
            plan.target_resolution,
            lowest_resolution=resolution,
            max_num_tokens=max_num_tokens,
        )
        shape = sample_shape(plan.flow_size, VoxelSet(coords, num_samples), final_tokens, "fine shape")
    return ObjectLatents(shape, sample_texture(shape), resolution)
