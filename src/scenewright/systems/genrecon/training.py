"""Training tasks of GenRecon's flows: latents of a chunk from pictures of its room.

Every sample comes with all its views; each step shows it a random number of them in random order, the first of which is
the one read as a whole. Both conditions of a sample are dropped together, one time in ten.
Source: GenRecon, `genrecon/trainers/flow_matching`.

Legend: B samples, N views, L tokens of a view, D channels of the condition, M latent tokens of all samples, C channels.
"""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.backbones.trellis2.config import FlowConfig
from scenewright.geometry.camera.patches import patch_of_points
from scenewright.nn.embed import grid_coords
from scenewright.samplers.flow import interpolate
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.systems.genrecon.aggregator import Pairs, seen_pairs
from scenewright.systems.genrecon.conditioning import NUM_GLOBAL_TOKENS
from scenewright.systems.genrecon.flow import ProjectedFlow, ProjectedLatentFlow, ProjectedStructureFlow, scene_context
from scenewright.training.flow_matching import TimeSchedule, flow_loss, noised, sample_times, without_condition
from scenewright.training.task import Task
from scenewright.weights.config import config_from_json

__all__ = [
    "ChunkLatentBatch",
    "ChunkLatentTask",
    "ChunkStructureBatch",
    "ChunkStructureTask",
    "build_latent_task",
    "build_structure_task",
    "shown_views",
]


class _Views(TypedDict):
    """Encoded views of every sample; missing ones have zero tokens and zero cameras."""

    tokens: Float[Tensor, "B N L D"]
    cam_from_chunk: Float[Tensor, "B N 4 4"]
    intrinsics_unit: Float[Tensor, "B N 3 3"]


class ChunkStructureBatch(_Views):
    """Structure latents of chunks."""

    latent: Float[Tensor, "B C R R R"]


class ChunkLatentBatch(_Views):
    """Normalised latents on the tokens of all chunks, `coords` (sample, x, y, z); texture flows need both latents."""

    coords: Int[Tensor, "M 4"]
    latent: Float[Tensor, "M C"]
    shape_latent: NotRequired[Float[Tensor, "M Cs"]]


class ChunkStructureTask(Task[ChunkStructureBatch]):
    """Flow matching on structure latents of chunks."""

    network: ProjectedStructureFlow

    def __init__(self, network: ProjectedStructureFlow, times: TimeSchedule, drop_probability: float = 0.1) -> None:
        self.network, self.times, self.drop_probability = network, times, drop_probability

    def loss(self, batch: ChunkStructureBatch) -> dict[str, Tensor]:
        x_0 = batch["latent"].float()
        side = x_0.shape[-1]
        points = (grid_coords(side).to(x_0.device) + 0.5) / side - 0.5
        sample = torch.arange(len(x_0), device=x_0.device).repeat_interleave(len(points))
        tokens, condition = _condition(self.network, batch, points.repeat(len(x_0), 1), sample, self.drop_probability)
        t = sample_times(len(x_0), self.times, device=x_0.device)
        x_t, noise = noised(x_0, t)
        velocity = self.network(x_t, 1000 * t, scene_context(self.network, tokens, condition))
        return {"loss": flow_loss(velocity, x_0, noise)}


class ChunkLatentTask(Task[ChunkLatentBatch]):
    """Flow matching on shape or texture latents of chunks."""

    network: ProjectedLatentFlow

    def __init__(self, network: ProjectedLatentFlow, times: TimeSchedule, drop_probability: float = 0.1) -> None:
        self.network, self.times, self.drop_probability = network, times, drop_probability

    def loss(self, batch: ChunkLatentBatch) -> dict[str, Tensor]:
        x_0 = batch["latent"].float()
        voxels = VoxelSet(batch["coords"], len(batch["tokens"]))
        points = (voxels.coords[:, 1:] + 0.5) / self.network.config.resolution - 0.5
        tokens, condition = _condition(self.network, batch, points, voxels.batch_index, self.drop_probability)
        t = sample_times(voxels.batch_size, self.times, device=x_0.device)
        noise = torch.randn_like(x_0)
        x_t = interpolate(x_0, noise, t[voxels.batch_index, None])
        shape = batch["shape_latent"].float() if "shape_latent" in batch else None
        context = scene_context(self.network, tokens, condition)
        velocity = self.network(SparseTensor(x_t, voxels), 1000 * t, context, shape)
        return {"loss": flow_loss(velocity.feats, x_0, noise), "tokens": x_0.new_tensor(float(len(x_0)))}


