"""TRELLIS v1 image models from a local folder or the hub, in the published layout.

A source holds `pipeline.json` and, for every network it names, `<stem>.json` and `<stem>.safetensors`. Files from
the hub are verified against the published hashes; a local folder may hold other weights of the same layout (fine-tuned
or small ones), which are loaded strictly but have no hash to compare with.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from scenewright.backbones.structure_vae import StructureDecoder
from scenewright.backbones.trellis1.published import build_network, published_keymap
from scenewright.backbones.trellis1.slat_decoders import SLatGaussianDecoder, SLatMeshDecoder
from scenewright.backbones.trellis1.slat_flow import SLatFlow
from scenewright.backbones.trellis1.structure_flow import StructureFlow
from scenewright.backbones.trellis1.weights import IMAGE_REPOSITORY, RECORDS
from scenewright.errors import WeightsError
from scenewright.nn.precision import cast_torso
from scenewright.samplers.config import SamplerConfig
from scenewright.weights.config import read_config, read_pipeline_arguments
from scenewright.weights.hub import fetch, find_file, is_local_source
from scenewright.weights.load import load_weights
from scenewright.weights.record import LatentStatistics

__all__ = ["Trellis1", "load_named_network", "load_network", "network_stem", "read_pipeline", "read_sampler"]

Report = Callable[[str], None]
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Trellis1:
    """The networks of the image pipeline with the settings published beside them; all on one device."""

    structure_flow: StructureFlow
    structure_decoder: StructureDecoder
    slat_flow: SLatFlow
    mesh_decoder: SLatMeshDecoder
    gaussian_decoder: SLatGaussianDecoder
    structure_sampler: SamplerConfig
    slat_sampler: SamplerConfig
    slat_statistics: LatentStatistics
    image_encoder: str
    source: str

    @property
    def device(self) -> torch.device:
        return self.structure_flow.input_layer.weight.device

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path = IMAGE_REPOSITORY,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        offline: bool = False,
        report: Report | None = None,
    ) -> "Trellis1":
        """Loads the networks an image needs.

        Args:
            source: a local folder in the published layout, or a hub repository (cached, else downloaded).
            dtype: of the repeated blocks; the rest stays fp32 as published.
            report: called with one line per network that is being loaded.

        Raises:
            WeightsError: files are missing, damaged, or do not fit.
        """
        arguments = read_pipeline(source, offline=offline)

        def network(key: str, kind: type[Network]) -> Network:
            if report is not None:
                report(f"Loading {key}")
            return load_named_network(
                source,
                arguments["models"],
                key,
                kind,
                needed_by="image to object",
                device=device,
                dtype=dtype,
                offline=offline,
            )

        statistics = arguments["slat_normalization"]
        return cls(
            structure_flow=network("sparse_structure_flow_model", StructureFlow),
            structure_decoder=network("sparse_structure_decoder", StructureDecoder),
            slat_flow=network("slat_flow_model", SLatFlow),
            mesh_decoder=network("slat_decoder_mesh", SLatMeshDecoder),
            gaussian_decoder=network("slat_decoder_gs", SLatGaussianDecoder),
            structure_sampler=read_sampler(arguments["sparse_structure_sampler"]),
            slat_sampler=read_sampler(arguments["slat_sampler"]),
            slat_statistics=LatentStatistics(tuple(statistics["mean"]), tuple(statistics["std"])),
            image_encoder=arguments["image_cond_model"],
            source=str(source),
        )


def load_named_network(
    source: str | Path,
    models: Mapping[str, Any],
    key: str,
    kind: type[Network],
    *,
    needed_by: str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    offline: bool = False,
) -> Network:
    """The network that `models` of a pipeline names `key`, checked to be a `kind`.

    Args:
        needed_by: who asks for it, for the message where it is not named.

    Raises:
        WeightsError: the pipeline does not name it, it is of another class, or its files are missing or do not fit.
    """
    stem = network_stem(source, models, key, needed_by=needed_by)
    loaded = load_network(source, stem, device=device, dtype=dtype, offline=offline)
    if not isinstance(loaded, kind):
        raise WeightsError(f"'{key}' of '{source}' is a {type(loaded).__name__}, expected {kind.__name__}.")
    return loaded


def network_stem(source: str | Path, models: Mapping[str, Any], key: str, *, needed_by: str) -> str:
    """The name, without endings, of the files of the network that `models` of a pipeline names `key`.

    Raises:
        WeightsError: the pipeline does not name it.
    """
    if key not in models:
        raise WeightsError(f"pipeline.json of '{source}' names no '{key}', which {needed_by} needs.")
    return str(models[key])


def load_network(
    source: str | Path,
    stem: str,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    offline: bool = False,
) -> nn.Module:
    """The network stored as `<stem>.json` and `<stem>.safetensors` in `source`."""
    record = next((record for record in RECORDS.values() if record.file == f"{stem}.safetensors"), None)
    if record is None or is_local_source(source):
        weights = find_file(source, f"{stem}.safetensors", offline=offline)
    else:
        weights = fetch(record, source, offline=offline)
    class_name, arguments = read_config(find_file(source, f"{stem}.json", offline=offline))

    def build() -> nn.Module:
        network = build_network(class_name, arguments)
        cast_torso(network.torso, dtype)  # type: ignore[arg-type]
        return network

    return load_weights(build, weights, device=device, keymap=published_keymap(class_name))


def read_pipeline(source: str | Path, *, offline: bool = False) -> dict[str, Any]:
    """Arguments of the published pipeline: network stems, samplers, latent statistics, image encoder.

    Raises:
        WeightsError: `pipeline.json` is missing, unreadable, or lacks a part.
    """
    path = find_file(source, "pipeline.json", offline=offline)
    return read_pipeline_arguments(path, _PIPELINE_PARTS, "an image pipeline")


def read_sampler(description: dict[str, Any]) -> SamplerConfig:
    """Sampler settings from their published form."""
    params = description["params"]
    return SamplerConfig(
        steps=params["steps"],
        guidance_strength=params["cfg_strength"],
        guidance_interval=tuple(params.get("cfg_interval", (0.0, 1.0))),
        rescale_t=params.get("rescale_t", 1.0),
        sigma_min=description.get("args", {}).get("sigma_min", 1e-5),
    )


_PIPELINE_PARTS = frozenset(
    {"models", "sparse_structure_sampler", "slat_sampler", "slat_normalization", "image_cond_model"}
)
