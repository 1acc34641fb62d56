"""The files that a run leaves for others: the averaged network with its low-rank updates folded in."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from scenewright.io.atomic import atomic_path
from scenewright.training.lora import LoraLinear
from scenewright.training.parallel import whole
from scenewright.weights.lora import merged

__all__ = ["export_network", "merged_state"]


@torch.no_grad()
def merged_state(network: nn.Module) -> dict[str, Tensor]:
    """The network's state on the host with every low-rank update folded into its weight."""
    state = {name: whole(tensor) for name, tensor in network.state_dict().items()}
    alphas = {module.alpha for module in network.modules() if isinstance(module, LoraLinear)}
    return merged(state, {}, alphas.pop()) if alphas else state


def export_network(network: nn.Module, run: Path, state: Mapping[str, Tensor]) -> tuple[Path, ...]:
    """Writes `network.safetensors`, or one file per part where the network is a ModuleDict; returns the paths."""
    if not isinstance(network, nn.ModuleDict):
        return (_export(run / "network.safetensors", state),)
    paths = []
    for part in network:
        own = {name.removeprefix(f"{part}."): t for name, t in state.items() if name.startswith(f"{part}.")}
        paths.append(_export(run / f"{part}.safetensors", own))
    return tuple(paths)


def _export(path: Path, state: Mapping[str, Tensor]) -> Path:
    with atomic_path(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, temporary)
    return path
