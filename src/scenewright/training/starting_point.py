"""Weights a run starts from: matching names and shapes are copied, the rest keeps its initialisation, as published."""

import hashlib
import logging
from pathlib import Path

import torch
from torch import nn

from scenewright.errors import InputError
from scenewright.weights.checkpoint import open_checkpoint

__all__ = ["copy_matching", "file_digest", "start_from"]

logger = logging.getLogger(__name__)


def start_from(network: nn.Module, sources: tuple[str, ...]) -> None:
    """Loads `sources` into the network: "file", or "part=file" for the submodule `part`.

    Raises:
        InputError: a part does not exist, or a file has nothing that fits.
        WeightsError: a file is missing or damaged.
    """
    for source in sources:
        part, _, path = source.rpartition("=")
        try:
            module = network.get_submodule(part)
        except AttributeError as error:
            names = ", ".join(name for name, _ in network.named_children())
            raise InputError(f"init_from names the part '{part}', but the network has {names}.") from error
        copied, left = copy_matching(module, path)
        level = logging.WARNING if left else logging.INFO
        names = f" ({', '.join(left[:3])}, ...)" if left else ""
        logger.log(level, "Started from '%s': %d tensors copied, %d new ones%s.", path, copied, len(left), names)


@torch.no_grad()
def copy_matching(module: nn.Module, path: str | Path) -> tuple[int, list[str]]:
    """Number of tensors copied from the file, and the module's names that it does not have in that shape.

    Raises:
        InputError: nothing fits.
    """
    state = module.state_dict()
    with open_checkpoint(path) as checkpoint:
        known = [name for name in checkpoint.shapes if name in state]
        fitting = {name for name in known if checkpoint.shapes[name] == tuple(state[name].shape)}
        if not fitting:
            raise InputError(
                f"Nothing in '{path}' fits {type(module).__name__}: {len(known)} of its names are known, "
                "none in the right shape; is it the right file for this recipe?"
            )
        for name in fitting:
            checkpoint.read_into(name, state[name])
    return len(fitting), [name for name in state if name not in fitting]


def file_digest(sources: tuple[str, ...]) -> str:
    """One SHA-256 over the files of `init_from`."""
    digest = hashlib.sha256()
    for source in sources:
        with open(source.rpartition("=")[2], "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
