"""Networks of the transformers library: from a folder in its format, or from the hub, verified before they are read.

model = load_transformers("facebook/sam2.1-hiera-large", {"sam2": Sam2Model}, "a segmentation network")
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scenewright.errors import WeightsError
from scenewright.files import inside, read_json, reading
from scenewright.weights.record import WeightsRecord
from scenewright.weights.source import WeightsSource

__all__ = ["WEIGHTS_FILE", "load_transformers", "transformers_folder"]

WEIGHTS_FILE = "model.safetensors"
# The library makes whatever a configuration says: a list of so many names, a network of so many layers.
_MOST_LAYERS = 1024
_MOST = 1 << 20
_WAY_OUT = "give a folder or a repository in the format of transformers"


@dataclass(frozen=True)
class _Index:
    """The file of each tensor, where there are several."""

    weight_map: dict[str, str]


def transformers_folder(
    source: WeightsSource, *, records: Collection[WeightsRecord] = (), further: Collection[str] = ()
) -> Path:
    """The folder itself; of a repository, what the hub cache holds of it, with its weights verified.

    Args:
        records: what is known of published files.
        further: files that are read besides configuration and weights.

    Raises:
        WeightsError: a file is not to be had, or weights of a repository are not what they were.
    """
    weights = None if source.is_local else source.weights(WEIGHTS_FILE, records)
    configurations = [source.find(file) for file in ("config.json", *further)]
    return (weights or configurations[0]).parent


def load_transformers(
    source: WeightsSource, classes: Mapping[str, Any], kind: str, *, records: Collection[WeightsRecord] = ()
) -> Any:
    """A network in float32, frozen and in evaluation mode.

    Args:
        classes: class by the beginning of the `model_type` that the configuration names.
        kind: what it should be, with its article.
        records: what is known of published files.

    Raises:
        WeightsError: it is not to be had, damaged, of another kind, or lacks tensors.
    """
    from transformers import AutoConfig

    folder = transformers_folder(source, records=records)
    with reading(f"the weights of '{source}'", kind, _WAY_OUT, error=WeightsError):
        _check_numbers(read_json(folder / "config.json", object))
        configuration = AutoConfig.from_pretrained(str(folder), local_files_only=True)
        named = str(configuration.model_type)
        fitting = [network for beginning, network in classes.items() if named.startswith(beginning)]
        if not fitting:
            raise WeightsError(f"Expected {kind} at '{source}', got a network of kind '{named}'.")
        _check_size(fitting[0], configuration, sum(file.stat().st_size for file in _weight_files(folder)))
        model, info = fitting[0].from_pretrained(
            str(folder), local_files_only=True, output_loading_info=True, dtype=torch.float32
        )
    if missing := sorted(info["missing_keys"]):
        raise WeightsError(f"'{source}' lacks {len(missing)} tensors of its network (first: {missing[0]}).")
    return model.eval().requires_grad_(False)


def _check_numbers(content: object, name: str = "") -> None:
    """Refuses a configuration with numbers that no network has, before anything is made of them.

    Raises:
        ValueError: there is one.
    """
    if isinstance(content, Mapping):
        for key, value in content.items():
            _check_numbers(value, str(key))
    elif isinstance(content, list):
        for value in content:
            _check_numbers(value, name)
    elif isinstance(content, (int, float)) and abs(content) > (_MOST_LAYERS if "layers" in name else _MOST):
        raise ValueError(f"its configuration says {name} = {content:g}, which no such network has")


def _weight_files(folder: Path) -> list[Path]:
    """The file of the weights, or those that an index names in its place.

    Raises:
        InputError: the index names a file outside the folder, or one that is not there.
    """
    index = folder / f"{WEIGHTS_FILE}.index.json"
    if (folder / WEIGHTS_FILE).exists() or not index.is_file():
        return [folder / WEIGHTS_FILE]
    return [inside(folder, name) for name in sorted(set(read_json(index, _Index).weight_map.values()))]


def _check_size(network: Any, configuration: object, num_bytes: int) -> None:
    """Refuses a configuration whose network has more parameters than its files have bytes; takes no memory for them.

    Raises:
        ValueError: so it is.
    """
    made = getattr(network, "from_config", network)  # of the classes that choose one by the configuration
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in made(configuration).parameters())
    if parameters > num_bytes:
        raise ValueError(f"its configuration describes {parameters:,} parameters, more than its weights have bytes")
