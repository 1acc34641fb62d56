"""One call of `Trainer.fit`: the loop, and what is written on the way.

A step is: the next batch (a function of seed and step), losses, gradients, adaptive clipping, AdamW, moving average.
Before each micro-batch torch's generators are seeded from (seed, step, micro-batch, process), so a run that is killed
and resumed makes the same weights, bit for bit, as one that is not (on CUDA: as far as its kernels are deterministic).
Source of the order: TRELLIS and TRELLIS.2, released trainers (microsoft/TRELLIS trellis/trainers/basic.py).
"""

import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError
from scenewright.io.atomic import atomic_path, make_folder
from scenewright.progress import Progress
from scenewright.training.checkpoint import write_checkpoint
from scenewright.training.config import RunConfig
from scenewright.training.exporting import export_network, merged_state
from scenewright.training.loading import BatchStream, TrainingSet, derived_seed
from scenewright.training.metric_log import MetricLog, MetricWindow
from scenewright.training.optim import learning_rate, set_learning_rate
from scenewright.training.parallel import Processes, to_device
from scenewright.training.state import TrainingState
from scenewright.training.task import Task, scalar_losses

__all__ = ["Reason", "Run"]

logger = logging.getLogger(__name__)
_MAX_SKIPPED_IN_A_ROW = 100
Reason = Literal["max_steps", "budget", "stopped"]


