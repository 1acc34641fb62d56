"""Weights under their published names in a file, the inverse of loading."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from scenewright.io.atomic import atomic_path
from scenewright.weights.keymap import IDENTITY, KeyMap


def save_weights(
    module: nn.Module,
    path: str | Path,
    *,
    keymap: KeyMap = IDENTITY,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write the module's parameters and persistent buffers to `path` under their published names; returns the path."""
    path = Path(path)
    published = keymap.reversed().rename_all(module.state_dict())
    state = module.state_dict()
    tensors = {name: state[ours].detach().contiguous() for name, ours in published.items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=dict(metadata or {}))
    return path
