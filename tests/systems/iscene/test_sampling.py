"""Joint sampling: the fast path against the plain one, order and number of objects, the scene on its own, noise."""

import pytest
import torch
from torch import Tensor

from scenewright.backbones.trellis1.structure_flow import StructureFlow
from scenewright.samplers.config import SamplerConfig
from scenewright.samplers.euler import euler
from scenewright.samplers.guidance import guided
from scenewright.samplers.schedule import rescaled_times
from scenewright.systems.iscene.config import SceneContextConfig
from scenewright.systems.iscene.sampling import SlotLatents, sample_structure, structure_noise
from scenewright.systems.iscene.structure_flow import SceneContextFlow
from scenewright.weights.load import load_state
from tests.support.iscene_published import conditions_from_slots, latent_noise, object_coords
from tests.tiny_iscene import TINY_FLOW, tiny_flow

SAMPLER = SamplerConfig(steps=6, guidance_strength=3.0)


def config_of(slots: int, **marks: bool) -> SceneContextConfig:
    return SceneContextConfig(TINY_FLOW, 1, with_canonical=slots == 3, **marks)


def conditions_of(count: int, slots: int, seed: int = 1) -> Tensor:
    """[N, S, L, C], the scene's the same for all."""
    cond = torch.randn(count, slots, 7, 32, generator=torch.Generator().manual_seed(seed))
    cond[:, 1] = cond[:1, 1]
    return cond