class Run:
    """A task being trained, from a state onwards, by all `processes`.

    Args:
        log: None in all processes but the main one.
        started: `time.monotonic()` when this call of `fit` began.
        budget_s: seconds from then, after which the run ends; infinite: none.
    """

    def __init__(
        self,
        task: Task[Any],
        state: TrainingState,
        config: RunConfig,
        processes: Processes,
        out: Path,
        log: MetricLog | None,
        *,
        train_set: TrainingSet,
        validation: TrainingSet | None,
        identity: Mapping[str, Any],
        seed: int,
        started: float,
        budget_s: float,
        progress: Progress,
    ) -> None:
        self.state, self.config, self.seed = state, config, seed
        self._task, self._processes, self._out, self._log = task, processes, out, log
        self._train_set, self._validation, self._identity = train_set, validation, identity
        self._progress = progress
        self._deadline = started + budget_s
        # As if all earlier calls of `fit` had been one with this.
        self._start_time = started - state.elapsed_s
        self._budget_s = state.elapsed_s + budget_s
        self._saved_step = state.step if state.is_resumed else -1
        self._skipped_in_a_row = 0
        self._should_stop = False

    def stop(self) -> None:
        """Asks the run to end after the present step."""
        self._should_stop = True

    @property
    def loss(self) -> float:
        """Mean loss since the last logged line."""
        return self.state.window.means().get("loss", self.state.last.get("loss", math.nan))

    def train(self) -> Reason:
        """Trains until `max_steps`, until the budget is spent, or until `stop`; the last step is saved.

        Raises:
            InputError: the disk is full, a training file is damaged, or the loss stays infinite.
        """
        train = self.config.train
        stream = BatchStream(
            self._train_set,
            batch_size=train.batch_size,
            batch_split=train.batch_split,
            seed=self.seed,
            first_step=self.state.step,
            workers=train.workers,
            rank=self._processes.rank,
            world=self._processes.count,
        )
        try:
            reason = self._loop(stream)
        finally:
            stream.close()
        if self._saved_step != self.state.step:
            self._save()
        return reason

    def _loop(self, stream: BatchStream) -> Reason:
        train, intervals = self.config.train, self.config.log
        saved_at = logged_at = time.monotonic()
        logged_step = self.state.step
        while self.state.step < train.max_steps:
            if self._processes.agree(self._should_stop):
                return "stopped"
            if self._processes.agree(time.monotonic() >= self._deadline):
                return "budget"
            self.state.last = self._train_step(stream)
            self.state.window.add(self.state.last)
            now = time.monotonic()
            self.state.elapsed_s = now - self._start_time
            self._show()
            if self._due(intervals.every):
                means = self._processes.mean(self.state.window.means())
                means["step_s"] = (now - logged_at) / (self.state.step - logged_step)
                self._write(means | {"elapsed_s": self.state.elapsed_s})
                self.state.window, logged_at, logged_step = MetricWindow(), now, self.state.step
            if self._due(intervals.validate_steps) and self._validation is not None:
                self._write(self._validate(self._validation))
            if self._due(intervals.sheet_steps):
                self._draw()
            minutes = (time.monotonic() - saved_at) / 60
            if self._due(intervals.checkpoint_steps) or self._processes.agree(minutes >= intervals.checkpoint_minutes):
                self._save()
                saved_at = time.monotonic()
        return "max_steps"

    def _due(self, interval: int) -> bool:
        return interval > 0 and self.state.step % interval == 0

    def _write(self, values: dict[str, float]) -> None:
        if self._log is not None:
            self._log.write(self.state.step, values)

    def _show(self) -> None:
        """Steps done, or the seconds of the budget where it ends the run sooner."""
        if not self._processes.is_main:
            return
        step, steps = self.state.step, self.config.train.max_steps
        advance = self._progress.stage(f"step {step:,} of {steps:,}  loss {self.state.last['loss']:.4f}")
        spent = time.monotonic() - self._start_time
        if spent / self._budget_s > step / steps:
            advance(round(spent), round(self._budget_s))
        else:
            advance(step, steps)

    def _train_step(self, stream: Iterator[Any]) -> dict[str, float]:
        """One update of the weights; returns the step's metrics."""
        split = self.config.train.batch_split
        rate = learning_rate(self.config.optimizer, self.state.step, self._share())
        set_learning_rate(self.state.optimizer, rate)
        waited, collected = 0.0, []
        for micro in range(split):
            before = time.perf_counter()
            batch = to_device(next(stream), self._processes.device)
            waited += time.perf_counter() - before
            torch.manual_seed(derived_seed(self.seed, 3, self.state.step, micro, self._processes.rank))
            with self._processes.without_sync(self.state.module, last=micro == split - 1):
                losses = scalar_losses(self.state.module(batch))
                (losses["loss"] / split).backward()
            collected.append(losses)
        norm = self.state.clipper.clip(self.state.trained.values())
        if math.isfinite(norm):
            self.state.optimizer.step()
            self._skipped_in_a_row = 0
        else:
            self._skip()
        self.state.optimizer.zero_grad(set_to_none=True)
        self.state.average.update()
        self.state.step += 1
        return _means(collected, self._processes.device) | {"grad_norm": norm, "lr": rate, "data_wait_s": waited}

    def _share(self) -> float:
        """The share of the run that is behind, by what the learning rate follows."""
        if self.config.optimizer.decay_by == "time" and math.isfinite(self._budget_s):
            return (time.monotonic() - self._start_time) / self._budget_s
        return self.state.step / max(self.config.train.max_steps, 1)

    def _skip(self) -> None:
        """A step whose gradients are not finite changes no weight (the average moves on, as published)."""
        self._skipped_in_a_row += 1
        logger.warning("Step %d has gradients that are not finite; it is skipped.", self.state.step)
        if self._skipped_in_a_row >= _MAX_SKIPPED_IN_A_ROW:
            raise InputError(
                f"The gradients were not finite in {_MAX_SKIPPED_IN_A_ROW} steps in a row (step {self.state.step}); "
                "resume from an earlier checkpoint with a lower [optimizer] lr or precision = 'fp32'."
            )

    # What is written on the way

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Evaluation mode with the averaged weights."""
        self.state.module.eval()
        try:
            with self.state.average.in_place(), torch.no_grad():
                yield
        finally:
            self.state.module.train()

    def _fixed_batches(self, source: TrainingSet, size: int) -> BatchStream:
        """The same batches in every process and at every call."""
        return BatchStream(source, batch_size=size, seed=derived_seed(self.seed, 4))

    def _validate(self, source: TrainingSet) -> dict[str, float]:
        window = MetricWindow()
        train = self.config.train
        stream = self._fixed_batches(source, train.batch_size // train.batch_split)
        with self._averaged():
            for number in range(self.config.log.validate_batches):
                torch.manual_seed(derived_seed(self.seed, 5, number))
                losses = self.state.module(to_device(next(stream), self._processes.device))
                window.add({f"validation/{name}": float(value) for name, value in losses.items()})
        return window.means()

    def _draw(self) -> None:
        """A picture of fixed samples, if the task makes one."""
        stream = self._fixed_batches(self._validation or self._train_set, self.config.log.sheet_samples)
        with self._averaged():
            torch.manual_seed(derived_seed(self.seed, 6))
            picture = self._task.sheet(to_device(next(stream), self._processes.device))
        if picture is not None and self._processes.is_main:
            make_folder(self._out / "sheets")
            with atomic_path(self._out / "sheets" / f"step-{self.state.step:08d}.png") as path:
                Image.fromarray(picture.cpu().numpy()).save(path)

    def _save(self) -> None:
        """Writes a checkpoint; every process learns whether that worked."""
        state = self.state
        self._saved_step = state.step
        checkpoint = state.snapshot(self._identity, self.seed)
        problem: InputError | None = None
        if self._processes.is_main:
            try:
                write_checkpoint(self._out, state.step, checkpoint, keep=self.config.log.keep)
            except InputError as error:
                problem = error
        if self._processes.agree(problem is not None):
            raise problem or InputError("The main process could not write the checkpoint; see its message.")

    def export(self) -> tuple[Path, ...]:
        """Writes the averaged network; returns its files (none in all processes but the main one)."""
        with self.state.average.in_place():
            weights = merged_state(self._task.network)
        return export_network(self._task.network, self._out, weights) if self._processes.is_main else ()


def _means(collected: list[dict[str, Tensor]], device: torch.device) -> dict[str, float]:
    """Each metric's mean over the micro-batches that have it; one transfer for all."""
    flat = [(name, value.detach()) for losses in collected for name, value in losses.items()]
    values = torch.stack([value.to(device, torch.float32) for _, value in flat]).tolist()
    window = MetricWindow()
    for (name, _), value in zip(flat, values, strict=True):
        window.add({name: value})
    return window.means()
