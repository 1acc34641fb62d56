"""What ends runs in life: kill -9, a full disk, a killed worker, files cut in half, another recipe's checkpoint."""

import os
import random
import resource
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from scenewright.data.tensor_shards import TensorShardSet
from scenewright.errors import InputError
from scenewright.training.checkpoint import checkpoint_steps
from scenewright.training.config import LogConfig, RunConfig, TrainConfig
from scenewright.training.loading import BatchStream
from scenewright.training.trainer import Trainer
from tests.recipes.tiny import write_samples
from tests.training.processes import start
from tests.training.test_trainer import CONFIG, assert_same, weights
from tests.training.toy import Circle, CircleFlow

STEPS = 40
OFTEN = RunConfig(
    train=TrainConfig(batch_size=8, max_steps=STEPS, precision="fp32", workers=0),
    optimizer=CONFIG.optimizer,
    log=LogConfig(every=10, checkpoint_steps=2, checkpoint_minutes=60, tensorboard=False),
)


def fit(out: Path, resume: bool = False) -> None:
    torch.set_num_threads(1)
    Trainer(CircleFlow(), Circle(), out, OFTEN, device="cpu").fit(resume=resume)


def test_a_run_killed_at_any_moment_resumes_bit_for_bit(tmp_path: Path):
    broken, unbroken = tmp_path / "broken", tmp_path / "unbroken"
    fit(unbroken)  # first, so that the forked processes have everything imported
    chance = random.Random(0)
    kills = 0
    while True:
        process = start(fit, broken, True)
        # The first deaths come after a few checkpoints, wherever in a step or in writing one that is.
        target = (checkpoint_steps(broken) or [0])[-1] + 3
        while kills < 4 and process.is_alive() and (checkpoint_steps(broken) or [0])[-1] < target:
            time.sleep(0.002)
        if kills < 4:
            time.sleep(chance.random() * 0.03)
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join(60)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    assert kills == 4
    assert_same(weights(broken, STEPS), weights(unbroken, STEPS))
    assert checkpoint_steps(broken) == [STEPS - 2, STEPS]
    assert not list((broken / "checkpoints").glob(".*"))


def test_sigterm_saves_and_ends(tmp_path: Path):
    process = start(fit, tmp_path)
    while not checkpoint_steps(tmp_path):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGTERM)
    process.join(60)
    assert process.exitcode == 0
    assert 0 < checkpoint_steps(tmp_path)[-1] < STEPS
    assert (tmp_path / "network.safetensors").is_file()


def fit_on_full_disk(out: Path, answer: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        Trainer(CircleFlow(width=200), Circle(), out, CONFIG, device="cpu").fit(resume=True)
    except InputError as error:
        answer.write_text(str(error))


def test_a_full_disk_ends_in_a_sentence_and_keeps_what_was_there(tmp_path: Path):
    run, answer = tmp_path / "run", tmp_path / "answer"
    small = replace(CONFIG, train=replace(CONFIG.train, max_steps=3))
    Trainer(CircleFlow(width=200), Circle(), run, small, device="cpu").fit()
    process = start(fit_on_full_disk, run, answer)
    process.join(60)
    message = answer.read_text()
    assert "Cannot write the checkpoint" in message
    assert "step 3 is kept. Free some space and run again with --resume" in message
    assert checkpoint_steps(run) == [3]
    assert not list((run / "checkpoints").glob(".*"))
    Trainer(CircleFlow(width=200), Circle(), run, CONFIG, device="cpu").fit(resume=True)


class Deadly(Circle):
    """Kills the worker that loads it, the first time."""

    def __init__(self, folder: Path, times: int = 1) -> None:
        super().__init__()
        self.folder, self.times = folder, times

    def sample(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        deaths = len(list(self.folder.iterdir()))
        if index == 9 and deaths < self.times:
            (self.folder / str(deaths)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().sample(index, generator)


def take(source: Any, count: int, workers: int) -> list[torch.Tensor]:
    stream = BatchStream(source, batch_size=8, workers=workers, seed=3)
    return [next(stream)["latent"] for _ in range(count)]


def test_a_killed_worker_is_replaced_without_a_trace(tmp_path: Path):
    expected = take(Circle(), 10, workers=0)
    for a, b in zip(take(Deadly(tmp_path), 10, workers=1), expected, strict=True):
        assert torch.equal(a, b)
    assert len(list(tmp_path.iterdir())) == 1


def test_workers_that_keep_dying_end_in_a_sentence(tmp_path: Path):
    with pytest.raises(InputError, match="Worker processes were killed 4 times"):
        take(Deadly(tmp_path, times=9), 10, workers=1)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_shard_cut_in_half_is_named(workers: int, tmp_path: Path):
    data = write_samples("structure_vae", tmp_path / "data")
    source = TensorShardSet(data)
    tar = data / "shard-00000.tar"
    half = tar.read_bytes()[: tar.stat().st_size // 2]
    tar.write_bytes(half)  # while the run has it open
    stream = BatchStream(source, batch_size=4, workers=workers)
    with pytest.raises(InputError, match=r"Sample '0000\d' in .* is damaged or cut off"):
        next(stream)
    with pytest.raises(InputError, match=r"shard-00000.tar' has .* bytes instead of .*: it was cut"):
        TensorShardSet(data)


def test_damaged_checkpoints_are_named(tmp_path: Path):
    Trainer(CircleFlow(), Circle(), tmp_path, CONFIG, device="cpu").fit()
    folder = tmp_path / "checkpoints/step-00000012"
    saved = tmp_path / "saved"
    shutil.copytree(folder, saved)
    for name, damage, reason in [
        ("trainer.pt", lambda content: content[: len(content) // 2], "bytes instead of"),
        ("trainer.pt", lambda content: bytes(len(content)), "is damaged"),
        ("ema.safetensors", lambda content: b"\xff" * len(content), "is damaged"),
        ("state.json", lambda content: content[:20], "is damaged"),
    ]:
        path = folder / name
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(InputError, match=f"step-00000012'.*{reason}.*delete this folder to resume"):
            Trainer(CircleFlow(), Circle(), tmp_path, CONFIG, device="cpu").fit(resume=True)
        shutil.rmtree(folder)
        shutil.copytree(saved, folder)
