"""Two processes on the CPU: they agree, see different samples, and together do what one process does."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from scenewright.training.config import RunConfig, TrainConfig
from scenewright.training.metric_log import read_metrics
from scenewright.training.trainer import Trainer
from tests.training.processes import run_group
from tests.training.test_trainer import CONFIG
from tests.training.toy import Circle, CircleFlow


class Noiseless(CircleFlow):
    """A loss that depends on the batch alone, so that how it is spread does not matter."""

    def __init__(self) -> None:
        super().__init__()
        self.network.dropout.p = 0.0

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        x = batch["latent"]
        t = torch.full((len(x),), 300.0)
        return {"loss": (self.network(0.5 * x, t, batch["cond"]) - x).square().mean()}


def settings(batch_size: int, steps: int, shard: bool = False) -> RunConfig:
    train = TrainConfig(batch_size=batch_size, batch_split=2, max_steps=steps, precision="fp32", workers=0, shard=shard)
    return replace(CONFIG, train=train)


def fit(out: Path, steps: int, shard: bool = False) -> None:
    Trainer(Noiseless(), Circle(), out, settings(8, steps, shard), device="cpu").fit(resume=True)


@pytest.mark.parametrize(
    ("shard", "per_machine"), [(False, 2), (True, 2), (False, 1)], ids=["ddp", "fsdp2", "ddp-two-machines"]
)
def test_two_processes_do_what_one_does_and_resume(shard: bool, per_machine: int, tmp_path: Path):
    Trainer(Noiseless(), Circle(), tmp_path / "one", settings(16, 12), device="cpu").fit()
    run_group(fit, tmp_path / "two", 5, shard, per_machine=per_machine)
    run_group(fit, tmp_path / "two", 12, shard, per_machine=per_machine)
    for name in ("network.safetensors", "checkpoints/step-00000012/ema.safetensors"):
        one, two = load_file(tmp_path / "one" / name), load_file(tmp_path / "two" / name)
        assert one.keys() == two.keys()
        for key in one:
            torch.testing.assert_close(one[key], two[key], atol=1e-5, rtol=1e-4)
    losses = [[row["loss"] for row in read_metrics(tmp_path / run / "metrics.jsonl")] for run in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
