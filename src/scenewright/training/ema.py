"""Exponential moving average of the trained weights, in fp32.

Source: TRELLIS, released trainer: decay 0.9999 from step 0, after every step, skipped ones included.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from scenewright.training.config import EmaConfig

__all__ = ["WeightAverage"]


class WeightAverage:
    """Averages of the named parameters; sharded parameters have sharded averages."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], config: EmaConfig | None = None) -> None:
        self.config = config or EmaConfig()
        self.updates = 0
        self._parameters = dict(parameters)
        self.averages: dict[str, Tensor] = {
            name: parameter.detach().clone().float() for name, parameter in parameters.items()
        }

    def reset(self) -> None:
        """Start again from the present weights (after weights were loaded)."""
        self.updates = 0
        with torch.no_grad():
            for name, average in self.averages.items():
                average.copy_(self._parameters[name])

    @property
    def decay(self) -> float:
        """The decay of the next update."""
        limit = (1 + self.updates) / (10 + self.updates) if self.config.warmup else 1.0
        return min(self.config.decay, limit)

    @torch.no_grad()
    def update(self) -> None:
        """average <- decay * average + (1 - decay) * weight."""
        averages = list(self.averages.values())
        weights = [parameter.detach().float() for parameter in self._parameters.values()]
        torch._foreach_lerp_(averages, weights, 1 - self.decay)
        self.updates += 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The parameters hold the averages while the block runs."""
        with torch.no_grad():
            weights = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
            for name, parameter in self._parameters.items():
                parameter.copy_(self.averages[name])
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in self._parameters.items():
                    parameter.copy_(weights[name])