def plain_path(flow: SceneContextFlow, cond: Tensor, noise: Tensor, config: SamplerConfig) -> Tensor:
    """All slots of all objects as separate rows, the zero condition attended to: nothing is shared or left out."""

    def given(tokens: Tensor):
        return lambda x, t, step: flow.forward_slots(x, torch.full((len(x),), 1000 * t), tokens)

    velocity = guided(given(cond), given(torch.zeros_like(cond)), config.guidance_strength, config.guidance_interval)
    with torch.no_grad():
        start = noise.expand(len(cond), *noise.shape[-5:])
        return euler(velocity, start, rescaled_times(config.steps, config.rescale_t))


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("slots", [2, 3])
@pytest.mark.parametrize("marked", [False, True])
def test_the_scene_run_once_equals_running_it_with_every_object(count: int, slots: int, marked: bool) -> None:
    flow = tiny_flow(config_of(slots, has_gate=marked, has_key_bias=marked))
    cond, noise = conditions_of(count, slots), torch.randn(slots, 8, 4, 4, 4)
    fast = sample_structure(flow, conditions_from_slots(cond), noise, SAMPLER)
    torch.testing.assert_close(fast.slots(), plain_path(flow, cond, noise, SAMPLER), atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("slots", [2, 3])
def test_objects_in_parts_equal_objects_together(slots: int) -> None:
    flow = tiny_flow(config_of(slots))
    conditions, noise = conditions_from_slots(conditions_of(5, slots)), torch.randn(slots, 8, 4, 4, 4)
    together = sample_structure(flow, conditions, noise, SAMPLER)
    for size in (2, 9):
        parts = sample_structure(flow, conditions, noise, SAMPLER, objects_at_once=size)
        torch.testing.assert_close(parts.objects, together.objects, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(parts.scene, together.scene)


def test_the_order_of_objects_is_the_order_of_results() -> None:
    flow, cond = tiny_flow(), conditions_of(4, 2)
    noise, order = torch.randn(2, 8, 4, 4, 4), torch.tensor([2, 0, 3, 1])
    results = [
        sample_structure(flow, conditions_from_slots(rows), noise, SAMPLER).objects for rows in (cond, cond[order])
    ]
    torch.testing.assert_close(results[0][order], results[1], atol=1e-4, rtol=1e-4)


def test_an_object_does_not_depend_on_the_others_given_the_scene() -> None:
    flow, cond, noise = tiny_flow(), conditions_of(3, 2), torch.randn(2, 8, 4, 4, 4)
    together = sample_structure(flow, conditions_from_slots(cond), noise, SAMPLER)
    alone = sample_structure(flow, conditions_from_slots(cond[1:2]), noise, SAMPLER)
    torch.testing.assert_close(alone.objects[0], together.objects[1], atol=1e-4, rtol=1e-4)
    other_scene = cond.clone()
    other_scene[:, 1] += 1
    changed = sample_structure(flow, conditions_from_slots(other_scene), noise, SAMPLER)
    assert float((changed.objects - together.objects).abs().max()) > 1e-2


def test_the_scene_is_plain_sampling_of_its_picture() -> None:
    flow, cond, noise = tiny_flow(), conditions_of(2, 2), torch.randn(2, 8, 4, 4, 4)
    plain = load_state(StructureFlow(TINY_FLOW), flow.state_dict()).eval()

    def given(tokens: Tensor | None):
        return lambda x, t, step: plain(x, torch.full((1,), 1000 * t), tokens)

    velocity = guided(given(cond[:1, 1]), given(None), SAMPLER.guidance_strength, SAMPLER.guidance_interval)
    with torch.no_grad():
        expected = euler(velocity, noise[1:2], rescaled_times(SAMPLER.steps, SAMPLER.rescale_t))
    scene = sample_structure(flow, conditions_from_slots(cond), noise, SAMPLER).scene
    torch.testing.assert_close(scene, expected[0], atol=1e-4, rtol=1e-4)


def test_an_object_with_noise_of_its_own_changes_alone() -> None:
    flow, noise = tiny_flow(), torch.randn(2, 8, 4, 4, 4)
    conditions = conditions_from_slots(conditions_of(3, 2))
    shared = sample_structure(flow, conditions, noise, SAMPLER)
    own = noise[:1].repeat(3, 1, 1, 1, 1, 1).view(3, 1, 8, 4, 4, 4)
    same = sample_structure(flow, conditions, noise, SAMPLER, object_noise=own)
    torch.testing.assert_close(same.objects, shared.objects, atol=1e-4, rtol=1e-4)
    own = own.clone()
    own[1] = torch.randn(1, 8, 4, 4, 4)
    changed = sample_structure(flow, conditions, noise, SAMPLER, object_noise=own)
    torch.testing.assert_close(changed.scene, shared.scene)
    torch.testing.assert_close(changed.objects[[0, 2]], shared.objects[[0, 2]], atol=1e-4, rtol=1e-4)
    assert float((changed.objects[1] - shared.objects[1]).abs().max()) > 1e-2


def test_without_guidance_no_unconditional_velocity_is_needed() -> None:
    flow, cond, noise = tiny_flow(), conditions_of(2, 2), torch.randn(2, 8, 4, 4, 4)
    calm = SamplerConfig(steps=4, guidance_strength=0.0)
    fast = sample_structure(flow, conditions_from_slots(cond), noise, calm)
    torch.testing.assert_close(fast.slots(), plain_path(flow, cond, noise, calm), atol=1e-4, rtol=1e-4)


def test_steps_are_reported_with_state_and_velocity() -> None:
    flow, seen = tiny_flow(), []

    def keep(step: int, t: float, x: SlotLatents, v: SlotLatents) -> None:
        seen.append((step, t, x.slots().shape, v.slots().shape))

    conditions = conditions_from_slots(conditions_of(2, 2))
    sample_structure(flow, conditions, torch.randn(2, 8, 4, 4, 4), SamplerConfig(steps=3), on_step=keep)
    assert [step for step, *_ in seen] == [0, 1, 2]
    assert seen[0][1] == 1.0
    assert all(shapes == [(2, 2, 8, 4, 4, 4)] * 2 for *_, x, v in seen for shapes in [[x, v]])


def test_noise_is_one_draw_for_all_slots_and_then_one_for_all_voxels() -> None:
    generator, reference = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    config = SceneContextConfig(with_canonical=True)
    assert torch.equal(structure_noise(config, generator), torch.randn(1, 3, 8, 16, 16, 16, generator=reference)[0])
    rows = latent_noise([3, 0, 4], 8, generator)
    assert torch.equal(torch.cat(rows), torch.randn(7, 8, generator=reference))
    assert [len(row) for row in rows] == [3, 0, 4]


def test_voxels_of_objects_are_picked_from_all_rows() -> None:
    coords = torch.tensor([[0, 1, 2, 3], [1, 0, 0, 0], [3, 5, 5, 5], [4, 7, 7, 7], [4, 7, 7, 8]], dtype=torch.int32)
    objects, counts = object_coords(coords, 2)
    assert objects.tolist() == [[0, 1, 2, 3], [2, 7, 7, 7], [2, 7, 7, 8]]
    assert counts == (1, 1, 0, 1, 2)
    assert object_coords(coords[:0], 2)[0].shape == (0, 4)
