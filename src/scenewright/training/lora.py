"""Low-rank fine-tuning of linear layers: y = W x + b + (alpha / rank) U D x, with only D and U trained.

The layer stays an `nn.Linear` under its own names, so code that reads its weight and weight files keep working; D
starts as a random projection and U as zero, so training starts from the loaded network. Source: LoRA (Hu et al. 2021).

Legend: r rank.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.errors import InputError
from scenewright.training.config import LoraConfig

__all__ = ["LoraLinear", "add_lora", "is_lora_name", "merge_lora"]


class LoraLinear(nn.Linear):
    """A linear layer with a trained low-rank update beside its frozen weight."""

    def __init__(self, layer: nn.Linear, rank: int, alpha: float) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias = layer.weight, layer.bias
        device = layer.weight.device
        self.scaling = alpha / rank
        self.lora_down = nn.Parameter(torch.empty(rank, self.in_features, device=device))
        self.lora_up = nn.Parameter(torch.zeros(self.out_features, rank, device=device))
        nn.init.kaiming_uniform_(self.lora_down, a=math.sqrt(5))

    def forward(self, input: Float[Tensor, "*batch In"]) -> Float[Tensor, "*batch Out"]:
        update = F.linear(F.linear(input, self.lora_down.to(input.dtype)), self.lora_up.to(input.dtype))
        return F.linear(input, self.weight, self.bias) + self.scaling * update

    def merged(self) -> nn.Linear:
        """A plain layer that computes the same."""
        layer = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        weight = self.weight.detach() + (self.scaling * self.lora_up @ self.lora_down).to(self.weight.dtype).detach()
        layer.weight = nn.Parameter(weight, requires_grad=self.weight.requires_grad)
        layer.bias = self.bias
        return layer


def add_lora(network: nn.Module, config: LoraConfig) -> int:
    """Freezes the network and adds updates to its linear layers in place; returns how many layers have one.

    Raises:
        InputError: no linear layer's name contains a target.
    """
    network.requires_grad_(False)
    found = [
        place
        for place in _linear_layers(network)
        if not config.targets or any(word in place[2] for word in config.targets)
    ]
    if not found:
        raise InputError(f"No linear layer's name contains any of {list(config.targets)}; check [lora] targets.")
    for owner, attribute, _ in found:
        setattr(owner, attribute, LoraLinear(getattr(owner, attribute), config.rank, config.alpha))
    return len(found)


def merge_lora(network: nn.Module) -> nn.Module:
    """The network with every update folded into its weight, in place."""
    for owner, attribute, _ in list(_linear_layers(network)):
        layer = getattr(owner, attribute)
        if isinstance(layer, LoraLinear):
            setattr(owner, attribute, layer.merged())
    return network


def is_lora_name(name: str) -> bool:
    """Whether a parameter belongs to an update."""
    return name.endswith((".lora_down", ".lora_up")) or name in ("lora_down", "lora_up")


def _linear_layers(network: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Owner, attribute and full name of every linear layer."""
    for prefix, owner in network.named_modules():
        for attribute, child in owner.named_children():
            if isinstance(child, nn.Linear):
                yield owner, attribute, f"{prefix}.{attribute}".lstrip(".")
