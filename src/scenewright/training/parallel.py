"""One process or many: where the work runs, what the processes agree on, and whole tensors from their shards.

Accelerate decides from the launch (plain python, torchrun, `accelerate launch`) how many processes there are; the code
above this file does not ask. Sharded tensors are imported where they may be met: that takes two seconds, sympy among
them, and whoever only reads a run or opens a job meets none.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn

from scenewright.errors import InputError, MissingExtraError
from scenewright.machine import choose_device

__all__ = ["Processes", "like_parameter", "to_device", "unsharded", "whole"]


class Processes:
    """The processes of a run as seen by one of them."""

    def __init__(self, device: str = "auto", *, shard: bool = False, find_unused_parameters: bool = False) -> None:
        """
        Raises:
            MissingExtraError: accelerate is not installed.
            InputError: the device is not there.
        """
        try:
            from accelerate import Accelerator
            from accelerate.state import AcceleratorState
            from accelerate.utils import DistributedDataParallelKwargs, FullyShardedDataParallelPlugin
        except ImportError as error:
            raise MissingExtraError("Training", "train") from error
        kind = device.partition(":")[0]
        if kind == "cuda" and not torch.cuda.is_available():
            raise InputError("There is no CUDA device here; train with --device auto or cpu.")
        if device.startswith("cuda:"):
            torch.cuda.set_device(device)
        # Accelerate keeps one state per program; a second run in the same program starts from a fresh one.
        AcceleratorState._reset_state(reset_partial_state=True)
        # Only the root is sharded as one unit: parts of a network are also called by other methods than forward.
        plugin = FullyShardedDataParallelPlugin(fsdp_version=2, auto_wrap_policy="NO_WRAP") if shard else None
        self._accelerator = Accelerator(
            # Without this, processes on a machine without accelerators would not find each other.
            cpu=kind == "cpu" or (kind == "auto" and choose_device("auto").type == "cpu"),
            mixed_precision="no",  # autocast is TaskModule's, the same on every device and in every process
            fsdp_plugin=plugin,
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=find_unused_parameters)],
        )
        self.device: torch.device = self._accelerator.device
        self.rank: int = self._accelerator.process_index
        self.count: int = self._accelerator.num_processes

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def prepare(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Both on the device and, with several processes, replicated or sharded."""
        module, wrapped = self._accelerator.prepare(module, optimizer)
        return module, wrapped.optimizer

    def without_sync(self, module: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Gradients of all but the last micro-batch stay in their process."""
        return nullcontext() if last or self.count == 1 else self._accelerator.no_sync(module)

    def agree(self, flag: bool) -> bool:
        """The main process's answer, in every process."""
        if self.count == 1:
            return flag
        answer = torch.tensor([int(flag)], device=self.device)
        torch.distributed.broadcast(answer, 0)
        return bool(answer.item())

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Mean of every value over the processes that have it."""
        if self.count == 1:
            return dict(values)
        gathered: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(gathered, dict(values))
        names = dict.fromkeys(name for values in gathered for name in values)
        having = {name: [values[name] for values in gathered if name in values] for name in names}
        return {name: sum(numbers) / len(numbers) for name, numbers in having.items()}

    def end(self) -> None:
        """Leaves the group of processes."""
        self._accelerator.end_training()


def whole(tensor: Tensor) -> Tensor:
    """`unsharded` on the host."""
    return unsharded(tensor.detach()).cpu().contiguous()


def unsharded(tensor: Tensor) -> Tensor:
    """The tensor, put together if it is sharded (then every process must call this)."""
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like_parameter(value: Tensor, parameter: Tensor) -> Tensor:
    """A whole tensor, sharded and placed as `parameter` is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if isinstance(parameter, DTensor):
        return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
    return value.to(parameter.device)


def to_device(batch: Any, device: torch.device) -> Any:
    """The batch with every tensor on the device."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return type(batch)(to_device(value, device) for value in batch)
    return batch
