"""The structure stage of I-Scene: the latents of all objects of a picture and of the scene, sampled together.

What is exact and cheaper than running every slot of every object: the scene's row runs once
for all objects; condition keys and values are projected once; the unconditional pass needs no cross-attention; while
all objects still share their noise, their unconditional velocity is computed once.

Legend: N objects, S slots, C channels, R latent resolution, T condition tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.nn.flow_context import FlowContext
from scenewright.samplers.config import SamplerConfig
from scenewright.samplers.euler import euler
from scenewright.samplers.guidance import Velocity
from scenewright.systems.iscene.config import SceneContextConfig
from scenewright.systems.iscene.structure_flow import SceneContextFlow

__all__ = ["SlotConditions", "SlotLatents", "sample_structure", "structure_noise"]

# Rows of tokens that a CPU takes at once: more of them only take 7 % longer each (two cores, width 1024).
_CPU_TOKENS = 4096

OnStep = Callable[[int, float, "SlotLatents", "SlotLatents"], None]


@dataclass(frozen=True)
class SlotConditions:
    """Condition tokens: the scene's, which all objects share, and those of each object's other slots (0, and 2)."""

    scene: Float[Tensor, "T C"]
    objects: Float[Tensor, "N S_less_1 T C"]


@dataclass(frozen=True)
class SlotLatents:
    """Structure latents of the scene and of each object's other slots."""

    scene: Float[Tensor, "C R R R"]
    objects: Float[Tensor, "N S_less_1 C R R R"]

    def slots(self) -> Float[Tensor, "N S C R R R"]:
        """The published arrangement, with a copy of the scene in slot 1 of every object."""
        scene = self.scene.expand(len(self.objects), 1, *self.scene.shape)
        return torch.cat([self.objects[:, :1], scene, self.objects[:, 1:]], 1)


def structure_noise(config: SceneContextConfig, generator: torch.Generator) -> Float[Tensor, "S C R R R"]:
    """Noise of every slot, on the CPU; all objects start from the same, as released."""
    flow = config.flow
    return torch.randn((1, config.num_slots, flow.in_channels, *[flow.resolution] * 3), generator=generator)[0]


@torch.no_grad()
def sample_structure(
    flow: SceneContextFlow,
    conditions: SlotConditions,
    noise: Float[Tensor, "S C R R R"],
    config: SamplerConfig,
    *,
    object_noise: Float[Tensor, "N S_less_1 C R R R"] | None = None,
    objects_at_once: int | None = None,
    on_step: OnStep | None = None,
) -> SlotLatents:
    """Latents of all slots; every object starts from the same noise unless it is given its own.

    Args:
        noise: of slots 0 (objects), 1 (scene) and, in a network of three slots, 2 (objects in their own crops).
        object_noise: of slots 0 and 2 of each object, in place of the shared one.
        objects_at_once: bounds the memory by running the objects in parts against the scene; their condition is then
            projected anew at every step. None runs all together.
        on_step: called with (step, t, state at t, velocity at t).
    """
    count = len(conditions.objects)
    shared = torch.cat([noise[:1], noise[2:]]).expand(count, -1, -1, -1, -1, -1)
    start = torch.cat([noise[1:2], (shared if object_noise is None else object_noise).flatten(0, 1)])
    conditional = _velocity(flow, conditions, count, objects_at_once)
    unconditional = _velocity(flow, None, count, objects_at_once, starts_alike=object_noise is None)
    velocity = config.guided(conditional, unconditional)

    def report(step: int, t: float, x: Tensor, v: Tensor) -> None:
        if on_step is not None:
            on_step(step, t, _unpacked(x, count), _unpacked(v, count))

    return _unpacked(euler(velocity, start.to(conditions.scene.device), config.times, on_step=report), count)


def _velocity(
    flow: SceneContextFlow,
    conditions: SlotConditions | None,
    count: int,
    objects_at_once: int | None,
    *,
    starts_alike: bool = False,
) -> Velocity:
    """Velocity of the packed state; conditions of None stand for the all-zero condition of every slot."""
    scene_context = None if conditions is None else flow.project_context(conditions.scene[None])
    size = min(objects_at_once or count, _objects_in_cache(flow, count))
    parts = [slice(begin, min(begin + size, count)) for begin in range(0, count, size)]
    kept: list[FlowContext | None] = [None] * len(parts)
    if conditions is not None and objects_at_once is None:
        kept = [flow.project_context(conditions.objects[part].flatten(0, 1)) for part in parts]

    def velocity(x: Tensor, t: float, step: int) -> Tensor:
        state = x[1:].unflatten(0, (count, -1))
        time = torch.full((count,), 1000 * t, device=x.device)
        scene, memory = flow.scene_velocity(x[:1], time[:1], scene_context)
        # Without a condition nothing but their noise tells objects apart.
        needed = [slice(0, 1)] if starts_alike and step == 0 else parts
        done = []
        for part, context in zip(needed, kept[: len(needed)], strict=True):
            if conditions is not None and context is None:
                context = flow.project_context(conditions.objects[part].flatten(0, 1))
            done.append(flow.object_velocity(state[part], time[part], context, memory))
        return torch.cat([scene, torch.cat(done).expand(count, *state.shape[1:]).flatten(0, 1)])

    return velocity


def _objects_in_cache(flow: SceneContextFlow, count: int) -> int:
    """Number of objects that go through the network together: all, but on a CPU no more than its caches like."""
    if next(flow.parameters()).device.type != "cpu":
        return count
    return min(count, max(1, _CPU_TOKENS // (flow.num_tokens * (flow.scene_config.num_slots - 1))))


def _unpacked(x: Tensor, count: int) -> SlotLatents:
    return SlotLatents(x[0], x[1:].unflatten(0, (count, -1)))
