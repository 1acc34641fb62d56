"""The joint sampler: poses from the last step only, views in turn, the mean of all at the end, refusals."""

import pytest
import torch
from torch import Tensor

from scenewright.errors import InputError
from scenewright.samplers.config import SamplerConfig
from scenewright.systems.scenegen.condition import SceneCondition
from scenewright.systems.scenegen.position_head import IDENTITY_POSE
from scenewright.systems.scenegen.sampling import integrate_scene, sample_scene_structures
from tests.tiny_scenegen import TOKENS, tiny_flow

CONFIG = SamplerConfig(steps=3, guidance_strength=2.0)
FLOW = tiny_flow()


def views(count: int, num_assets: int = 3) -> list[SceneCondition]:
    generator = torch.Generator().manual_seed(count)
    return [
        SceneCondition(
            torch.randn(num_assets, 2 * TOKENS, 32, generator=generator), torch.randn(TOKENS, 32, generator=generator)
        )
        for _ in range(count)
    ]


def noise(num_assets: int = 3) -> Tensor:
    return torch.randn(num_assets, 8, 4, 4, 4, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("keep_keys", [True, False])
def test_keeping_the_projected_condition_changes_nothing(keep_keys: bool) -> None:
    kept = sample_scene_structures(FLOW, views(2), noise(), CONFIG)
    again = sample_scene_structures(FLOW, views(2), noise(), CONFIG, keep_keys=keep_keys)
    torch.testing.assert_close(again.latents, kept.latents, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(again.poses, kept.poses, rtol=1e-4, atol=1e-4)
    assert tuple(kept.poses[0].tolist()) == IDENTITY_POSE


def test_a_lone_asset_is_a_scene() -> None:
    sampled = sample_scene_structures(FLOW, views(1, 1), noise(1), CONFIG)
    assert sampled.latents.shape == (1, 8, 4, 4, 4)
    assert tuple(sampled.poses[0].tolist()) == IDENTITY_POSE


@torch.no_grad()
def test_the_pose_head_runs_once_per_view_and_the_answers_are_averaged() -> None:
    given: list[Tensor] = []
    handle = FLOW.position_head.register_forward_hook(lambda module, inputs, output: given.append(output))
    _, poses = integrate_scene(FLOW, [FLOW.project_scene(view) for view in views(2)], noise(), CONFIG)
    handle.remove()
    assert len(given) == 2
    torch.testing.assert_close(poses, torch.stack(given).mean(0))


@torch.no_grad()
def test_views_take_turns_and_a_view_beyond_the_steps_is_read_at_the_end() -> None:
    contexts, used = [FLOW.project_scene(view) for view in views(5)], []
    handle = FLOW.blocks[0].register_forward_pre_hook(
        lambda module, inputs: used.append([context.blocks[0] is inputs[2] for context in contexts].index(True))
    )
    integrate_scene(
        FLOW, contexts, noise(), SamplerConfig(steps=3, guidance_strength=0.0, guidance_interval=(2.0, 2.0))
    )
    handle.remove()
    assert used == [0, 1, 0, 1, 2, 3, 4]


def test_equal_views_are_one_view() -> None:
    (view,) = views(1)
    one = sample_scene_structures(FLOW, [view], noise(), CONFIG)
    two = sample_scene_structures(FLOW, [view, view], noise(), CONFIG)
    torch.testing.assert_close(two.latents, one.latents, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(two.poses, one.poses, rtol=1e-4, atol=1e-4)


def test_progress_counts_steps() -> None:
    seen: list[tuple[int, int]] = []
    sample_scene_structures(FLOW, views(1), noise(), CONFIG, progress=lambda done, steps: seen.append((done, steps)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_views_of_other_assets_are_refused() -> None:
    with pytest.raises(InputError, match=r"the same 3 assets, got \[3, 2\]"):
        sample_scene_structures(FLOW, [*views(1), *views(1, 2)], noise(), CONFIG)
    with pytest.raises(InputError, match=r"got \[\]"):
        sample_scene_structures(FLOW, [], noise(), CONFIG)
