"""Training SceneGen's structure flow: the task, and the samples of scenes it takes.

Every asset of every scene is the query once; the others follow in random order, cut to seven in all. Batches hold whole
scenes one after another, the query of each first. Published: one scene per process, flow times and condition dropout
drawn for each asset, only the scene parts trained on top of frozen TRELLIS weights, no reading of the decoder's
gradient. Source: Mengmouxu/SceneGen scenegen/trainers/flow_matching/flow_matching.py.

Legend: S scenes, N assets of all scenes of a batch, n assets of one scene, L condition tokens, C latent channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypedDict, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.backbones.structure_vae import StructureDecoder, occupied_coords
from scenewright.backbones.trellis1.pretrained import STRUCTURE_DECODER, trellis1_networks
from scenewright.systems.scenegen.condition import SceneCondition
from scenewright.systems.scenegen.config import SceneFlowConfig
from scenewright.systems.scenegen.losses import LossBalance, LossConfig, collision_ratio, denoised, scene_losses
from scenewright.systems.scenegen.poses import poses_of_placements
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow
from scenewright.training.flow_matching import TimeSchedule, drop_condition, noised, sample_times
from scenewright.training.loading import TrainingSet
from scenewright.training.task import Task
from scenewright.weights.config import config_from_json
from scenewright.weights.source import WeightsSource

__all__ = [
    "MAX_ASSETS",
    "QuerySet",
    "SceneBatch",
    "SceneGenTask",
    "SceneGenTaskConfig",
    "build_scenegen",
    "collate_scenes",
    "query_first",
]

MAX_ASSETS = 7


@dataclass(frozen=True)
class SceneGenTaskConfig:
    """Settings of training; defaults are the published ones."""

    loss: LossConfig = field(default_factory=LossConfig)
    times: TimeSchedule = field(default_factory=TimeSchedule)
    drop_probability: float = 0.1


class SceneBatch(TypedDict):
    """Scenes one after another, the query of each first; `cond` holds all tokens of an asset."""

    latent: Float[Tensor, "N C R R R"]
    pose: Float[Tensor, "N 8"]
    cond: Float[Tensor, "N L Cc"]
    scene_sizes: Int[Tensor, " S"]


class SceneGenTask(Task[SceneBatch]):
    """Structures and poses of whole scenes.

    Args:
        network: initialised.
        decoder: the frozen structure decoder, for the collision value; None leaves that out.
    """

    network: SceneStructureFlow

    def __init__(
        self,
        network: SceneStructureFlow,
        config: SceneGenTaskConfig | None = None,
        decoder: StructureDecoder | None = None,
    ) -> None:
        self.network, self.config, self.decoder = network, config or SceneGenTaskConfig(), decoder
        self.balance = LossBalance()
        self.frozen = () if decoder is None else (decoder,)

    def loss(self, batch: SceneBatch) -> dict[str, Tensor]:
        config = self.config
        x_0, true_poses = batch["latent"].float(), batch["pose"].float()
        sizes = [int(size) for size in batch["scene_sizes"]]
        t = sample_times(len(x_0), config.times, device=x_0.device)
        x_t, noise = noised(x_0, t, sigma_min=config.loss.sigma_min)
        condition = SceneCondition(drop_condition(batch["cond"].float(), config.drop_probability))
        context = self.network.project_scene(condition, sizes, keep_keys=False)
        velocity, poses = self.network.velocity_and_poses(x_t, 1000 * t, context)
        assert poses is not None
        velocity, poses = velocity.float(), poses.float()

        collision = None
        if self.decoder is not None and max(sizes) > 1:
            x_0_told = denoised(x_t, velocity.detach(), t, config.loss.sigma_min)
            collision = _mean_collision(self.decoder, x_0_told, true_poses, sizes)
        losses = scene_losses(
            velocity, poses, x_0, noise, true_poses, self.balance, config.loss, collision, scene_sizes=sizes
        )
        # The position head has a gradient, zero, even in a batch of lone assets: trainers that shard or average
        # gradients need every parameter's.
        result = {"loss": losses.loss + 0.0 * poses.sum(), "flow": losses.mse.detach(), **losses.log}
        if losses.pose is not None and losses.pose_weight is not None:
            result["pose"] = losses.pose.detach()
            result["pose_weight"] = torch.tensor(losses.pose_weight)
        return result

    def state_dict(self) -> dict[str, Any]:
        """Lambda's average, so that a resumed run goes on as if it had not stopped (the published one forgets it)."""
        return {"balance": self.balance.average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.balance.average = state["balance"]


@torch.no_grad()
def _mean_collision(
    decoder: StructureDecoder, latents: Float[Tensor, "N C R R R"], poses: Float[Tensor, "N 8"], sizes: Sequence[int]
) -> Float[Tensor, ""]:
    """Mean collision value of the scenes with several assets, decoded one scene at a time."""
    values = []
    for latent, pose in zip(latents.split(list(sizes)), poses.split(list(sizes)), strict=True):
        if len(latent) > 1:
            logits = decoder(latent)
            values.append(collision_ratio(occupied_coords(logits), pose, occupancy_resolution=logits.shape[-1]))
    return torch.stack(values).mean()


def query_first(num_assets: int, query: int, generator: torch.Generator, limit: int = MAX_ASSETS) -> Int[Tensor, " n"]:
    """Indices of at most `limit` assets: the query, then others in random order."""
    order = torch.randperm(num_assets, generator=generator)
    return torch.cat([torch.tensor([query]), order[order != query]])[:limit]


def collate_scenes(samples: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Scenes one after another."""
    batch = {name: torch.cat([sample[name] for sample in samples]) for name in ("latent", "pose", "cond")}
    return batch | {"scene_sizes": torch.tensor([len(sample["pose"]) for sample in samples])}


@runtime_checkable
class SceneSource(Protocol):
    """Scenes by index; each holds `latent` `[n, C, R, R, R]`, `world_from_object` `[n, 4, 4]`, `cond` `[n, L, Cc]`."""

    def __len__(self) -> int: ...

    def tensors(self, index: int) -> dict[str, Tensor]: ...


class QuerySet(TrainingSet):
    """A training set in which every asset of every scene is the query once.

    Args:
        num_assets: of each scene; None reads every scene once to count.
    """

    def __init__(self, scenes: SceneSource, *, num_assets: Sequence[int] | None = None):
        self._scenes = scenes
        counts = num_assets or [len(scenes.tensors(index)["latent"]) for index in range(len(scenes))]
        self._samples = [(scene, query) for scene, count in enumerate(counts) for query in range(count)]

    def __len__(self) -> int:
        return len(self._samples)

    def sample(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        scene, query = self._samples[index]
        tensors = self._scenes.tensors(scene)
        order = query_first(len(tensors["latent"]), query, generator, MAX_ASSETS)
        return {
            "latent": tensors["latent"][order],
            "pose": poses_of_placements(tensors["world_from_object"][order].float()),
            "cond": tensors["cond"][order],
        }

    def collate(self, samples: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        return collate_scenes(samples)


def build_scenegen(network: Mapping[str, Any] | None = None, collision_decoder: str = "", **task: Any) -> SceneGenTask:
    """The task with a network initialised as published; TRELLIS's weights come from where the run starts.

    Args:
        network: fields of `SceneFlowConfig`.
        collision_decoder: folder or repository with TRELLIS's structure decoder; empty leaves the collision value out.
        task: fields of `SceneGenTaskConfig`.

    Raises:
        InputError: an argument is unknown.
        WeightsError: the decoder cannot be loaded.
    """
    flow = SceneStructureFlow(config_from_json(SceneFlowConfig, network or {}))
    flow.initialize_weights()
    decoder = trellis1_networks(WeightsSource(collision_decoder)).load(STRUCTURE_DECODER) if collision_decoder else None
    return SceneGenTask(flow, config_from_json(SceneGenTaskConfig, task), decoder)
