"""Settings of a training run; defaults are TRELLIS's published ones (microsoft/TRELLIS trellis/trainers/basic.py).

RunConfig
+-- train      batches, steps, precision, what to start from
+-- optimizer  AdamW and its learning rate over time
+-- ema        moving average of the weights
+-- clip       adaptive gradient clipping
+-- lora       low-rank fine-tuning (rank 0: full training)
+-- log        how often to log, save, draw and validate
"""

import math
from dataclasses import dataclass, field

from scenewright.errors import InputError

__all__ = ["ClipConfig", "EmaConfig", "LogConfig", "LoraConfig", "OptimizerConfig", "RunConfig", "TrainConfig"]


@dataclass(frozen=True)
class TrainConfig:
    """`batch_size` samples per process and step, taken as `batch_split` micro-batches whose gradients are averaged.

    `trainable` keeps only parameters whose name contains one of these words (empty: all). `init_from` names weights to
    start from: a file, or "part=file" for a part of the network. `shard` spreads weights, gradients and optimiser state
    over the processes (FSDP2) instead of copying them (DDP).
    """

    batch_size: int = 8
    batch_split: int = 1
    max_steps: int = 1_000_000
    precision: str = "bf16"
    workers: int = 2
    trainable: tuple[str, ...] = ()
    init_from: tuple[str, ...] = ()
    find_unused_parameters: bool = False
    shard: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        _at_least(1, batch_size=self.batch_size, batch_split=self.batch_split)
        _at_least(0, max_steps=self.max_steps, workers=self.workers)
        if self.batch_size % self.batch_split:
            raise InputError(
                f"Expected batch_size to be a multiple of batch_split, got {self.batch_size} and {self.batch_split}."
            )
        if self.precision not in ("fp32", "bf16"):
            raise InputError(f"Expected precision fp32 or bf16, got '{self.precision}'.")


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW. The published runs keep `lr` constant; "cosine" falls to `final_lr_ratio` of it.

    `decay_by` says what the fall follows: steps up to `max_steps` (resuming is then exact), or the time budget.
    """

    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    schedule: str = "constant"
    warmup_steps: int = 0
    final_lr_ratio: float = 0.0
    decay_by: str = "steps"

    def __post_init__(self) -> None:
        if not 0 < self.lr < math.inf:
            raise InputError(f"Expected a learning rate above 0, got {self.lr}.")
        _at_least(0, eps=self.eps, weight_decay=self.weight_decay, final_lr_ratio=self.final_lr_ratio)
        _at_least(0, warmup_steps=self.warmup_steps)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(f"Expected betas from 0 to below 1, got {list(self.betas)}.")
        if self.schedule not in ("constant", "cosine"):
            raise InputError(f"Expected schedule constant or cosine, got '{self.schedule}'.")
        if self.decay_by not in ("steps", "time"):
            raise InputError(f"Expected decay_by steps or time, got '{self.decay_by}'.")


@dataclass(frozen=True)
class EmaConfig:
    """Weights averaged with this decay; with `warmup` the decay is at most (1 + n) / (10 + n) after n steps.

    Warm-up is not published; short runs need it, since 1 - 0.9999 forgets the start only after tens of thousands.
    """

    decay: float = 0.9999
    warmup: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise InputError(f"Expected an EMA decay from 0 to below 1, got {self.decay}.")


@dataclass(frozen=True)
class ClipConfig:
    """See `AdaptiveGradClipper`."""

    max_norm: float = 1.0
    percentile: float = 95.0
    buffer_size: int = 1000

    def __post_init__(self) -> None:
        _at_least(1, buffer_size=self.buffer_size)
        if not self.max_norm > 0:
            raise InputError(f"Expected max_norm above 0, got {self.max_norm}.")
        if not 0 <= self.percentile <= 100:
            raise InputError(f"Expected a percentile from 0 to 100, got {self.percentile}.")


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank updates of the linear layers whose name contains one of `targets` (empty: all); rank 0 is off.

    Parameters whose name contains one of `trained` are trained as they are beside the updates (empty: none), such as
    modules that the loaded network did not have; weight decay then falls on their matrices alone. `lr` is the rate of
    the updates, as a share of the others' (`optimizer.lr`).
    """

    rank: int = 0
    alpha: float = 16.0
    targets: tuple[str, ...] = ()
    trained: tuple[str, ...] = ()
    lr: float = 1.0

    def __post_init__(self) -> None:
        _at_least(0, rank=self.rank, alpha=self.alpha, lr=self.lr)


@dataclass(frozen=True)
class LogConfig:
    """Intervals in steps (0: never), except `checkpoint_minutes`; `keep` is how many checkpoints stay."""

    every: int = 50
    checkpoint_steps: int = 0
    checkpoint_minutes: float = 10.0
    keep: int = 2
    sheet_steps: int = 0
    sheet_samples: int = 8
    validate_steps: int = 0
    validate_batches: int = 8
    tensorboard: bool = True

    def __post_init__(self) -> None:
        _at_least(1, every=self.every, keep=self.keep, sheet_samples=self.sheet_samples)
        _at_least(1, validate_batches=self.validate_batches)
        _at_least(0, checkpoint_steps=self.checkpoint_steps, sheet_steps=self.sheet_steps)
        _at_least(0, validate_steps=self.validate_steps)
        if not self.checkpoint_minutes >= 0:
            raise InputError(f"Expected checkpoint_minutes of at least 0, got {self.checkpoint_minutes}.")


@dataclass(frozen=True)
class RunConfig:
    """All settings of a run."""

    train: TrainConfig = field(default_factory=TrainConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    ema: EmaConfig = field(default_factory=EmaConfig)
    clip: ClipConfig = field(default_factory=ClipConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    log: LogConfig = field(default_factory=LogConfig)


def _at_least(low: int, **values: float) -> None:
    for name, value in values.items():
        if not low <= value < math.inf:
            raise InputError(f"Expected {name} of at least {low}, got {value}.")
