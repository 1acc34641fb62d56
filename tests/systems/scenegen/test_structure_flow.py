"""SceneGen's flow as a function of scenes: what assets share, what tells them apart, what the exact shortcuts keep."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from scenewright.backbones.trellis1.structure_flow import StructureFlow
from scenewright.errors import InputError
from scenewright.systems.scenegen.condition import SceneCondition, scene_condition
from scenewright.systems.scenegen.config import SceneFlowConfig, scene_flow_config
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow
from tests.support.scenegen_condition import assemble_condition
from tests.support.scenegen_published import copy_asset_attention, train_only_scene_parts
from tests.tiny_scenegen import FLOW_ARGUMENTS, TOKENS, tiny_flow

NUM_ASSETS = 4
TIME = torch.tensor([700.0])


@pytest.fixture(scope="module")
def flow() -> SceneStructureFlow:
    return tiny_flow()


def scene(num_assets: int = NUM_ASSETS, seed: int = 0) -> tuple[Tensor, SceneCondition]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num_assets, 8, 4, 4, 4, generator=generator)
    own = torch.randn(num_assets, 2 * TOKENS, 32, generator=generator)
    return x, SceneCondition(own, torch.randn(3 * TOKENS, 32, generator=generator))


def run(
    flow: SceneStructureFlow,
    x: Tensor,
    t: Tensor,
    condition: SceneCondition | None,
    sizes: Sequence[int] | None = None,
    *,
    keep_keys: bool = True,
) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        context = None if condition is None else flow.project_scene(condition, sizes, keep_keys=keep_keys)
        velocity, poses = flow.velocity_and_poses(x, t, context)
    assert poses is not None
    return velocity, poses


def test_reordering_assets_behind_the_query_reorders_the_answer(flow: SceneStructureFlow) -> None:
    x, condition = scene()
    order = [0, 3, 1, 2]
    velocity, poses = run(flow, x, TIME, condition)
    again, poses_again = run(flow, x[order], TIME, SceneCondition(condition.own[order], condition.shared))
    torch.testing.assert_close(again, velocity[order], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(poses_again, poses[order], rtol=1e-4, atol=1e-4)


def test_the_query_has_tokens_of_its_own(flow: SceneStructureFlow) -> None:
    x, condition = scene()
    order = [1, 0, 2, 3]
    _, poses = run(flow, x, TIME, condition)
    _, swapped = run(flow, x[order], TIME, SceneCondition(condition.own[order], condition.shared))
    assert ((swapped - poses[order])[:2].abs().amax(1) > 1e-2).all()


def test_every_asset_feels_every_other(flow: SceneStructureFlow) -> None:
    x, condition = scene()
    velocity, poses = run(flow, x, TIME, condition)
    changed = x.clone()
    changed[3] += 1
    other, other_poses = run(flow, changed, TIME, condition)
    assert ((other - velocity)[:3].abs().amax((1, 2, 3, 4)) > 1e-4).all()
    assert ((other_poses - poses)[:3].abs().amax(1) > 1e-4).all()


def test_only_the_cut_out_reaches_the_assets_own_cross_attention(flow: SceneStructureFlow) -> None:
    _, condition = scene()
    first = flow.blocks[0]
    masks_changed = condition.own.clone()
    masks_changed[:, TOKENS:] += 1
    before, after = (first.project(SceneCondition(own), (NUM_ASSETS,)) for own in (condition.own, masks_changed))
    assert torch.equal(before.cross.keys, after.cross.keys)
    assert not torch.equal(before.scene.own.keys, after.scene.own.keys)


def test_shared_tokens_are_as_good_as_repeated_ones(flow: SceneStructureFlow) -> None:
    x, condition = scene()
    assert condition.shared is not None
    repeated = SceneCondition(torch.cat([condition.own, condition.shared.expand(NUM_ASSETS, -1, -1)], 1))
    for got, expected in zip(run(flow, x, TIME, condition), run(flow, x, TIME, repeated), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("left_out", [(), (1,), (2,), (3,), (1, 2, 3)])
def test_split_conditions_hold_the_published_tokens_in_their_order(left_out: tuple[int, ...]) -> None:
    given = [torch.randn(shape) for shape in ((3, 4, 8), (3, 4, 8), (1, 4, 8), (1, 5, 16))]
    runs = [None if index in left_out else tokens for index, tokens in enumerate(given)]
    split = scene_condition(*runs)
    shared = [] if split.shared is None else [split.shared.expand(3, -1, -1)]
    assert torch.equal(torch.cat([split.own, *shared], 1), assemble_condition(*runs))


def test_projected_condition_and_no_condition_are_exact(flow: SceneStructureFlow) -> None:
    x, condition = scene()
    kept, anew = (run(flow, x, TIME, condition, keep_keys=keep_keys) for keep_keys in (True, False))
    for got, expected in zip(kept, anew, strict=True):
        assert torch.equal(got, expected)
    zeros = SceneCondition(torch.zeros(NUM_ASSETS, 5 * TOKENS, 32))
    for got, expected in zip(run(flow, x, TIME, None), run(flow, x, TIME, zeros), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_one_time_for_all_equals_the_same_time_for_each(flow: SceneStructureFlow) -> None:
    x, condition = scene()
    for got, expected in zip(
        run(flow, x, TIME, condition), run(flow, x, TIME.expand(NUM_ASSETS), condition), strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_scenes_of_a_batch_do_not_see_each_other(flow: SceneStructureFlow) -> None:
    sizes = (3, 1, 2)
    x, condition = scene(sum(sizes))
    own = SceneCondition(condition.own)
    times = torch.linspace(100, 900, sum(sizes))
    velocity, poses = run(flow, x, times, own, sizes)
    start = 0
    for size in sizes:
        rows = slice(start, start + size)
        alone, alone_poses = run(flow, x[rows], times[rows], SceneCondition(own.own[rows]))
        torch.testing.assert_close(velocity[rows], alone, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(poses[rows], alone_poses, rtol=1e-4, atol=1e-4)
        start += size


def test_the_scene_parts_switched_off_leave_trellis(flow: SceneStructureFlow) -> None:
    quiet = tiny_flow()
    for block in quiet.blocks:
        for module in (block.global_attn.to_out, block.global_cross_attn.to_out):
            torch.nn.init.zeros_(module.weight)
            torch.nn.init.zeros_(module.bias)
    plain = StructureFlow(_plain(quiet.config)).eval()
    plain.load_state_dict({name: quiet.state_dict()[name] for name in plain.state_dict()})
    x, condition = scene()
    with torch.no_grad():
        expected = plain(x, TIME.expand(NUM_ASSETS), condition.own[:, :TOKENS])
    torch.testing.assert_close(run(quiet, x, TIME, condition)[0], expected, rtol=1e-4, atol=1e-4)


def _plain(config: SceneFlowConfig):  # type: ignore[no-untyped-def]
    from scenewright.backbones.trellis1.published import structure_flow_config

    inherited = ("num_blocks", "local_context_tokens", "trunk_depth", "num_iteration", "use_global")
    base = {name: value for name, value in FLOW_ARGUMENTS.items() if name not in (*inherited, "use_batch_encoder")}
    return structure_flow_config(base | {"num_blocks": config.num_blocks})


def test_published_size_has_the_published_tensors() -> None:
    with torch.device("meta"):
        network = SceneStructureFlow(SceneFlowConfig())
    state = network.state_dict()
    parameters = dict(network.named_parameters())
    assert len(state) == 882
    assert sum(p.numel() for p in parameters.values()) == 908_802_584
    assert sum(p.numel() for n, p in parameters.items() if n.startswith("position_head.")) == 76_105_232
    trained = train_only_scene_parts(network)
    assert sum(parameters[name].numel() for name in trained) == 353_209_872
    assert not any("norm4" in name for name in trained)


def test_initialisation_is_the_published_one() -> None:
    torch.manual_seed(0)
    flow = SceneStructureFlow(SceneFlowConfig(resolution=4, model_channels=64, cond_channels=64, num_blocks=1))
    flow.initialize_weights()
    block = flow.blocks[0]
    assert flow.out_layer.weight.abs().max() == 0
    assert block.adaLN_modulation[1].weight.abs().max() == 0
    assert block.adaLN_modulation_global[1].weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert block.global_attn.to_qkv.bias.std().item() == pytest.approx(0.2, rel=0.2)
    assert (block.global_cross_attn.to_kv.bias == 0.1).all()
    assert (block.norm4.weight == 1).all()
    assert flow.position_token.std().item() == pytest.approx(1.0, rel=0.2)
    assert flow.position_head.trunk[0].adaLN_modulation[1].weight.std() > 0
    copy_asset_attention(block)
    assert torch.equal(block.global_attn.to_qkv.weight, block.self_attn.to_qkv.weight)
    assert torch.equal(block.adaLN_modulation_global[1].weight, block.adaLN_modulation[1].weight[: 3 * 64])


def test_variants_that_were_never_published_are_refused() -> None:
    assert scene_flow_config(FLOW_ARGUMENTS).num_special_tokens == 5
    with pytest.raises(InputError, match="use_batch_encoder is False in the published checkpoint, got True"):
        scene_flow_config(FLOW_ARGUMENTS | {"use_batch_encoder": True})
    with pytest.raises(InputError, match="num_register_token"):
        scene_flow_config(FLOW_ARGUMENTS | {"num_register_token": 4})