def build_structure_task(
    network: Mapping[str, Any], times: Mapping[str, Any] | None = None, drop_probability: float = 0.1
) -> ChunkStructureTask:
    """The task of the structure flow, initialised as published (times logit-normal with mean 1 and deviation 1)."""
    flow = ProjectedStructureFlow(config_from_json(FlowConfig, network, irrelevant=()))
    _initialise(flow)
    return ChunkStructureTask(flow, config_from_json(TimeSchedule, dict(times or {})), drop_probability)


def build_latent_task(
    network: Mapping[str, Any], times: Mapping[str, Any] | None = None, drop_probability: float = 0.1
) -> ChunkLatentTask:
    """The task of a shape or texture flow, initialised as published (times uniform)."""
    flow = ProjectedLatentFlow(config_from_json(FlowConfig, network, irrelevant=()))
    _initialise(flow)
    schedule = config_from_json(TimeSchedule, {"kind": "uniform"} | dict(times or {}))
    return ChunkLatentTask(flow, schedule, drop_probability)


def shown_views(views: _Views) -> _Views:
    """A random number of each sample's views, at least one, in random order; the rest become zeros.

    Randomness comes from torch's global generator.
    """
    cameras = views["cam_from_chunk"]
    there = cameras.flatten(2).abs().sum(2) > 0
    order = torch.where(there, torch.rand(there.shape, device=there.device), 2.0).argsort(1)
    count = there.sum(1).clamp(min=1)
    shown = (torch.rand(len(count), device=count.device) * count).long() + 1
    keep = torch.arange(there.shape[1], device=there.device) < shown[:, None]

    def chosen(values: Tensor) -> Tensor:
        index = order.view(*order.shape, *[1] * (values.ndim - 2)).expand(values.shape)
        return values.gather(1, index) * keep.view(*keep.shape, *[1] * (values.ndim - 2))

    return _Views(
        tokens=chosen(views["tokens"].float()),
        cam_from_chunk=chosen(cameras.float()),
        intrinsics_unit=chosen(views["intrinsics_unit"].float()),
    )


def _condition(
    flow: ProjectedFlow,
    batch: _Views,
    points: Float[Tensor, "M 3"],
    sample: Int[Tensor, " M"],
    drop_probability: float,
) -> tuple[Float[Tensor, "B L D"], Float[Tensor, "M D"]]:
    """Tokens of each sample's first view and the aggregated condition of its voxels, both dropped together."""
    views = shown_views(batch)
    tokens = views["tokens"]
    pairs = [
        _pairs_of(views, points[sample == item], item, tokens.shape[1] * tokens.shape[2]) for item in range(len(tokens))
    ]
    starts = torch.bincount(sample, minlength=len(tokens)).cumsum(0)
    joined = Pairs(
        torch.cat([pair.token for pair in pairs]),
        torch.cat([pair.voxel + (int(starts[item - 1]) if item else 0) for item, pair in enumerate(pairs)]),
        len(points),
    )
    condition = flow.aggregator(tokens.flatten(0, 2), joined)
    is_dropped = torch.rand(len(tokens), device=tokens.device) < drop_probability
    return without_condition(tokens[:, 0], is_dropped), without_condition(condition, is_dropped[sample])


def _pairs_of(views: _Views, points: Float[Tensor, "S 3"], item: int, tokens_per_item: int) -> Pairs:
    tokens = views["tokens"]
    patches = round((tokens.shape[2] - NUM_GLOBAL_TOKENS) ** 0.5)
    patch, seen = patch_of_points(points, views["cam_from_chunk"][item], views["intrinsics_unit"][item], patches)
    pairs = seen_pairs(patch, seen, tokens.shape[2], skipped=NUM_GLOBAL_TOKENS)
    return Pairs(pairs.token + item * tokens_per_item, pairs.voxel, pairs.num_voxels)


def _initialise(flow: ProjectedFlow) -> None:
    """As published: the backbone's start; projections and the ends of the aggregator's branches at zero."""
    fresh = {name: value.clone() for name, value in flow.aggregator.state_dict().items()}
    flow.initialize_weights()
    flow.aggregator.load_state_dict(fresh)
    for parameter in flow.proj_linears.parameters():
        torch.nn.init.zeros_(parameter)
