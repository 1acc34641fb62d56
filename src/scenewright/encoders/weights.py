"""Strict loading of the image encoders from any of the layouts their published weights come in.

encoder = load_dinov2("dinov2_vitl14_reg4_pretrain.pth")            # torch hub's names
encoder = load_dinov2("model.safetensors")                          # transformers' names
encoder = load_dinov2(path, prefix="base_img_conditioner.")         # inside an I-Scene checkpoint
encoder = encoder_from_pretrained("vggt")                           # local cache, else the hub
encoder, path = load_named_dinov2(name, source)                     # as a pipeline file names it
"""

from pathlib import Path
from typing import Literal, TypeVar

import torch

from scenewright.encoders.dinov2 import Dinov2, Dinov2Config
from scenewright.encoders.dinov2_names import TransformersCheckpoint
from scenewright.encoders.dinov3 import Dinov3, Dinov3Config
from scenewright.encoders.records import DINOV2_VITL14_REG, DINOV3_VITL16, VGGT_1B
from scenewright.encoders.vggt import VGGTAggregator, VGGTConfig
from scenewright.errors import WeightsError
from scenewright.nn.precision import compact_linears
from scenewright.weights.checkpoint import Checkpoint, PartOfCheckpoint
from scenewright.weights.config import config_from_json
from scenewright.weights.hub import fetch
from scenewright.weights.load import load_weights
from scenewright.weights.record import WeightsRecord
from scenewright.weights.source import WeightsSource

__all__ = [
    "encoder_from_pretrained",
    "load_dinov2",
    "load_dinov3",
    "load_named_dinov2",
    "load_named_dinov3",
    "load_vggt",
]

Config = TypeVar("Config")


def load_dinov2(
    path: str | Path, *, config: Dinov2Config | None = None, device: torch.device | str = "cpu", prefix: str = ""
) -> Dinov2:
    """DINOv2 from a file in torch hub's or in transformers' layout; `prefix` picks it out of a larger checkpoint.

    Raises:
        WeightsError: the file cannot be read, or tensors are missing, unknown or of the wrong shape.
    """

    def view(checkpoint: Checkpoint) -> Checkpoint:
        part = PartOfCheckpoint(checkpoint, prefix)
        is_transformers = any(name.startswith("embeddings.") for name in part.shapes)
        return TransformersCheckpoint(part) if is_transformers else part

    return load_weights(lambda: Dinov2(config), path, device=device, view=view)


def load_dinov3(path: str | Path, *, config: Dinov3Config | None = None, device: torch.device | str = "cpu") -> Dinov3:
    """DINOv3 from a file in the published (transformers) layout; see `load_dinov2` for errors."""
    return load_weights(lambda: Dinov3(config), path, device=device)


def load_vggt(
    path: str | Path,
    *,
    config: VGGTConfig | None = None,
    device: torch.device | str = "cpu",
    is_compact: bool = False,
) -> VGGTAggregator:
    """VGGT's aggregator from a full VGGT checkpoint, whose heads are not read; see `load_dinov2` for errors.

    Args:
        is_compact: keep linear weights in eight bits, 1.3 GB instead of 5.
    """

    def build() -> VGGTAggregator:
        network = VGGTAggregator(config)
        if is_compact:
            compact_linears(network)
        return network

    return load_weights(build, path, device=device, keymap=VGGT_1B.keymap, ignore=VGGT_1B.ignore)


def load_named_dinov2(name: str, source: WeightsSource, *, device: torch.device | str = "cpu") -> tuple[Dinov2, Path]:
    """The image encoder that a pipeline in `source` names, and its file: stored beside it, else the published DINOv2.

    A folder may hold `<name>.json` (`{"name": "Dinov2", "args": {sizes}}`) and `<name>.safetensors`.

    Raises:
        WeightsError: it is neither in the folder nor published, cannot be fetched, or does not fit.
    """
    path, config = _named(name, source, Dinov2Config, DINOV2_VITL14_REG, "dinov2_vitl14_reg")
    return load_dinov2(path, config=config, device=device), path


def load_named_dinov3(name: str, source: WeightsSource, *, device: torch.device | str = "cpu") -> tuple[Dinov3, Path]:
    """As `load_named_dinov2`, of a pipeline that names DINOv3 by its repository."""
    path, config = _named(name, source, Dinov3Config, DINOV3_VITL16, DINOV3_VITL16.repository)
    return load_dinov3(path, config=config, device=device), path


def encoder_from_pretrained(
    name: Literal["dinov2", "dinov3", "vggt"],
    source: str | Path | None = None,
    *,
    device: torch.device | str = "cpu",
) -> Dinov2 | Dinov3 | VGGTAggregator:
    """A published encoder, from a weight file, a local folder, the hub cache or the hub, frozen and in evaluation mode.

    Args:
        source: None for the published repository, a weight file, a folder laid out like the repository, or another
            repository of that layout.

    Raises:
        WeightsError: not found, no network, access refused, or the tensors do not fit.
    """
    is_file = source is not None and Path(source).expanduser().is_file()
    record = {"dinov2": DINOV2_VITL14_REG, "dinov3": DINOV3_VITL16, "vggt": VGGT_1B}[name]
    path = Path(str(source)).expanduser() if is_file else fetch(record, source)
    if name == "dinov2":
        return load_dinov2(path, device=device)
    if name == "dinov3":
        return load_dinov3(path, device=device)
    return load_vggt(path, device=device)


def _named(
    name: str, source: WeightsSource, kind: type[Config], record: WeightsRecord, published_name: str
) -> tuple[Path, Config | None]:
    """Weight file of the encoder `name` of a pipeline, and its sizes where they are not the published ones."""
    stored = source.beside(name)
    if stored is not None:
        arguments, path = stored
        return path, config_from_json(kind, arguments)
    if name != published_name:
        raise WeightsError(f"'{source}' asks for the image encoder '{name}', which is neither in it nor published.")
    return fetch(record, offline=source.offline), None
