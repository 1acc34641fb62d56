"""Cost of the trainer over forward, backward and optimiser alone, and how long steps wait for data.

    uv run python -m benchmarks trainer [--device cuda] [--steps 40] [--workers 2]

Trainer steps and bare steps alternate on the same clock, on networks of the same recipe; medians are compared. A
trainer step adds: taking a batch, seeding, adaptive clipping, the moving average, metrics. The data are tensor shards
read from the disk by worker processes; the bare step has its batch in memory.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.measure import Report
from scenewright.data.tensor_shards import TensorShardSet, write_tensor_shard
from scenewright.progress import Advance
from scenewright.recipes.running import build_task, find_recipe
from scenewright.training.config import LogConfig
from scenewright.training.metric_log import read_metrics
from scenewright.training.parallel import to_device
from scenewright.training.task import TaskModule
from scenewright.training.trainer import Trainer

SAMPLES = 256


def structure(generator: torch.Generator) -> dict[str, Tensor]:
    return {"occupancy": (torch.rand(1, 16, 16, 16, generator=generator) < 0.1).byte()}


def latent(generator: torch.Generator) -> dict[str, Tensor]:
    cond = torch.randn(98, 192, generator=generator).half()
    return {"latent": torch.randn(8, 8, 8, 8, generator=generator).half(), "cond": cond}


def shell(generator: torch.Generator) -> dict[str, Tensor]:
    side = 32
    grid = torch.stack(torch.meshgrid(*[torch.arange(side)] * 3, indexing="ij"), -1)
    radius = side * (0.2 + 0.2 * float(torch.rand(1, generator=generator)))
    coords = (((grid - side / 2 + 0.5).norm(dim=-1) - radius).abs() < 0.7).nonzero().int()
    return {
        "coords": coords,
        "dual_vertices": torch.rand(len(coords), 3, generator=generator),
        "intersected": torch.rand(len(coords), 3, generator=generator) < 0.5,
    }


CASES: dict[str, Callable[[torch.Generator], dict[str, Tensor]]] = {
    "mini_structure_vae": structure,
    "mini_structure_flow": latent,
    "mini_shape_vae": shell,
}


def measure(name: str, steps: int, workers: int, device: str) -> tuple[float, float, float]:
    """Median seconds of a trainer step and of a bare step, and the share of trainer time spent waiting for data."""
    recipe = find_recipe(name)
    log = LogConfig(every=10, checkpoint_minutes=1e9, tensorboard=True)
    train = replace(recipe.run.train, max_steps=steps + 5, workers=workers)
    config = replace(recipe.run, log=log, train=train)
    with tempfile.TemporaryDirectory() as folder:
        generator = torch.Generator().manual_seed(0)
        samples = [(f"{i:05d}", CASES[name](generator)) for i in range(SAMPLES)]
        write_tensor_shard(folder, 0, samples)
        source = TensorShardSet(folder)
        trainer = Trainer(build_task(recipe), source, Path(folder) / "run", config, device=device)
        bare = bare_step(name, source, train.precision == "bf16", train.batch_size, device)
        ours: list[float] = []
        theirs: list[float] = []
        last = time.perf_counter()

        class Alternate:
            """Takes a bare step after every step of the trainer."""

            def stage(self, name: str) -> Advance:
                return self.advance

            def advance(self, step: int, count: int) -> None:
                nonlocal last
                now = time.perf_counter()
                bare()
                if step > 5:
                    ours.append(now - last)
                    theirs.append(time.perf_counter() - now)
                last = time.perf_counter()

        trainer.fit(progress=Alternate())
        waits = [row["data_wait_s"] for row in read_metrics(trainer.out / "metrics.jsonl")]
    return statistics.median(ours), statistics.median(theirs), statistics.mean(waits) / statistics.mean(ours)


def bare_step(name: str, source: TensorShardSet, in_bf16: bool, batch_size: int, device: str) -> Callable[[], None]:
    """Forward, backward and optimiser step on a batch in memory."""
    torch_device = torch.device("cuda" if device in ("auto", "cuda") and torch.cuda.is_available() else "cpu")
    task = build_task(find_recipe(name))
    task.network.to(torch_device)
    module = TaskModule(task, torch.bfloat16 if in_bf16 else None)
    optimizer = torch.optim.AdamW(task.network.parameters(), lr=1e-4, fused=True)
    batch = to_device(source.collate([source.tensors(i) for i in range(batch_size)]), torch_device)

    def step() -> None:
        module(batch)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if torch_device.type == "cuda":
            torch.cuda.synchronize()

    return step


QUICK = {"steps": 6, "workers": 0, "recipes": ("mini_structure_vae",)}


def section(
    report: Report,
    *,
    steps: int = 40,
    workers: int = 2,
    device: str = "auto",
    recipes: tuple[str, ...] = tuple(CASES),
) -> None:
    """Prints a row for each recipe."""
    report.table("recipe", "trainer step", "bare step", "trainer / bare", "waiting for data")
    for name in recipes:
        ours, theirs, waiting = measure(name, steps, workers, device)
        times = f"{1e3 * ours:.1f} ms", f"{1e3 * theirs:.1f} ms", f"**{ours / theirs:.3f}**"
        report.row(name, *times, f"{100 * waiting:.1f} %")
        report.ratio(f"{name}: trainer / bare", ours / theirs)
