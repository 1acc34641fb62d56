"""AdamW and its learning rate over a run."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from scenewright.training.config import OptimizerConfig

__all__ = ["learning_rate", "make_optimizer", "set_learning_rate"]


def make_optimizer(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW over all parameters in one group, as published; weight decay falls on every parameter alike."""
    trained = list(parameters)
    kinds = {parameter.device.type for parameter in trained}
    return torch.optim.AdamW(
        trained,
        lr=config.lr,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=kinds <= {"cuda", "cpu"},
    )


def learning_rate(config: OptimizerConfig, step: int, progress: float) -> float:
    """The rate of step `step` (from 0) when the share `progress` of the run is behind."""
    rate = config.lr
    if config.schedule == "cosine":
        share = 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
        rate *= config.final_lr_ratio + (1 - config.final_lr_ratio) * share
    return rate * min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else rate


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Every group of the optimiser gets the rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
