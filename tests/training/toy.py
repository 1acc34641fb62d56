"""A real task small enough for tests: flow matching of points on a circle, told the angle's quadrant."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from scenewright.training.flow_matching import drop_condition, flow_loss, noised, sample_times
from scenewright.training.loading import TrainingSet
from scenewright.training.task import Task


class Circle(TrainingSet):
    """Points at random angles; the condition is a one-hot quadrant."""

    def __init__(self, length: int = 64) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def sample(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        angle = float(torch.rand(1, generator=generator)) * 2 * math.pi
        quadrant = torch.zeros(4)
        quadrant[int(angle / (math.pi / 2)) % 4] = 1
        return {"latent": torch.tensor([math.cos(angle), math.sin(angle)]), "cond": quadrant, "index": index}


class Velocity(nn.Module):
    """A small network with linear layers and dropout, so that forgetting the random state would show."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.enter = nn.Linear(2 + 1 + 4, width)
        self.middle = nn.Linear(width, width)
        self.leave = nn.Linear(width, 2)
        self.dropout = nn.Dropout(0.05)

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        h = torch.tanh(self.enter(torch.cat([x, t[:, None] / 1000, cond], 1)))
        return self.leave(torch.tanh(self.middle(self.dropout(h))))


class CircleFlow(Task[dict[str, Tensor]]):
    """Flow matching on `Circle`."""

    def __init__(self, width: int = 32, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.network = Velocity(width)
        self.calls = 0

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        self.calls += 1
        x_0 = batch["latent"]
        t = sample_times(len(x_0), device=x_0.device)
        x_t, noise = noised(x_0, t)
        cond = drop_condition(batch["cond"], 0.1)
        return {"loss": flow_loss(self.network(x_t, 1000 * t, cond), x_0, noise), "mean_time": t.mean()}

    def sheet(self, batch: dict[str, Tensor]) -> Tensor:
        return (batch["latent"].abs().clamp(max=1) * 255).byte()[None, :, :1].expand(8, -1, 3)

    def state_dict(self) -> dict[str, int]:
        return {"calls": self.calls}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self.calls = state["calls"]
