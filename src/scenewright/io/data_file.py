"""Frozen dataclasses of tensors as one safetensors file, so that every stage of a run can be kept, edited and resumed.

    save_data(folder / "structures.safetensors", structures)
    structures = load_data(folder / "structures.safetensors", PlacedStructures)

Tensors are stored once each, whatever holds them; everything else is a tree of JSON in the file's metadata. A value may
be a dataclass of this package, a tuple, a mapping with string keys, a tensor, an array, a `SparseTensor`, a picture, or
plain JSON data. Files name the classes they hold: they are for the version that wrote them, not an exchange format.
"""

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from scenewright.errors import InputError
from scenewright.files import allow_also, json_value, reading
from scenewright.io.atomic import atomic_path
from scenewright.sparse.tensor import SparseTensor, VoxelSet

__all__ = ["data_fingerprint", "load_data", "save_data"]

Kind = TypeVar("Kind")
_PACKAGE = __name__.partition(".")[0]
_PLAIN = (str, int, float, bool, type(None))
_KEY = "data"


def save_data(path: str | Path, value: object) -> Path:
    """Writes `value` atomically; tensors are read to the CPU. Returns the path.

    Raises:
        InputError: the file cannot be written.
        TypeError: the value holds something that cannot be stored, such as a function.
    """
    writer = _Writer()
    tree = writer.tree(value, "")
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in writer.tensors.items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={_KEY: json.dumps(tree)})
    return Path(path)


def load_data(path: str | Path, kind: type[Kind]) -> Kind:
    """The value that `save_data` wrote, on the CPU; sequences come back as tuples.

    Raises:
        InputError: the file is missing, damaged, of another version, or holds something else than a `kind`.
    """
    with reading(Path(path), "data that this version reads", "make it again"):
        if not Path(path).is_file():
            raise FileNotFoundError(path)
        allow_also(Path(path).stat().st_size)
        with safe_open(path, framework="pt") as file:
            tree = json_value(file.metadata()[_KEY].encode(), object)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        value = _value(tree, tensors)
    if not isinstance(value, kind):
        raise InputError(f"Expected '{path}' to hold a {kind.__name__}, got a {type(value).__name__}.")
    return value


def data_fingerprint(value: object) -> str:
    """SHA-256 of what `save_data` would store, in hexadecimal: the same for equal values on any device.

    Raises:
        TypeError: the value holds something that cannot be stored.
    """
    writer = _Writer()
    digest = hashlib.sha256(json.dumps(writer.tree(value, ""), sort_keys=True).encode())
    for name, tensor in sorted(writer.tensors.items()):
        flat = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {flat.dtype} {tuple(flat.shape)}".encode())
        digest.update(flat.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class _Writer:
    """Collects the tensors of a value, each one once, while its tree is built."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[int, str] = {}

    def tree(self, value: object, name: str) -> Any:
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, Tensor):
            return {"tensor": self._named(value, name)}
        if isinstance(value, np.ndarray):
            return {"array": self._named(torch.from_numpy(value), name)}
        if isinstance(value, Image.Image):
            return {"picture": self._named(torch.from_numpy(np.array(value)), name), "mode": value.mode}
        if isinstance(value, SparseTensor):
            parts = {"feats": value.feats, "coords": value.coords, "batch_size": value.batch_size}
            return {"sparse": {part: self.tree(held, f"{name}.{part}") for part, held in parts.items()}}
        if isinstance(value, tuple | list):
            return [self.tree(item, f"{name}.{index}") for index, item in enumerate(value)]
        if isinstance(value, Mapping):
            return {"mapping": {str(key): self.tree(item, f"{name}.{key}") for key, item in value.items()}}
        kind = type(value)
        if is_dataclass(value) and kind.__module__.startswith(f"{_PACKAGE}."):
            held = {item.name: self.tree(getattr(value, item.name), f"{name}.{item.name}") for item in fields(value)}
            return {"class": f"{kind.__module__}:{kind.__qualname__}", "fields": held}
        raise TypeError(f"Expected tensors and plain data, got a {kind.__name__} at '{name}'; it cannot be stored.")

    def _named(self, tensor: Tensor, name: str) -> str:
        stored = self._names.setdefault(id(tensor), name.removeprefix(".") or "value")
        self.tensors.setdefault(stored, tensor)
        return stored


def _value(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(tree, list):
        return tuple(_value(item, tensors) for item in tree)
    if not isinstance(tree, dict):
        return tree
    if "tensor" in tree:
        return tensors[tree["tensor"]]
    if "array" in tree:
        return tensors[tree["array"]].numpy()
    if "picture" in tree:
        return Image.fromarray(tensors[tree["picture"]].numpy()).convert(tree["mode"])
    if "sparse" in tree:
        held = {name: _value(part, tensors) for name, part in tree["sparse"].items()}
        return SparseTensor(held["feats"], VoxelSet(held["coords"], held["batch_size"]))
    if "mapping" in tree:
        return {name: _value(item, tensors) for name, item in tree["mapping"].items()}
    return _stored_class(tree["class"])(**{name: _value(item, tensors) for name, item in tree["fields"].items()})


def _stored_class(name: str) -> Any:
    """The dataclass of this package with that name; nothing else is ever imported or called."""
    module, _, qualified = name.partition(":")
    found = getattr(importlib.import_module(module), qualified) if module.startswith(f"{_PACKAGE}.") else None
    if not (isinstance(found, type) and is_dataclass(found)):
        raise ValueError(f"'{name}' is no data of this package")
    return found
