"""Low-rank fine-tuning of linear layers: y = W x + b + (alpha / rank) U D x, with only D and U trained.

The layer stays an `nn.Linear` under its own names, so code that reads its weight and weight files keep working; D
starts as a random projection and U as zero, so training starts from the loaded network. `weights.lora` merges what was
trained. Source: LoRA (Hu et al. 2021).

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

__all__ = ["LoraLinear", "add_lora", "is_lora_name"]


class LoraLinear(nn.Linear):
    """A linear layer with a trained low-rank update beside its frozen weight."""

    def __init__(self, layer: nn.Linear, rank: int, alpha: float) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias = layer.weight, layer.bias
        device = layer.weight.device
        self.alpha, self.scaling = alpha, alpha / rank
        self.lora_down = nn.Parameter(torch.empty(rank, self.in_features, device=device))
        self.lora_up = nn.Parameter(torch.zeros(self.out_features, rank, device=device))
        nn.init.kaiming_uniform_(self.lora_down, a=math.sqrt(5))

    def forward(self, input: Float[Tensor, "*batch In"]) -> Float[Tensor, "*batch Out"]:
        update = F.linear(F.linear(input, self.lora_down.to(input.dtype)), self.lora_up.to(input.dtype))
        return F.linear(input, self.weight, self.bias) + self.scaling * update


def add_lora(network: nn.Module, config: LoraConfig) -> int:
    """Freezes the network and adds updates to its linear layers in place; returns how many layers have one.

    What `config.trained` names stays trained as it is, without updates.

    Raises:
        InputError: no linear layer's name contains a target.
    """
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(_has_word(name, config.trained))
    found = [
        place
        for place in _linear_layers(network)
        if (not config.targets or _has_word(place[2], config.targets)) and not _has_word(place[2], config.trained)
    ]
    if not found:
        raise InputError(f"No linear layer's name contains any of {list(config.targets)}; check [lora] targets.")
    for owner, attribute, _ in found:
        setattr(owner, attribute, LoraLinear(getattr(owner, attribute), config.rank, config.alpha))
    return len(found)


def _has_word(name: str, words: tuple[str, ...]) -> bool:
    return any(word in name for word in words)


def is_lora_name(name: str) -> bool:
    """Whether a parameter belongs to an update."""
    return name.endswith((".lora_down", ".lora_up")) or name in ("lora_down", "lora_up")


def _linear_layers(network: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Owner, attribute and full name of every linear layer."""
    for prefix, owner in network.named_modules():
        for attribute, child in owner.named_children():
            if isinstance(child, nn.Linear):
                yield owner, attribute, f"{prefix}.{attribute}".lstrip(".")
