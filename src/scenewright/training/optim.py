"""AdamW and its learning rate over a run."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from scenewright.training.config import LoraConfig, OptimizerConfig
from scenewright.training.lora import is_lora_name

__all__ = ["grouped", "learning_rate", "make_optimizer", "set_learning_rate"]


def grouped(
    parameters: Mapping[str, nn.Parameter], config: OptimizerConfig, lora: LoraConfig
) -> list[tuple[dict[str, nn.Parameter], dict[str, float]]]:
    """Parameters by name with the settings of their group, none of them empty.

    One group, as published, in which weight decay falls on every parameter alike; with modules trained beside low-rank
    updates (`lora.trained`) the updates, the modules' matrices and the rest of them apart (GenRecon).
    """
    if not (lora.rank and lora.trained):
        return [(dict(parameters), {"weight_decay": config.weight_decay, "rate": lora.lr if lora.rank else 1.0})]
    updates = {name: p for name, p in parameters.items() if is_lora_name(name)}
    others = {name: p for name, p in parameters.items() if name not in updates}
    matrices = {name: p for name, p in others.items() if p.ndim > 1}
    flat = {name: p for name, p in others.items() if p.ndim <= 1}
    groups = [
        (updates, {"weight_decay": 0.0, "rate": lora.lr}),
        (matrices, {"weight_decay": config.weight_decay, "rate": 1.0}),
        (flat, {"weight_decay": 0.0, "rate": 1.0}),
    ]
    return [group for group in groups if group[0]]


def make_optimizer(
    groups: list[tuple[dict[str, nn.Parameter], dict[str, float]]], config: OptimizerConfig
) -> torch.optim.AdamW:
    """AdamW over the groups of `grouped`."""
    kinds = {parameter.device.type for own, _ in groups for parameter in own.values()}
    content: list[dict[str, Any]] = [{"params": list(own.values()), **settings} for own, settings in groups]
    return torch.optim.AdamW(
        content,
        lr=config.lr,
        betas=config.betas,
        eps=config.eps,
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
    """Every group of the optimiser gets its share of the rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["rate"] * rate
