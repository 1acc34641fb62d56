"""I-Scene's task: what its loss measures, what it draws, and that a few steps lower it on tiny data."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from scenewright.data.tensor_shards import write_tensor_shard
from scenewright.errors import InputError
from scenewright.recipes.tasks import task_kind
from scenewright.samplers.flow import SIGMA_MIN
from scenewright.systems.iscene.config import SceneContextConfig
from scenewright.systems.iscene.structure_flow import SceneContextFlow
from scenewright.systems.iscene.training import ISceneTask, ISceneTaskConfig, SlotSet, build_iscene
from scenewright.training.flow_matching import noised, sample_times
from scenewright.training.loading import TrainingSet
from tests.tiny_iscene import TINY_FLOW, tiny_flow

THREE_SLOTS = SceneContextConfig(TINY_FLOW, 1, with_canonical=True)


def slot_batch(slots: int = 2, count: int = 2, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "latent": torch.randn(count, slots, 8, 4, 4, 4, generator=generator),
        "cond": torch.randn(count, slots, 5, 32, generator=generator),
    }


class Scenes(TrainingSet):
    """Two scenes of three objects; every tensor says which object it belongs to."""

    def __init__(self, has_own: bool = True) -> None:
        self.has_own = has_own

    def __len__(self) -> int:
        return 2

    def sample(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        numbers = torch.arange(3.0) + 10 * index
        latent, cond = numbers.view(3, 1, 1, 1, 1).expand(3, 8, 4, 4, 4), numbers.view(3, 1, 1).expand(3, 5, 32)
        scene = {"latent": latent, "cond": cond, "scene_latent": latent[0] + 100, "scene_cond": cond[0] + 100}
        return scene | ({"own_latent": latent + 1000, "own_cond": cond + 1000} if self.has_own else {})


@pytest.mark.parametrize("slots", [2, 3])
def test_the_loss_is_the_mean_squared_error_of_the_velocity_over_all_slots(slots: int) -> None:
    flow = tiny_flow(SceneContextConfig(TINY_FLOW, 1, with_canonical=slots == 3))
    task, batch = ISceneTask(flow, ISceneTaskConfig(drop_probability=0.0)), slot_batch(slots)
    torch.manual_seed(4)
    losses = task.loss(batch)
    torch.manual_seed(4)
    t = sample_times(2)
    x_t, noise = noised(batch["latent"], t)
    velocity = flow.forward_slots(x_t, 1000 * t, batch["cond"])
    errors = (velocity - ((1 - SIGMA_MIN) * noise - batch["latent"])).square().mean((0, 2, 3, 4, 5))
    torch.testing.assert_close(losses["loss"], errors.mean())
    logged = torch.stack([losses[name] for name in ("object", "scene", "own_crop")[:slots]])
    torch.testing.assert_close(logged, errors)
    assert len(losses) == 1 + slots


def test_a_dropped_condition_is_dropped_for_all_slots_of_an_object() -> None:
    flow, batch = tiny_flow(), slot_batch()
    torch.manual_seed(1)
    dropped = ISceneTask(flow, ISceneTaskConfig(drop_probability=1.0)).loss(batch)
    torch.manual_seed(1)
    without = ISceneTask(flow, ISceneTaskConfig(drop_probability=0.0)).loss(
        batch | {"cond": torch.zeros_like(batch["cond"])}
    )
    torch.testing.assert_close(dropped["loss"], without["loss"])


def test_every_parameter_trains_and_the_loss_falls() -> None:
    torch.manual_seed(0)
    network = {"flow": vars(TINY_FLOW), "num_context_blocks": 1, "has_gate": True, "has_key_bias": True}
    task, batch = build_iscene(network, drop_probability=0.0), slot_batch()
    # A fresh flow is zero until its last layer has moved, and its gradient elsewhere with it: take a later one.
    task.network.load_state_dict(tiny_flow(task.network.scene_config).state_dict())
    optimizer = torch.optim.AdamW(task.network.parameters(), lr=2e-3)
    first_values = {name: value.clone() for name, value in task.network.named_parameters()}
    values = []
    for _ in range(12):
        torch.manual_seed(7)
        loss = task.loss(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        assert all(parameter.grad is not None for parameter in task.network.parameters())
        optimizer.step()
        values.append(float(loss.detach()))
    assert values[-1] < 0.8 * values[0]
    unmoved = [name for name, value in task.network.named_parameters() if torch.equal(value, first_values[name])]
    assert unmoved == []


def test_a_fresh_flow_predicts_nothing_and_takes_a_first_step() -> None:
    task = build_iscene({"flow": vars(TINY_FLOW), "num_context_blocks": 1})
    batch = slot_batch()
    loss = task.loss(batch)["loss"]
    target_power = 1 + float(batch["latent"].square().mean())
    assert float(loss.detach()) == pytest.approx(target_power, rel=0.1)
    loss.backward()
    assert float(task.network.out_layer.weight.grad.abs().max()) > 0


def test_a_sample_is_one_object_with_its_scene() -> None:
    samples = SlotSet(Scenes())
    seen = set()
    for seed in range(20):
        sample = samples.sample(1, torch.Generator().manual_seed(seed))
        assert sample["latent"].shape == (2, 8, 4, 4, 4)
        number = int(sample["latent"][0, 0, 0, 0, 0])
        assert (sample["latent"][0] == number).all()
        assert (sample["cond"][0] == number).all()
        assert (sample["latent"][1] == 110).all()
        assert (sample["cond"][1] == 110).all()
        seen.add(number)
    assert seen == {10, 11, 12}


def test_the_third_slot_and_single_objects_come_from_the_objects_own_cube() -> None:
    three = SlotSet(Scenes(), with_canonical=True).sample(0, torch.Generator().manual_seed(0))["latent"][:, 0, 0, 0, 0]
    assert three[2] == three[0] + 1000
    alone = SlotSet(Scenes(), single_object_share=1.0).sample(0, torch.Generator().manual_seed(0))["latent"]
    assert torch.equal(alone[0], alone[1])
    assert float(alone.min()) >= 1000
    with pytest.raises(InputError, match="own_latent"):
        SlotSet(Scenes(has_own=False), with_canonical=True).sample(0, torch.Generator())
    with pytest.raises(InputError, match="between 0 and 1"):
        SlotSet(Scenes(), single_object_share=1.5)


def test_the_recipe_reads_scenes_of_different_sizes_from_shards(tmp_path: Path) -> None:
    scenes = [
        (
            f"scene{count}",
            {
                "latent": torch.randn(count, 8, 4, 4, 4),
                "cond": torch.randn(count, 5, 32),
                "scene_latent": torch.randn(8, 4, 4, 4),
                "scene_cond": torch.randn(5, 32),
            },
        )
        for count in (1, 3)
    ]
    write_tensor_shard(tmp_path, 0, scenes)
    kind = task_kind("iscene_structure")
    train, validation = kind.open_data(tmp_path)
    assert len(train) == 2
    assert validation is None
    samples = [train.sample(index, torch.Generator().manual_seed(0)) for index in range(2)]
    batch = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
    task = kind.build(network={"flow": vars(TINY_FLOW), "num_context_blocks": 1})
    assert torch.isfinite(task.loss(batch)["loss"])


def test_the_network_is_named_where_slots_do_not_fit() -> None:
    with pytest.raises(ValueError, match="Expected 3 slots, got 2"):
        ISceneTask(SceneContextFlow(THREE_SLOTS)).loss(slot_batch(2))
