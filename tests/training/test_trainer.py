"""The loop: losses fall, a resumed run equals an unbroken one bit for bit, and every problem is one clear sentence."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from scenewright.errors import InputError, MissingExtraError
from scenewright.training.config import LogConfig, LoraConfig, OptimizerConfig, RunConfig, TrainConfig
from scenewright.training.metric_log import read_metrics
from scenewright.training.trainer import Trainer
from tests.training.toy import Circle, CircleFlow

CONFIG = RunConfig(
    train=TrainConfig(batch_size=16, batch_split=2, max_steps=12, precision="fp32", workers=0),
    optimizer=OptimizerConfig(lr=3e-3),
    log=LogConfig(every=4, checkpoint_steps=5, checkpoint_minutes=60, tensorboard=False),
)


def steps(config: RunConfig, count: int) -> RunConfig:
    return replace(config, train=replace(config.train, max_steps=count))


def long(count: int, **log: int) -> RunConfig:
    """A run that saves at its end only."""
    return replace(steps(CONFIG, count), log=replace(CONFIG.log, checkpoint_steps=0, **log))


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    folder = run / "checkpoints" / f"step-{step:08d}"
    merged = {f"ema.{name}": tensor for name, tensor in load_file(folder / "ema.safetensors").items()}
    merged |= load_file(folder / "weights.safetensors")
    for name, moments in torch.load(folder / "trainer.pt", weights_only=True).items():
        merged |= {f"{name}.{key}": value for key, value in moments.items()}
    return merged


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def test_the_loss_falls_and_the_run_folder_tells_how(tmp_path: Path):
    config = long(200, every=50, sheet_steps=200, validate_steps=200)
    result = Trainer(CircleFlow(), Circle(), tmp_path, config, validation=Circle(), device="cpu").fit()
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert (result.step, result.reason) == (200, "max_steps")
    assert [row["step"] for row in rows if "loss" in row] == [50, 100, 150, 200]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < 0.8 * losses[0]
    assert any("validation/loss" in row for row in rows)
    assert (tmp_path / "sheets/step-00000200.png").is_file()
    network = CircleFlow().network
    network.load_state_dict(load_file(tmp_path / "network.safetensors"))


def test_a_run_in_two_parts_equals_an_unbroken_one_bit_for_bit(tmp_path: Path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    Trainer(CircleFlow(), Circle(), whole, CONFIG, device="cpu").fit()
    Trainer(CircleFlow(), Circle(), parts, steps(CONFIG, 7), device="cpu").fit()
    task = CircleFlow(seed=5)  # whatever the new process starts from is replaced
    Trainer(task, Circle(), parts, CONFIG, device="cpu").fit(resume=True)
    assert_same(weights(whole, 12), weights(parts, 12))
    assert task.calls == 24
    drop = ("elapsed_s", "step_s", "data_wait_s")
    logs = [
        [{key: value for key, value in row.items() if key not in drop} for row in read_metrics(run / "metrics.jsonl")]
        for run in (whole, parts)
    ]
    assert logs[0] == logs[1]


def test_low_rank_training_leaves_the_network_alone_and_exports_the_merged_one(tmp_path: Path):
    base = Trainer(CircleFlow(), Circle(), tmp_path / "base", CONFIG, device="cpu").fit()
    start = load_file(base.weights[0])
    config = replace(
        CONFIG,
        train=replace(CONFIG.train, init_from=(str(base.weights[0]),)),
        lora=LoraConfig(rank=2, targets=("enter", "middle")),
    )
    task = CircleFlow(seed=9)
    tuned = Trainer(task, Circle(), tmp_path / "tuned", config, device="cpu").fit()
    state = load_file(tuned.weights[0])
    assert state.keys() == start.keys()
    assert torch.equal(task.network.enter.weight, start["enter.weight"])
    assert not torch.equal(state["enter.weight"], start["enter.weight"])
    assert torch.equal(state["leave.weight"], start["leave.weight"])
    assert set(load_file(tmp_path / "tuned/checkpoints/step-00000012/weights.safetensors")) == {
        f"{layer}.lora_{side}" for layer in ("enter", "middle") for side in ("up", "down")
    }
    again = Trainer(CircleFlow(seed=4), Circle(), tmp_path / "tuned", config, device="cpu").fit(resume=True)
    assert_same(load_file(again.weights[0]), state)


def test_modules_trained_beside_updates_are_kept_exported_and_resumed(tmp_path: Path):
    base = Trainer(CircleFlow(), Circle(), tmp_path / "base", CONFIG, device="cpu").fit()
    start = load_file(base.weights[0])
    lora = LoraConfig(rank=2, targets=("enter", "middle"), trained=("leave",), lr=0.3)
    config = replace(
        CONFIG,
        train=replace(CONFIG.train, init_from=(str(base.weights[0]),)),
        optimizer=replace(CONFIG.optimizer, weight_decay=0.1),
        lora=lora,
    )
    whole = load_file(Trainer(CircleFlow(), Circle(), tmp_path / "whole", config, device="cpu").fit().weights[0])
    assert whole.keys() == start.keys()
    assert all(not torch.equal(whole[name], start[name]) for name in ("enter.weight", "leave.weight", "leave.bias"))
    assert torch.equal(whole["enter.bias"], start["enter.bias"])
    Trainer(CircleFlow(), Circle(), tmp_path / "parts", steps(config, 7), device="cpu").fit()
    again = Trainer(CircleFlow(seed=4), Circle(), tmp_path / "parts", config, device="cpu").fit(resume=True)
    assert_same(load_file(again.weights[0]), whole)


def test_only_the_named_parameters_are_trained(tmp_path: Path):
    task = CircleFlow()
    before = {name: tensor.clone() for name, tensor in task.network.state_dict().items()}
    config = replace(CONFIG, train=replace(CONFIG.train, trainable=("leave",)))
    Trainer(task, Circle(), tmp_path, config, device="cpu").fit()
    changed = {name for name, tensor in task.network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"leave.weight", "leave.bias"}


def test_a_budget_ends_the_run_with_a_checkpoint(tmp_path: Path):
    result = Trainer(CircleFlow(), Circle(), tmp_path, CONFIG, device="cpu").fit(budget_minutes=0)
    assert (result.step, result.reason) == (0, "budget")
    assert result.weights[0].is_file()


def test_a_run_is_not_overwritten_or_resumed_as_something_else(tmp_path: Path):
    Trainer(
        CircleFlow(), Circle(), tmp_path, CONFIG, identity={"task": "a", "model": {"width": 32}}, device="cpu"
    ).fit()
    with pytest.raises(InputError, match="reached step 12; go on with --resume"):
        Trainer(CircleFlow(), Circle(), tmp_path, CONFIG, device="cpu").fit()
    other = Trainer(
        CircleFlow(), Circle(), tmp_path, CONFIG, identity={"task": "a", "model": {"width": 8}}, device="cpu"
    )
    with pytest.raises(InputError, match=r"another recipe: its model is \{\"width\": 32\}"):
        other.fit(resume=True)


def test_steps_with_infinite_gradients_are_skipped_and_too_many_end_the_run(tmp_path: Path):
    class Broken(CircleFlow):
        def loss(self, batch):
            return {"loss": super().loss(batch)["loss"] * float("inf")}

    task = Broken()
    before = {name: tensor.clone() for name, tensor in task.network.state_dict().items()}
    with pytest.raises(InputError, match="not finite in 100 steps"):
        Trainer(task, Circle(), tmp_path, long(200), device="cpu").fit()
    assert_same(dict(task.network.state_dict()), before)


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingExtraError, match=r"Training needs an optional part: pip install 'scenewright\[train\]'"):
        Trainer(CircleFlow(), Circle(), tmp_path, CONFIG, device="cpu").fit()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_missing_device_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="There is no CUDA device here"):
        Trainer(CircleFlow(), Circle(), tmp_path, CONFIG, device="cuda").fit()


def test_half_precision_keeps_fp32_weights_and_still_learns(tmp_path: Path):
    config = replace(long(60), train=replace(CONFIG.train, max_steps=60, precision="bf16"))
    task = CircleFlow()
    Trainer(task, Circle(), tmp_path, config, device="cpu").fit()
    assert {parameter.dtype for parameter in task.network.parameters()} == {torch.float32}
    losses = [row["loss"] for row in read_metrics(tmp_path / "metrics.jsonl")]
    assert losses[-1] < losses[0]
