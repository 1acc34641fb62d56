"""Sampling structures and poses together: Euler steps on the latents of all assets, poses read off the last step.

Guidance is TRELLIS's, (1 + s) v_cond - s v_uncond inside an interval; poses come from the conditional branch, are never
guided and never fed back, so the position head runs only where its answer is kept. Several views of the same scene take
turns; the last step reads all of them and averages velocity and poses. Source: the released sampler.

Legend: K views, N assets, R latent resolution.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.errors import InputError
from scenewright.progress import Advance, ignore
from scenewright.samplers.config import SamplerConfig
from scenewright.samplers.euler import euler
from scenewright.samplers.guidance import Velocity, mean_velocity, round_robin
from scenewright.systems.scenegen.condition import SceneCondition, SceneContext
from scenewright.systems.scenegen.position_head import with_query_at_identity
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow

__all__ = ["SceneStructures", "integrate_scene", "last_step_mean", "sample_scene_structures"]

OnStep = Callable[[int, float, Tensor, Tensor], None]


@dataclass(frozen=True)
class SceneStructures:
    """Structure latents of all assets and their poses in the query's y-up frame (row 0 is the identity)."""

    latents: Float[Tensor, "N Cz R R R"]
    poses: Float[Tensor, "N 8"]


@torch.no_grad()
def sample_scene_structures(
    flow: SceneStructureFlow,
    views: Sequence[SceneCondition],
    noise: Float[Tensor, "N Cz R R R"],
    config: SamplerConfig,
    *,
    keep_keys: bool = True,
    progress: Advance = ignore,
) -> SceneStructures:
    """Structures and poses of the assets of one scene.

    Args:
        views: conditions of one or several pictures, with the assets in the same order.
        noise: where the latents start, on the device of the views. Published: one draw for all assets, on the CPU.
        keep_keys: project every view once and keep its keys and values (see `project_scene` for what they take);
            False projects again at every step.
        progress: called with (steps done, steps).

    Raises:
        InputError: views have different numbers of assets, or there is none.
    """
    if not views or any(view.num_assets != len(noise) for view in views):
        raise InputError(
            f"Expected views of the same {len(noise)} assets, got {[view.num_assets for view in views]} assets."
        )
    contexts = [flow.project_scene(view, keep_keys=keep_keys) for view in views]
    latents, poses = integrate_scene(
        flow, contexts, noise, config, on_step=lambda step, t, x, v: progress(step + 1, config.steps)
    )
    return SceneStructures(latents, with_query_at_identity(poses))


def integrate_scene(
    flow: SceneStructureFlow,
    views: Sequence[SceneContext],
    noise: Float[Tensor, "N Cz R R R"],
    config: SamplerConfig,
    *,
    on_step: OnStep | None = None,
    on_poses: Callable[[int, Tensor], None] | None = None,
) -> tuple[Float[Tensor, "N Cz R R R"], Float[Tensor, "N 8"]]:
    """The Euler loop from given noise: latents, and the network's poses at the last step, averaged over views.

    Args:
        on_step: as in `euler`.
        on_poses: called with (step, poses) of every conditional evaluation; costs the position head at each of them.
    """
    last = config.steps - 1
    kept: list[Tensor] = []

    def conditional(context: SceneContext) -> Velocity:
        def velocity(x: Tensor, t: float, step: int) -> Tensor:
            with_poses = step == last or on_poses is not None
            v, poses = flow.velocity_and_poses(x, _time(x, t), context, with_poses=with_poses)
            if poses is not None and on_poses is not None:
                on_poses(step, poses)
            if poses is not None and step == last:
                kept.append(poses)
            return v

        return velocity

    def unconditional(x: Tensor, t: float, step: int) -> Tensor:
        return flow(x, _time(x, t), None)

    per_view = [config.guided(conditional(view), unconditional) for view in views]
    latents = euler(last_step_mean(per_view, config.steps), noise, config.times, on_step=on_step)
    return latents, torch.stack(kept).mean(0)


def last_step_mean(velocities: Sequence[Velocity], steps: int) -> Velocity:
    """One velocity per step in turn, and at the last step the mean of all."""
    in_turn, mean = round_robin(velocities), mean_velocity(velocities)
    return lambda x, t, step: (mean if step == steps - 1 else in_turn)(x, t, step)


def _time(x: Tensor, t: float) -> Tensor:
    """One time for all assets: the embedding and its projections are computed once."""
    return torch.full((1,), 1000 * t, device=x.device)
