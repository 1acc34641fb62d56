"""The training loop of every network.

A step is: the next batch (a function of seed and step), losses, gradients, adaptive clipping, AdamW, moving average.
Before each micro-batch torch's generators are seeded from (seed, step, micro-batch, process), so a run that is killed
and resumed makes the same weights, bit for bit, as one that is not (on CUDA: as far as its kernels are deterministic).
Source of the order and of all defaults: TRELLIS and TRELLIS.2, released trainers (trellis2 sheet section 14.1).
"""

import json
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError
from scenewright.io.atomic import atomic_path, write_bytes
from scenewright.training.checkpoint import (
    TrainerCheckpoint,
    check_identity,
    checkpoint_steps,
    read_checkpoint,
    remove_leftovers,
    write_checkpoint,
)
from scenewright.training.config import RunConfig
from scenewright.training.exporting import export_network, merged_state
from scenewright.training.loading import BatchStream, TrainingSet, derived_seed
from scenewright.training.metric_log import MetricLog, MetricWindow
from scenewright.training.optim import learning_rate, set_learning_rate
from scenewright.training.parallel import Processes, to_device
from scenewright.training.state import TrainingState
from scenewright.training.task import Task, scalar_losses

__all__ = ["TrainResult", "Trainer"]

logger = logging.getLogger(__name__)
_MAX_SKIPPED_IN_A_ROW = 100
Progress = Callable[[int, int, Mapping[str, float]], None]


@dataclass(frozen=True)
class TrainResult:
    """Where a call of `fit` ended and the files it wrote; `loss` is the mean since the last logged line."""

    step: int
    reason: Literal["max_steps", "budget", "stopped"]
    loss: float
    weights: tuple[Path, ...]


