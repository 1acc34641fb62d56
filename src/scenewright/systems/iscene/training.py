"""Training I-Scene's structure flow: flow matching on all slots of an object at once, with shared weights.

A sample is one visible object of one view of a scene: the object's latent and the scene's in the same cube (and the
object's in a cube of its own, for networks of three slots), each with its picture's tokens. All slots share the flow
time, each has noise of its own, and the condition is dropped for all of them together, as it is in sampling. Everything
in the flow trains, starting from the weights of TRELLIS; encoders, autoencoder and the latent stage stay as they are.
Source: I-Scene, paper and supplement (training details). Slots weigh the same (not published).

Legend: B objects, S slots (object, scene, own crop), n objects of one scene, R latent resolution, L condition tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.errors import InputError
from scenewright.systems.iscene.config import SceneContextConfig
from scenewright.systems.iscene.structure_flow import SceneContextFlow
from scenewright.training.flow_matching import TimeSchedule, drop_condition, flow_loss, noised, sample_times
from scenewright.training.loading import TrainingSet
from scenewright.training.task import Task
from scenewright.weights.config import config_from_json

__all__ = ["SLOT_NAMES", "ISceneTask", "ISceneTaskConfig", "SlotBatch", "SlotSet", "build_iscene"]

SLOT_NAMES = ("object", "scene", "own_crop")


@dataclass(frozen=True)
class ISceneTaskConfig:
    """Settings of training; the published optimiser is AdamW with learning rate 5e-5, the rest is the backbone's."""

    times: TimeSchedule = field(default_factory=TimeSchedule)
    drop_probability: float = 0.1


class SlotBatch(TypedDict):
    """Objects in all their slots."""

    latent: Float[Tensor, "B S C R R R"]
    cond: Float[Tensor, "B S L Cc"]


class ISceneTask(Task[SlotBatch]):
    """Flow matching on the slots of objects; all of the network trains."""

    network: SceneContextFlow

    def __init__(self, network: SceneContextFlow, config: ISceneTaskConfig | None = None) -> None:
        self.network, self.config = network, config or ISceneTaskConfig()

    def loss(self, batch: SlotBatch) -> dict[str, Tensor]:
        """The mean squared error over all slots, and of each slot for the log."""
        x_0 = batch["latent"].float()
        t = sample_times(len(x_0), self.config.times, device=x_0.device)
        x_t, noise = noised(x_0, t)
        cond = drop_condition(batch["cond"].float(), self.config.drop_probability)
        velocity = self.network.forward_slots(x_t, 1000 * t, cond)
        losses = {"loss": flow_loss(velocity, x_0, noise)}
        with torch.no_grad():
            for slot, name in enumerate(SLOT_NAMES[: x_0.shape[1]]):
                losses[name] = flow_loss(velocity[:, slot], x_0[:, slot], noise[:, slot])
        return losses


class SlotSet(TrainingSet):
    """Samples for `ISceneTask` from whole scenes: one object of the scene, drawn anew each time.

    Args:
        scenes: its samples hold `latent` `[n, C, R, R, R]` and `cond` `[n, L, Cc]` of every visible object in the
            scene's cube and crop, `scene_latent` and `scene_cond` without the first axis, and, for networks of three
            slots or single objects, `own_latent` and `own_cond` in each object's own cube and crop.
        with_canonical: give three slots.
        single_object_share: how often the object alone, in its own cube, stands for object and scene alike.
    """

    def __init__(self, scenes: TrainingSet, *, with_canonical: bool = False, single_object_share: float = 0.0) -> None:
        if not 0 <= single_object_share <= 1:
            raise InputError(f"Expected single_object_share between 0 and 1, got {single_object_share}.")
        self.scenes, self.with_canonical, self.single_object_share = scenes, with_canonical, single_object_share

    def __len__(self) -> int:
        return len(self.scenes)

    def sample(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        """One object of scene `index` in all its slots."""
        scene = self.scenes.sample(index, generator)
        if (self.with_canonical or self.single_object_share) and "own_latent" not in scene:
            raise InputError("Three slots and single objects need 'own_latent' and 'own_cond' in every scene.")
        number = int(torch.randint(len(scene["latent"]), (), generator=generator))
        is_alone = float(torch.rand((), generator=generator)) < self.single_object_share
        return {name: self._slots(scene, name, number, is_alone) for name in ("latent", "cond")}

    def _slots(self, scene: Mapping[str, Tensor], name: str, number: int, is_alone: bool) -> Tensor:
        slots = [scene[name][number], scene[f"scene_{name}"]]
        if is_alone:
            slots = [scene[f"own_{name}"][number]] * 2
        if self.with_canonical:
            slots.append(scene[f"own_{name}"][number])
        return torch.stack(slots)


def build_iscene(
    network: Mapping[str, Any] | None = None,
    times: Mapping[str, Any] | None = None,
    drop_probability: float = 0.1,
) -> ISceneTask:
    """The task of a fresh flow; published training starts from TRELLIS's structure flow instead (`init_from`).

    Args:
        network: fields of `SceneContextConfig`.

    Raises:
        InputError: an argument is unknown, or the network cannot be built.
    """
    flow = SceneContextFlow(config_from_json(SceneContextConfig, network or {}))
    flow.initialize_weights()
    return ISceneTask(flow, ISceneTaskConfig(config_from_json(TimeSchedule, times or {}), drop_probability))
