"""Weights a run starts from: matching names and shapes are copied, the rest keeps its initialisation, as published."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scenewright.errors import InputError
from scenewright.training.task import Task
from scenewright.weights.checkpoint import open_checkpoint
from scenewright.weights.keymap import IDENTITY, KeyMap

__all__ = ["copy_matching", "file_digest", "start_from"]

logger = logging.getLogger(__name__)


def start_from(task: Task, sources: tuple[str, ...]) -> None:
    """Loads `sources` into the task's network: "file", or "part=file" for the submodule `part`.

    Raises:
        InputError: a part does not exist, or a file has nothing that fits.
        WeightsError: a file is missing or damaged.
    """
    for source in sources:
        part, _, path = source.rpartition("=")
        try:
            module = task.network.get_submodule(part)
        except AttributeError as error:
            names = ", ".join(name for name, _ in task.network.named_children())
            raise InputError(f"init_from names the part '{part}', but the network has {names}.") from error
        copied, left = copy_matching(module, path, keymap=_keymap(task, part))
        level = logging.WARNING if left else logging.INFO
        names = f" ({', '.join(left[:3])}, ...)" if left else ""
        logger.log(level, "Started from '%s': %d tensors copied, %d new ones%s.", path, copied, len(left), names)


def _keymap(task: Task, part: str) -> KeyMap:
    keymap: Any = getattr(task, "keymap", IDENTITY)
    return keymap.get(part, IDENTITY) if isinstance(keymap, dict) else keymap


@torch.no_grad()
def copy_matching(module: nn.Module, path: str | Path, *, keymap: KeyMap = IDENTITY) -> tuple[int, list[str]]:
    """Number of tensors copied from the file, and the module's names that it does not have in that shape.

    Raises:
        InputError: nothing fits.
    """
    state = module.state_dict()
    with open_checkpoint(path) as checkpoint:
        published_of = {ours: name for ours, name in keymap.rename_all(checkpoint.shapes).items() if ours in state}
        fitting = {
            ours: name for ours, name in published_of.items() if checkpoint.shapes[name] == tuple(state[ours].shape)
        }
        if not fitting:
            raise InputError(
                f"Nothing in '{path}' fits {type(module).__name__}: {len(published_of)} of its names are known, "
                "none in the right shape; is it the right file for this recipe?"
            )
        for ours, name in fitting.items():
            checkpoint.read_into(name, state[ours])
    return len(fitting), [name for name in state if name not in fitting]


def file_digest(sources: tuple[str, ...]) -> str:
    """One SHA-256 over the files of `init_from`."""
    digest = hashlib.sha256()
    for source in sources:
        with open(source.rpartition("=")[2], "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
