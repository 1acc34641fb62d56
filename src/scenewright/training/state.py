"""Everything a step changes, new or from a checkpoint: weights, average, moments, clipping, counters."""

import json
import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from scenewright.errors import InputError
from scenewright.training.checkpoint import TrainerCheckpoint
from scenewright.training.clip import AdaptiveGradClipper
from scenewright.training.config import RunConfig
from scenewright.training.ema import WeightAverage
from scenewright.training.loading import derived_seed
from scenewright.training.lora import add_lora, is_lora_name
from scenewright.training.metric_log import MetricWindow
from scenewright.training.optim import grouped, make_optimizer
from scenewright.training.parallel import Processes, like_parameter, whole
from scenewright.training.starting_point import start_from
from scenewright.training.task import Task, TaskModule

__all__ = ["TrainingState"]

logger = logging.getLogger(__name__)


class TrainingState:
    """A task's network on its device, prepared for training by all processes.

    Attributes:
        module: the task as one module, replicated or sharded.
        trained: parameters that have gradients, by name.
        is_resumed: whether it comes from a checkpoint.
        window: metrics since the last logged line; `last` are those of the last step.
    """

    def __init__(
        self,
        task: Task[Any],
        config: RunConfig,
        processes: Processes,
        seed: int,
        saved: TrainerCheckpoint | None = None,
    ) -> None:
        """
        Raises:
            InputError: nothing is left to train, or `saved` has other weights than the network.
        """
        self.task, self._config, self._processes = task, config, processes
        self.step, self.elapsed_s, self.is_resumed = 0, 0.0, saved is not None
        self.window, self.last = MetricWindow(), dict[str, float]()
        network = task.network
        if config.train.init_from and (saved is None or config.lora.rank):
            start_from(network, config.train.init_from)
        if config.lora.rank:
            torch.manual_seed(derived_seed(seed, 0))
            logger.info("Low-rank updates on %d layers.", add_lora(network, config.lora))
        elif config.train.trainable:
            for name, parameter in network.named_parameters():
                parameter.requires_grad_(any(word in name for word in config.train.trainable))
        if saved is not None:
            self._load_weights(saved.weights)
        self._move(network)
        named = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
        if not named:
            raise InputError(f"No parameter's name contains any of {list(config.train.trainable)}; nothing to train.")
        dtype = torch.bfloat16 if config.train.precision == "bf16" else None
        groups = grouped(named, config.optimizer, config.lora)
        optimizer = make_optimizer(groups, config.optimizer)
        self.module, self.optimizer = processes.prepare(TaskModule(task, dtype), optimizer)
        # In the order of the optimiser's groups, by which moments are stored.
        current = dict(network.named_parameters())
        self.trained = {name: current[name] for own, _ in groups for name in own}
        self.average = WeightAverage(self.trained, config.ema)
        self.clipper = AdaptiveGradClipper(config.clip.max_norm, config.clip.percentile, config.clip.buffer_size)
        if saved is not None:
            self._load_progress(saved)

    def _move(self, network: nn.Module) -> None:
        device = self._processes.device
        network.to(device).train()
        for module in self.task.frozen:
            module.to(device).eval().requires_grad_(False)
        if self._config.train.compile:
            for module in network.values() if isinstance(network, nn.ModuleDict) else (network,):
                module.compile()

    def _is_saved(self, name: str) -> bool:
        """Low-rank training saves what it trains only; the network they belong to is loaded again."""
        lora = self._config.lora
        return is_lora_name(name) or not lora.rank or any(word in name for word in lora.trained)

    def _load_weights(self, weights: Mapping[str, Tensor]) -> None:
        state = {name: tensor for name, tensor in self.task.network.state_dict().items() if self._is_saved(name)}
        if {name: tensor.shape for name, tensor in state.items()} != {n: t.shape for n, t in weights.items()}:
            raise InputError(
                "The checkpoint has other weights than this network; was the code or recipe changed? "
                "Choose another --out."
            )
        with torch.no_grad():
            for name, tensor in state.items():
                tensor.copy_(weights[name])

    def _load_progress(self, saved: TrainerCheckpoint) -> None:
        state = saved.state
        self.step, self.elapsed_s = int(state["step"]), float(state["elapsed_s"])
        self.window = MetricWindow(state["window"]["sums"], state["window"]["counts"])
        self.clipper.load_state_dict(state["clip"])
        self.average.updates = int(state["ema_updates"])
        for name, average in self.average.averages.items():
            average.copy_(like_parameter(saved.averages[name], average))
        moments: dict[int, dict[str, Tensor]] = {}
        for index, (name, parameter) in enumerate(self.trained.items()):
            if name in saved.optimizer:
                moments[index] = {
                    key: like_parameter(value, parameter) if value.shape == parameter.shape and value.ndim else value
                    for key, value in saved.optimizer[name].items()
                }
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.task.load_state_dict(state["task"] or {})

    def snapshot(self, identity: Mapping[str, Any], seed: int) -> TrainerCheckpoint:
        """The content of a checkpoint, whole and on the host; every process must call this."""
        weights = {n: whole(t) for n, t in self.task.network.state_dict().items() if self._is_saved(n)}
        averages = weights | {name: whole(average) for name, average in self.average.averages.items()}
        optimizer = {
            name: {key: whole(value) for key, value in self.optimizer.state[parameter].items()}
            for name, parameter in self.trained.items()
            if parameter in self.optimizer.state
        }
        state = {
            "identity": dict(identity),
            "seed": seed,
            "elapsed_s": self.elapsed_s,
            "clip": self.clipper.state_dict(),
            "ema_updates": self.average.updates,
            "window": {"sums": self._processes.mean(self.window.sums), "counts": self.window.counts},
            "task": self.task.state_dict(),
        }
        return TrainerCheckpoint(weights, averages, optimizer, json.loads(json.dumps(state)))
