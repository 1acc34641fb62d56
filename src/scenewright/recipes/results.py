"""Networks that a run trained, or that are published, as parts for further work."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from scenewright.backbones.trellis1.published import build_network as build_trellis1_network
from scenewright.backbones.trellis1.published import published_keymap
from scenewright.errors import InputError
from scenewright.files import read_json, reading
from scenewright.recipes.running import build_task
from scenewright.training.recipe import Recipe
from scenewright.weights.config import read_config
from scenewright.weights.load import load_weights

__all__ = ["encoder_of", "trained_network"]

Encoder = TypeVar("Encoder", bound=nn.Module)


@dataclass(frozen=True)
class _Identity:
    task: str
    model: dict[str, Any]


@dataclass(frozen=True)
class _RunFile:
    identity: _Identity


def trained_network(run: str | Path, part: str = "") -> nn.Module:
    """A run's averaged network, or a part of it ("encoder", "decoder"), in evaluation mode.

    Raises:
        InputError: the folder is no run, or has not saved its network yet.
        WeightsError: the weights are damaged.
    """
    run = Path(run)
    with reading(run / "recipe.json", "the recipe of a training run", "give the run's folder"):
        identity = read_json(run / "recipe.json", _RunFile).identity
        recipe = Recipe(identity.task, model=identity.model)
        with torch.device("meta"):
            network = build_task(recipe).network
    file = run / f"{part or 'network'}.safetensors"
    if not file.is_file():
        raise InputError(f"The run '{run}' has no {file.name}; let it end once (--budget-minutes 0 --resume).")
    if not part:
        return load_weights(lambda: network, file)
    return load_weights(lambda: network.get_submodule(part), file)


def encoder_of(source: str | Path, kind: type[Encoder]) -> Encoder:
    """An autoencoder's encoder: a run's folder, or a published file with its `.json` beside it.

    Raises:
        InputError: it is neither, or an encoder of another kind.
        WeightsError: the weights are damaged.
    """
    network = _encoder_of(Path(source))
    if not isinstance(network, kind):
        raise InputError(f"Expected '{source}' to hold a {kind.__name__}, but it holds a {type(network).__name__}.")
    return network


def _encoder_of(path: Path) -> nn.Module:
    if path.is_dir():
        return trained_network(path, "encoder")
    stem = path.with_suffix("") if path.suffix == ".safetensors" else path
    if not stem.with_suffix(".safetensors").is_file():
        raise InputError(f"Expected a run's folder or a .safetensors file with its .json, got '{path}'.")
    class_name, arguments = read_config(stem.with_suffix(".json"))
    if class_name == "SparseStructureEncoder":
        return load_weights(
            lambda: build_trellis1_network(class_name, arguments),
            stem.with_suffix(".safetensors"),
            keymap=published_keymap(class_name),
        )
    from scenewright.backbones.trellis2.published import build_network as build_trellis2_network

    return load_weights(lambda: build_trellis2_network(class_name, arguments), stem.with_suffix(".safetensors"))
