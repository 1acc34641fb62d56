"""What the trainer asks of a task: a network and a loss."""

from contextlib import nullcontext
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

__all__ = ["Batch", "Task", "TaskModule", "scalar_losses"]

Batch = Any
"""A tensor, or dicts, lists and tuples of tensors, nested."""


@runtime_checkable
class Task(Protocol):
    """One network and how to measure it on a batch.

    Optional members: `frozen` (a tuple of modules that the loss uses and nobody trains), `keymap` (published names of
    the network's parameters; by part where the network is a ModuleDict), `sheet(batch)` (a picture, uint8 `[H, W, 3]`),
    `state_dict()` and `load_state_dict(state)` (what else resuming needs, JSON-able).
    """

    @property
    def network(self) -> nn.Module:
        """What is trained, averaged and saved."""
        ...

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Scalars by name; "loss" is differentiated. Randomness comes from torch's global generator only."""
        ...


class TaskModule(nn.Module):
    """A task as a module, so that DDP and FSDP see one forward; frozen modules stay outside."""

    def __init__(self, task: Task, autocast_dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.network = task.network
        self._task = task
        self._autocast_dtype = autocast_dtype

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        device = next(self.network.parameters()).device.type
        context = nullcontext() if self._autocast_dtype is None else torch.autocast(device, self._autocast_dtype)
        with context:
            return self._task.loss(batch)


def scalar_losses(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """The losses, checked.

    Raises:
        TypeError: "loss" is missing or is not a scalar.
    """
    if "loss" not in losses or losses["loss"].ndim:
        raise TypeError(f"A task's loss() must return a scalar under 'loss', got {sorted(losses)}.")
    return losses
