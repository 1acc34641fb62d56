"""The training task on tiny scenes: its loss falls, what is frozen stays, queries are permuted, the recipe runs."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scenewright.backbones.structure_vae import StructureDecoder, StructureVAEConfig
from scenewright.data.tensor_shards import TensorShardSet, write_tensor_shard
from scenewright.geometry.rotation import compose_similarity
from scenewright.recipes.running import build_task, find_recipe, trainer_of
from scenewright.systems.scenegen.position_head import IDENTITY_POSE
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow
from scenewright.systems.scenegen.training import QuerySet, SceneGenTask, build_scenegen, collate_scenes, query_first
from scenewright.training.metric_log import read_metrics
from tests.support.rotations import random_rotation
from tests.support.scenegen_published import TRAINABLE, train_only_scene_parts

NETWORK = {
    "resolution": 4,
    "model_channels": 32,
    "cond_channels": 16,
    "num_blocks": 1,
    "num_heads": 2,
    "mlp_ratio": 2,
    "local_context_tokens": 3,
    "trunk_depth": 1,
    "num_iteration": 2,
}


def scene(num_assets: int, generator: torch.Generator) -> dict[str, Tensor]:
    placement = compose_similarity(
        random_rotation(num_assets, generator=generator),
        torch.randn(num_assets, 3, generator=generator),
        0.5 + torch.rand(num_assets, generator=generator),
    )
    return {
        "latent": torch.randn(num_assets, 8, 4, 4, 4, generator=generator),
        "world_from_object": placement,
        "cond": torch.randn(num_assets, 6, 16, generator=generator).half(),
    }


class ScenesInMemory:
    def __init__(self, counts: tuple[int, ...]) -> None:
        generator = torch.Generator().manual_seed(0)
        self.scenes = [scene(count, generator) for count in counts]

    def __len__(self) -> int:
        return len(self.scenes)

    def tensors(self, index: int) -> dict[str, Tensor]:
        return self.scenes[index]


def batch(counts: tuple[int, ...] = (3, 1, 2)) -> dict[str, Tensor]:
    samples = QuerySet(ScenesInMemory(counts))
    starts = [sum(counts[:index]) for index in range(len(counts))]
    return samples.collate([samples.sample(start, torch.Generator().manual_seed(1)) for start in starts])


def task() -> SceneGenTask:
    torch.manual_seed(0)
    return build_scenegen(NETWORK)


def test_the_loss_falls_and_frozen_parts_stay() -> None:
    trained = task()
    names = train_only_scene_parts(trained.network)
    before = {name: p.detach().clone() for name, p in trained.network.named_parameters()}
    optimiser = torch.optim.AdamW([p for p in trained.network.parameters() if p.requires_grad], lr=2e-3)
    scenes, losses = batch(), []
    for _ in range(12):
        torch.manual_seed(3)
        result = trained.loss(scenes)
        optimiser.zero_grad()
        result["loss"].backward()
        optimiser.step()
        losses.append(result["loss"].item())
    assert losses[-1] < 0.9 * losses[0]
    moved = {name for name, p in trained.network.named_parameters() if not torch.equal(p, before[name])}
    assert moved <= set(names)
    assert any("position_head" in name for name in moved)
    assert {"flow", "pose", "pose_weight", "translation_error"} <= set(result)


def test_training_everything_lowers_the_flow_loss() -> None:
    trained = task()
    optimiser = torch.optim.AdamW(trained.network.parameters(), lr=3e-3)
    scenes, losses = batch(), []
    for _ in range(15):
        torch.manual_seed(3)
        result = trained.loss(scenes)
        optimiser.zero_grad()
        result["loss"].backward()
        optimiser.step()
        losses.append(float(result["flow"]))
    assert losses[-1] < losses[0]


def test_a_batch_of_lone_assets_gives_every_trained_parameter_a_gradient() -> None:
    trained = task()
    trained.loss(batch((1, 1)))["loss"].backward()
    head = [p.grad for p in trained.network.position_head.pose_branch.parameters()]
    assert all(grad is not None and (grad == 0).all() for grad in head)


def test_the_collision_value_moves_lambda_and_has_no_gradient() -> None:
    plain = task()
    torch.manual_seed(0)
    decoder = StructureDecoder(StructureVAEConfig(channels=(4, 8, 16), num_res_blocks=1, num_res_blocks_middle=1))
    judged = SceneGenTask(plain.network, plain.config, decoder.eval().requires_grad_(False))
    assert judged.frozen == (decoder,)
    scenes = batch()
    results = []
    for each in (plain, judged):
        torch.manual_seed(9)
        results.append(each.loss(scenes))
    assert 0 <= results[1]["collision_ratio"] <= 1
    torch.testing.assert_close(results[0]["flow"], results[1]["flow"])
    assert results[1]["pose"] >= results[0]["pose"]


def test_lambda_survives_a_restart() -> None:
    first = task()
    first.loss(batch())
    second = task()
    second.load_state_dict(first.state_dict())
    assert second.balance.average == first.balance.average is not None


def test_the_query_comes_first_and_the_rest_is_shuffled_and_cut() -> None:
    generator = torch.Generator().manual_seed(0)
    orders = [query_first(10, 4, generator).tolist() for _ in range(20)]
    assert all(order[0] == 4 and len(order) == len(set(order)) == 7 for order in orders)
    assert len({tuple(order) for order in orders}) > 15
    assert query_first(1, 0, generator).tolist() == [0]
    assert sorted(query_first(3, 1, generator).tolist()) == [0, 1, 2]


def test_every_asset_is_the_query_once_and_poses_are_told_in_its_frame() -> None:
    scenes = ScenesInMemory((3, 1, 9))
    samples = QuerySet(scenes)
    assert len(samples) == 13
    for index in (0, 2, 3, 12):
        sample = samples.sample(index, torch.Generator().manual_seed(index))
        torch.testing.assert_close(sample["pose"][0], torch.tensor(IDENTITY_POSE), rtol=0, atol=1e-4)
        assert len(sample["pose"]) == len(sample["latent"]) == len(sample["cond"])
    assert len(samples.sample(12, torch.Generator())["pose"]) == 7
    joined = collate_scenes([samples.sample(0, torch.Generator()), samples.sample(3, torch.Generator())])
    assert joined["scene_sizes"].tolist() == [3, 1]


def test_the_recipe_is_the_published_run_and_steps_at_a_tiny_size(tmp_path: Path) -> None:
    recipe = find_recipe(
        "scenegen_structure", ["train.max_steps=3", "train.workers=0", "log.every=1", "log.tensorboard=false"]
    )
    assert set(recipe.run.train.trainable) == set(TRAINABLE)
    with torch.device("meta"):
        network = build_task(recipe).network
    assert isinstance(network, SceneStructureFlow)
    assert sum(p.numel() for p in network.parameters()) == 908_802_584

    (tmp_path / "data").mkdir()
    generator = torch.Generator().manual_seed(0)
    write_tensor_shard(tmp_path / "data", 0, [(f"{i:05d}", scene(2 + i, generator)) for i in range(3)])
    assert len(QuerySet(TensorShardSet(tmp_path / "data"))) == 9
    tiny = replace(recipe, model={**recipe.model, "network": NETWORK})
    trainer_of(tiny, tmp_path / "data", tmp_path / "run", device="cpu").fit()
    rows = read_metrics(tmp_path / "run/metrics.jsonl")
    assert [0 < row["loss"] < 20 for row in rows] == [True] * 3


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="drop_probability"):
        build_scenegen(NETWORK, drop_probabilty=0.2)
