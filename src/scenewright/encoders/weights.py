"""Strict loading of the image encoders from any of the layouts their published weights come in.

    encoder = load_dinov2("dinov2_vitl14_reg4_pretrain.pth")            # torch hub's names
    encoder = load_dinov2("model.safetensors")                          # transformers' names
    encoder = load_dinov2(path, prefix="base_img_conditioner.")         # inside an I-Scene checkpoint
    encoder = encoder_from_pretrained("vggt")                           # local cache, else the hub

Networks are built on the meta device and tensors read one at a time, so the host holds the weights once.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from scenewright.encoders.dinov2 import Dinov2, Dinov2Config
from scenewright.encoders.dinov2_names import attention_names, to_published
from scenewright.encoders.dinov3 import Dinov3, Dinov3Config
from scenewright.encoders.records import DINOV2_VITL14_REG, DINOV3_VITL16, VGGT_1B
from scenewright.encoders.vggt import VGGTAggregator, VGGTConfig
from scenewright.errors import WeightsError
from scenewright.weights.checkpoint import open_checkpoint
from scenewright.weights.config import config_from_json, read_config
from scenewright.weights.hub import fetch, find_file, is_local_source

__all__ = [
    "encoder_from_pretrained",
    "load_dinov2",
    "load_dinov3",
    "load_encoder_state",
    "load_named_dinov2",
    "load_vggt",
]

M = TypeVar("M", bound=nn.Module)
Progress = Callable[[int, int], None]

_RECORD_OF = {"dinov2": DINOV2_VITL14_REG, "dinov3": DINOV3_VITL16, "vggt": VGGT_1B}


def load_dinov2(
    path: str | Path,
    *,
    config: Dinov2Config | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    prefix: str = "",
    progress: Progress | None = None,
) -> Dinov2:
    """DINOv2 from a file in torch hub's or in transformers' layout; `prefix` picks it out of a larger checkpoint.

    Raises:
        WeightsError: the file cannot be read, or tensors are missing, unknown or of the wrong shape.
    """
    return _load(lambda: Dinov2(config), path, device, dtype, prefix, _dinov2_as_published, progress)


def load_named_dinov2(
    name: str, source: str | Path, *, device: torch.device | str = "cpu", offline: bool = False
) -> tuple[Dinov2, Path]:
    """The image encoder that a pipeline in `source` names, and its file: stored beside it, else the published DINOv2.

    A folder may hold `<name>.json` (`{"name": "Dinov2", "args": {sizes}}`) and `<name>.safetensors`.

    Raises:
        WeightsError: it is neither in the folder nor published, cannot be fetched, or does not fit.
    """
    if is_local_source(source) and (Path(source).expanduser() / f"{name}.json").is_file():
        _, arguments = read_config(find_file(source, f"{name}.json"))
        path = find_file(source, f"{name}.safetensors")
        return load_dinov2(path, config=config_from_json(Dinov2Config, arguments), device=device), path
    if name != "dinov2_vitl14_reg":
        raise WeightsError(f"'{source}' asks for the image encoder '{name}', which is neither in it nor published.")
    path = fetch(DINOV2_VITL14_REG, offline=offline)
    return load_dinov2(path, device=device), path


def load_dinov3(
    path: str | Path,
    *,
    config: Dinov3Config | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    prefix: str = "",
    progress: Progress | None = None,
) -> Dinov3:
    """DINOv3 from a file in the published (transformers) layout.

    Raises:
        WeightsError: the file cannot be read, or tensors are missing, unknown or of the wrong shape.
    """
    return _load(lambda: Dinov3(config), path, device, dtype, prefix, dict, progress)


def load_vggt(
    path: str | Path,
    *,
    config: VGGTConfig | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    prefix: str = "aggregator.",
    progress: Progress | None = None,
) -> VGGTAggregator:
    """VGGT's aggregator from a full VGGT checkpoint; its heads are not read.

    Raises:
        WeightsError: the file cannot be read, or tensors are missing, unknown or of the wrong shape.
    """
    return _load(lambda: VGGTAggregator(config), path, device, dtype, prefix, dict, progress)


def encoder_from_pretrained(
    name: Literal["dinov2", "dinov3", "vggt"],
    source: str | Path | None = None,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    offline: bool = False,
    progress: Progress | None = None,
) -> Dinov2 | Dinov3 | VGGTAggregator:
    """A published encoder, from a weight file, a local folder, the hub cache or the hub, frozen and in evaluation mode.

    Args:
        source: None for the published repository, a weight file, a folder laid out like the repository, or another
            repository of that layout.

    Raises:
        WeightsError: not found, no network, access refused, or the tensors do not fit.
    """
    is_file = source is not None and Path(source).expanduser().is_file()
    path = Path(str(source)).expanduser() if is_file else fetch(_RECORD_OF[name], source, offline=offline)
    if name == "dinov2":
        return load_dinov2(path, device=device, dtype=dtype, progress=progress)
    if name == "dinov3":
        return load_dinov3(path, device=device, dtype=dtype, progress=progress)
    return load_vggt(path, device=device, dtype=dtype, progress=progress)


def load_encoder_state(module: M, tensors: Mapping[str, Tensor], *, source: str = "the state dict") -> M:
    """`module` (an encoder of this package) with its parameters replaced by `tensors` under their published names.

    Raises:
        WeightsError: names or shapes differ; the message lists them.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    problems = [
        ("missing", sorted(expected.keys() - tensors.keys())),
        ("unexpected", sorted(tensors.keys() - expected.keys())),
        ("of another shape", sorted(n for n in expected.keys() & tensors.keys() if tensors[n].shape != expected[n])),
    ]
    found = [f"{len(names)} {what} (first: {names[0]})" for what, names in problems if names]
    if found:
        raise WeightsError(f"Weights in {source} do not fit {type(module).__name__}: {', '.join(found)}.")
    is_meta = any(parameter.is_meta for parameter in module.parameters())
    module.load_state_dict(dict(tensors), strict=True, assign=is_meta)
    return module


def _load(
    build: Callable[[], M],
    path: str | Path,
    device: torch.device | str,
    dtype: torch.dtype | None,
    prefix: str,
    as_published: Callable[[Mapping[str, Tensor]], dict[str, Tensor]],
    progress: Progress | None,
) -> M:
    with torch.device("meta"):
        module = build()
    tensors: dict[str, Tensor] = {}
    with open_checkpoint(path) as checkpoint:
        names = [name for name in checkpoint.shapes if name.startswith(prefix)]
        if not names:
            raise WeightsError(f"'{path}' holds no tensor whose name starts with '{prefix}'; is it the right file?")
        for count, name in enumerate(names, 1):
            target = torch.empty(checkpoint.shapes[name], dtype=dtype or checkpoint.dtypes[name], device=device)
            checkpoint.read_into(name, target)
            tensors[name.removeprefix(prefix)] = target
            if progress is not None:
                progress(count, len(names))
    load_encoder_state(module, as_published(tensors), source=str(path))
    if isinstance(module, Dinov3):
        module.reset_buffers(torch.device(device))
    return module.eval().requires_grad_(False)


def _dinov2_as_published(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    is_transformers = any(name.startswith("embeddings.") for name in tensors)
    return to_published(tensors, attention_names(tensors)) if is_transformers else dict(tensors)
