"""Whether a task learns a batch."""

from typing import Any

import torch

from scenewright.training.task import Task

__all__ = ["losses_on"]


def losses_on(task: Task[Any], batch: Any, *, steps: int, lr: float) -> list[float]:
    """The losses of some steps on one batch, each with the same draws."""
    optimizer = torch.optim.AdamW(task.network.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        torch.manual_seed(0)
        loss = task.loss(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses
