"""Checkpoint folders that exist whole or not at all.

    RUN/checkpoints/step-00001000/
        weights.safetensors    what was trained: the network's state (full training) or its low-rank updates
        ema.safetensors        the same with averaged weights
        trainer.pt             optimiser state, tensors only (read with weights_only=True)
        state.json             step, seed, clip buffer, task state, recipe, and the size of every file

A folder is written under a hidden name, flushed to the disk and renamed; it is deleted the other way round. A process
killed at any moment therefore leaves complete checkpoints and, at worst, a hidden folder that the next run removes.
"""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from scenewright.errors import InputError
from scenewright.files import checked, read_json, reading
from scenewright.io.atomic import flush

__all__ = [
    "TrainerCheckpoint",
    "check_identity",
    "checkpoint_steps",
    "read_checkpoint",
    "remove_leftovers",
    "write_checkpoint",
]

logger = logging.getLogger(__name__)
_VERSION = 1
_PREFIX = "step-"


_FILES = ("weights.safetensors", "ema.safetensors", "trainer.pt")


@dataclass(frozen=True)
class _State:
    version: int
    sizes: dict[str, int]


@dataclass(frozen=True)
class TrainerCheckpoint:
    """Everything a run needs to go on. `optimizer` is by parameter name; `state` is JSON-able."""

    weights: dict[str, Tensor]
    averages: dict[str, Tensor]
    optimizer: dict[str, dict[str, Tensor]]
    state: dict[str, Any]


def _folder(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"{_PREFIX}{step:08d}"


def checkpoint_steps(run: str | Path) -> list[int]:
    """Steps of the complete checkpoints of a run, ascending."""
    names = [path.name for path in (Path(run) / "checkpoints").glob(f"{_PREFIX}*") if path.is_dir()]
    return sorted(int(name.removeprefix(_PREFIX)) for name in names if name.removeprefix(_PREFIX).isdigit())


def remove_leftovers(run: str | Path) -> None:
    """Deletes what a killed process left unfinished."""
    for path in (Path(run) / "checkpoints").glob(".*"):
        shutil.rmtree(path, ignore_errors=True)


def write_checkpoint(run: str | Path, step: int, checkpoint: TrainerCheckpoint, *, keep: int = 2) -> Path:
    """Writes the checkpoint of a step and then deletes all but the newest `keep`; returns its folder.

    Raises:
        InputError: the disk is full or the folder cannot be written; earlier checkpoints stay.
    """
    run = Path(run)
    target = _folder(run, step)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        save_file(checkpoint.weights, draft / "weights.safetensors")
        save_file(checkpoint.averages, draft / "ema.safetensors")
        torch.save(checkpoint.optimizer, draft / "trainer.pt")
        sizes = {path.name: path.stat().st_size for path in draft.iterdir()}
        content = checkpoint.state | {"version": _VERSION, "step": step, "sizes": sizes}
        (draft / "state.json").write_text(json.dumps(content), encoding="utf-8")
        for path in (*draft.iterdir(), draft):
            flush(path)
        _discard(target)
        draft.rename(target)
        flush(target.parent)
    except (OSError, SafetensorError, RuntimeError) as error:  # the writers report a full disk in all three ways
        shutil.rmtree(draft, ignore_errors=True)
        steps = checkpoint_steps(run)
        last = f"step {steps[-1]} is kept" if steps else "there is no earlier one"
        free = shutil.disk_usage(run).free / 1e6 if run.exists() else 0.0
        raise InputError(
            f"Cannot write the checkpoint '{target}' ({error}; {free:,.0f} MB free); {last}. "
            "Free some space and run again with --resume."
        ) from error
    for old in checkpoint_steps(run)[:-keep]:
        _discard(_folder(run, old))
    return target


def _discard(folder: Path) -> None:
    if folder.exists():
        hidden = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(hidden, ignore_errors=True)
        folder.rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)


def read_checkpoint(run: str | Path, step: int) -> TrainerCheckpoint:
    """The checkpoint of a step.

    Raises:
        InputError: a file is missing, cut off or damaged.
    """
    folder = _folder(Path(run), step)
    way_out = "delete this folder to resume from the one before"
    with reading(folder, "a whole checkpoint", way_out):
        state = read_json(folder / "state.json", dict)
        for name, size in checked(state, _State).sizes.items():
            if name not in _FILES:
                raise ValueError(f"'{name}' is no file of a checkpoint")
            if (actual := (folder / name).stat().st_size) != size:
                raise InputError(
                    f"Checkpoint '{folder}': {name} has {actual:,} bytes instead of {size:,}; "
                    "delete this folder to resume from the one before."
                )
        if state["version"] != _VERSION:
            raise InputError(f"Checkpoint '{folder}' has format {state['version']}, expected {_VERSION}.")
        optimizer = torch.load(folder / "trainer.pt", map_location="cpu", weights_only=True)
        weights, averages = load_file(folder / "weights.safetensors"), load_file(folder / "ema.safetensors")
    return TrainerCheckpoint(weights, averages, optimizer, state)


def check_identity(run: str | Path, step: int, saved: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Refuses to resume from a checkpoint of another recipe.

    Raises:
        InputError: the identities differ; the message names the first difference.
    """
    for key in sorted({*saved, *identity}):
        if saved.get(key) != identity.get(key):
            raise InputError(
                f"'{_folder(Path(run), step)}' belongs to another recipe: its {key} is {_short(saved.get(key))}, "
                f"this run's is {_short(identity.get(key))}. Choose another --out, or the recipe it was made with."
            )


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 120 else f"{text[:117]}..."