class Trainer:
    """Trains a task's network into a run folder.

    Args:
        task: network and loss; see `scenewright.training.task`.
        train_set: samples; see `scenewright.training.loading`.
        out: the run's folder.
        validation: samples of another split, measured and drawn with the averaged weights.
        identity: what a checkpoint must agree on to be resumed, JSON-able (the recipe's task, model and lora tables).
    """

    def __init__(
        self,
        task: Task,
        train_set: TrainingSet,
        out: str | Path,
        config: RunConfig | None = None,
        *,
        validation: TrainingSet | None = None,
        identity: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.task, self.config, self.seed = task, config or RunConfig(), seed
        self.out = Path(out)
        self._train_set, self._validation = train_set, validation
        self._identity = dict(identity or {"task": type(task).__name__})
        self._device = device
        self._skipped_in_a_row = 0
        self._saved_step = -1
        self._stop = False

    def fit(
        self, *, budget_minutes: float | None = None, resume: bool = False, progress: Progress | None = None
    ) -> TrainResult:
        """Trains until `max_steps`, until the budget of this call is spent, or until SIGTERM or SIGINT.

        Every end is orderly: a checkpoint is saved and the averaged network exported.

        Args:
            resume: go on from the newest checkpoint in `out`, or start where there is none.
            progress: called after every step with (step, max_steps, metrics of the step).

        Raises:
            InputError: `out` holds a run and `resume` is False, its checkpoint is another recipe's or damaged, the disk
                is full, a training file is damaged, or the loss stays infinite.
        """
        start = time.monotonic()
        saved = self._open_run(resume)
        train = self.config.train
        self._processes = Processes(
            self._device, shard=train.shard, find_unused_parameters=train.find_unused_parameters
        )
        self._state = state = TrainingState(self.task, self.config, self._processes, self.seed, saved)
        self._saved_step = -1 if saved is None else state.step
        self._start_time = start - state.elapsed_s
        self._deadline = math.inf if budget_minutes is None else start + 60 * budget_minutes
        self._budget_s = None if budget_minutes is None else state.elapsed_s + 60 * budget_minutes
        log = self._begin_log() if self._processes.is_main else None
        try:
            with self._signals():
                reason = self._run(log, progress)
            loss = state.window.means().get("loss", state.last.get("loss", math.nan))
            if self._saved_step != state.step:
                self._save()
            return TrainResult(state.step, reason, loss, self._export())
        finally:
            if log is not None:
                log.close()
            self._processes.end()

    def _begin_log(self) -> MetricLog:
        """Tidies the folder, notes the settings, opens the metrics."""
        remove_leftovers(self.out)
        note = {"identity": self._identity, "settings": asdict(self.config), "seed": self.seed}
        write_bytes(self.out / "recipe.json", json.dumps(note, indent=1).encode())
        return MetricLog(self.out, self.config.log.tensorboard, resumed_step=self._state.step)

    def _open_run(self, resume: bool) -> TrainerCheckpoint | None:
        """The checkpoint to go on from, if any."""
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"Cannot create the run's folder '{self.out}': {error.strerror}.") from error
        steps = checkpoint_steps(self.out)
        if not steps:
            return None
        if not resume:
            raise InputError(
                f"'{self.out}' holds a run that reached step {steps[-1]}; go on with --resume, or choose another --out."
            )
        saved = read_checkpoint(self.out, steps[-1])
        check_identity(self.out, steps[-1], saved.state["identity"], self._identity)
        if saved.state["seed"] != self.seed:
            logger.warning("Going on with the run's seed %d instead of %d.", saved.state["seed"], self.seed)
            self.seed = saved.state["seed"]
        return saved

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the run after the step they arrive in."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: Any) -> None:
            logger.warning("Asked to stop; saving.")
            self._stop = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    # The loop

    def _run(self, log: MetricLog | None, progress: Progress | None) -> Literal["max_steps", "budget", "stopped"]:
        train = self.config.train
        stream = BatchStream(
            self._train_set,
            batch_size=train.batch_size,
            batch_split=train.batch_split,
            seed=self.seed,
            first_step=self._state.step,
            workers=train.workers,
            rank=self._processes.rank,
            world=self._processes.count,
        )
        try:
            return self._loop(stream, log, progress)
        finally:
            stream.close()

    def _loop(
        self, stream: BatchStream, log: MetricLog | None, progress: Progress | None
    ) -> Literal["max_steps", "budget", "stopped"]:
        train, intervals = self.config.train, self.config.log
        saved_at = logged_at = time.monotonic()
        logged_step = self._state.step
        while self._state.step < train.max_steps:
            if self._processes.agree(self._stop):
                return "stopped"
            if self._processes.agree(time.monotonic() >= self._deadline):
                return "budget"
            self._state.last = self._train_step(stream)
            self._state.window.add(self._state.last)
            now = time.monotonic()
            self._state.elapsed_s = now - self._start_time
            if progress is not None and self._processes.is_main:
                progress(self._state.step, train.max_steps, self._state.last)
            if self._due(intervals.every):
                means = self._processes.mean(self._state.window.means())
                means["step_s"] = (now - logged_at) / (self._state.step - logged_step)
                self._write(log, means | {"elapsed_s": self._state.elapsed_s})
                self._state.window, logged_at, logged_step = MetricWindow(), now, self._state.step
            if self._due(intervals.validate_steps) and self._validation is not None:
                self._write(log, self._validate(self._validation))
            if self._due(intervals.sheet_steps):
                self._draw()
            minutes = (time.monotonic() - saved_at) / 60
            if self._due(intervals.checkpoint_steps) or self._processes.agree(minutes >= intervals.checkpoint_minutes):
                self._save()
                saved_at = time.monotonic()
        return "max_steps"

    def _due(self, interval: int) -> bool:
        return interval > 0 and self._state.step % interval == 0

    def _write(self, log: MetricLog | None, values: dict[str, float]) -> None:
        if log is not None:
            log.write(self._state.step, values)

    def _train_step(self, stream: Iterator[Any]) -> dict[str, float]:
        """One update of the weights; returns the step's metrics."""
        split = self.config.train.batch_split
        rate = learning_rate(self.config.optimizer, self._state.step, self._progress())
        set_learning_rate(self._state.optimizer, rate)
        waited, collected = 0.0, []
        for micro in range(split):
            before = time.perf_counter()
            batch = to_device(next(stream), self._processes.device)
            waited += time.perf_counter() - before
            torch.manual_seed(derived_seed(self.seed, 3, self._state.step, micro, self._processes.rank))
            with self._processes.without_sync(self._state.module, last=micro == split - 1):
                losses = scalar_losses(self._state.module(batch))
                (losses["loss"] / split).backward()
            collected.append(losses)
        norm = self._state.clipper.clip(self._state.trained.values())
        if math.isfinite(norm):
            self._state.optimizer.step()
            self._skipped_in_a_row = 0
        else:
            self._skip()
        self._state.optimizer.zero_grad(set_to_none=True)
        self._state.average.update()
        self._state.step += 1
        return _means(collected, self._processes.device) | {"grad_norm": norm, "lr": rate, "data_wait_s": waited}

    def _progress(self) -> float:
        """The share of the run that is behind, by what the learning rate follows."""
        if self.config.optimizer.decay_by == "time" and self._budget_s is not None:
            return (time.monotonic() - self._start_time) / self._budget_s
        return self._state.step / max(self.config.train.max_steps, 1)

    def _skip(self) -> None:
        """A step whose gradients are not finite changes no weight (the average moves on, as published)."""
        self._skipped_in_a_row += 1
        logger.warning("Step %d has gradients that are not finite; it is skipped.", self._state.step)
        if self._skipped_in_a_row >= _MAX_SKIPPED_IN_A_ROW:
            raise InputError(
                f"The gradients were not finite in {_MAX_SKIPPED_IN_A_ROW} steps in a row (step {self._state.step}); "
                "resume from an earlier checkpoint with a lower [optimizer] lr or precision = 'fp32'."
            )

    # What is written on the way

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Evaluation mode with the averaged weights."""
        self._state.module.eval()
        try:
            with self._state.average.in_place(), torch.no_grad():
                yield
        finally:
            self._state.module.train()

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
                losses = self._state.module(to_device(next(stream), self._processes.device))
                window.add({f"validation/{name}": float(value) for name, value in losses.items()})
        return window.means()

    def _draw(self) -> None:
        """A picture of fixed samples, if the task makes one."""
        sheet = getattr(self.task, "sheet", None)
        if sheet is None:
            return
        stream = self._fixed_batches(self._validation or self._train_set, self.config.log.sheet_samples)
        with self._averaged():
            torch.manual_seed(derived_seed(self.seed, 6))
            picture: Tensor = sheet(to_device(next(stream), self._processes.device))
        if self._processes.is_main:
            (self.out / "sheets").mkdir(exist_ok=True)
            with atomic_path(self.out / "sheets" / f"step-{self._state.step:08d}.png") as path:
                Image.fromarray(picture.cpu().numpy()).save(path)

    def _save(self) -> None:
        """Writes a checkpoint; every process learns whether that worked."""
        state = self._state
        self._saved_step = state.step
        checkpoint = state.snapshot(self._identity, self.seed)
        problem: InputError | None = None
        if self._processes.is_main:
            try:
                write_checkpoint(self.out, state.step, checkpoint, keep=self.config.log.keep)
            except InputError as error:
                problem = error
        if self._processes.agree(problem is not None):
            raise problem or InputError("The main process could not write the checkpoint; see its message.")

    def _export(self) -> tuple[Path, ...]:
        with self._state.average.in_place():
            state = merged_state(self.task.network)
        return export_network(self.task, self.out, state) if self._processes.is_main else ()


def _means(collected: list[dict[str, Tensor]], device: torch.device) -> dict[str, float]:
    """Each metric's mean over the micro-batches that have it; one transfer for all."""
    flat = [(name, value.detach()) for losses in collected for name, value in losses.items()]
    values = torch.stack([value.to(device, torch.float32) for _, value in flat]).tolist()
    window = MetricWindow()
    for (name, _), value in zip(flat, values, strict=True):
        window.add({name: value})
    return window.means()
