"""The trainer of every network: opens a run's folder, trains, and leaves the averaged network there.

Defaults are those of TRELLIS and TRELLIS.2's released trainers; see `scenewright.training.config`.
"""

import json
import logging
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scenewright.errors import InputError
from scenewright.io.atomic import make_folder, write_bytes
from scenewright.progress import SILENT, Progress
from scenewright.training.checkpoint import (
    TrainerCheckpoint,
    check_identity,
    checkpoint_steps,
    read_checkpoint,
    remove_leftovers,
)
from scenewright.training.config import RunConfig
from scenewright.training.loading import TrainingSet
from scenewright.training.metric_log import MetricLog
from scenewright.training.parallel import Processes
from scenewright.training.run import Reason, Run
from scenewright.training.state import TrainingState
from scenewright.training.task import Task

__all__ = ["TrainResult", "Trainer"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """The end of a call of `fit` and the files it wrote; `loss` is the mean since the last logged line."""

    step: int
    reason: Reason
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
        task: Task[Any],
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

    def fit(
        self, *, budget_minutes: float = math.inf, resume: bool = False, progress: Progress = SILENT
    ) -> TrainResult:
        """Trains until `max_steps`, until the budget of this call is spent, or until SIGTERM or SIGINT.

        Every end is orderly: a checkpoint is saved and the averaged network exported.

        Args:
            resume: go on from the newest checkpoint in `out`, or start where there is none.

        Raises:
            InputError: `out` holds a run and `resume` is False, its checkpoint is another recipe's or damaged, the disk
                is full, a training file is damaged, or the loss stays infinite.
        """
        started = time.monotonic()
        saved = self._open_run(resume)
        seed = self._seed_of(saved)
        train = self.config.train
        processes = Processes(self._device, shard=train.shard, find_unused_parameters=train.find_unused_parameters)
        state = TrainingState(self.task, self.config, processes, seed, saved)
        log = self._begin_log(state.step, seed) if processes.is_main else None
        run = Run(
            self.task,
            state,
            self.config,
            processes,
            self.out,
            log,
            train_set=self._train_set,
            validation=self._validation,
            identity=self._identity,
            seed=seed,
            started=started,
            budget_s=60 * budget_minutes,
            progress=progress,
        )
        try:
            with _stopped_by_signals(run):
                reason = run.train()
            return TrainResult(state.step, reason, run.loss, run.export())
        finally:
            if log is not None:
                log.close()
            processes.end()

    def _seed_of(self, saved: TrainerCheckpoint | None) -> int:
        """A run keeps the seed it began with."""
        if saved is None or saved.state["seed"] == self.seed:
            return self.seed
        logger.warning("Going on with the run's seed %d instead of %d.", saved.state["seed"], self.seed)
        return int(saved.state["seed"])

    def _begin_log(self, step: int, seed: int) -> MetricLog:
        """Tidies the folder, notes the settings, opens the metrics."""
        remove_leftovers(self.out)
        note = {"identity": self._identity, "settings": asdict(self.config), "seed": seed}
        write_bytes(self.out / "recipe.json", json.dumps(note, indent=1).encode())
        return MetricLog(self.out, self.config.log.tensorboard, resumed_step=step)

    def _open_run(self, resume: bool) -> TrainerCheckpoint | None:
        """The checkpoint to go on from, if any."""
        make_folder(self.out)
        steps = checkpoint_steps(self.out)
        if not steps:
            return None
        if not resume:
            raise InputError(
                f"'{self.out}' holds a run that reached step {steps[-1]}; go on with --resume, or choose another --out."
            )
        saved = read_checkpoint(self.out, steps[-1])
        check_identity(self.out, steps[-1], saved.state["identity"], self._identity)
        return saved


@contextmanager
def _stopped_by_signals(run: Run) -> Iterator[None]:
    """SIGTERM and SIGINT end the run after the step they arrive in."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        logger.warning("Asked to stop; saving.")
        run.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
