"""Tasks: one network each, and its loss on a batch."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

__all__ = ["Batch", "Task", "TaskModule", "scalar_losses"]

Batch = TypeVar("Batch", contravariant=True)
"""A batch of a task's training set: as a rule a TypedDict of tensors; tensors in nested dicts, lists and tuples."""


class Task(ABC, Generic[Batch]):
    """A network that can be trained.

    Attributes:
        network: what is trained, averaged and saved; the parts of a ModuleDict are saved one by one.
        frozen: modules that the loss uses and nobody trains.
    """

    network: nn.Module
    frozen: tuple[nn.Module, ...] = ()

    @abstractmethod
    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Scalars by name; "loss" is differentiated. Randomness comes from torch's global generator only."""

    def sheet(self, batch: Batch) -> Tensor | None:
        """A picture of what the network makes of some samples, uint8 `[H, W, 3]`; None: there is nothing to see."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """JSON-able state that resuming needs besides the network."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` returned."""


class TaskModule(nn.Module):
    """A task as a module, so that DDP and FSDP see one forward; frozen modules stay outside."""

    def __init__(self, task: Task[Any], autocast_dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.network = task.network
        self._task = task
        self._autocast_dtype = autocast_dtype

    def forward(self, batch: Any) -> dict[str, Tensor]:
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
