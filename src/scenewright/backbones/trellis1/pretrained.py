"""TRELLIS v1 image models from a local folder or the hub, in the published layout (see `backbones.networks`)."""

from collections.abc import Mapping
from typing import Any

import torch

from scenewright.backbones.networks import Layout, NetworkKey, PublishedNetworks
from scenewright.backbones.structure_vae import StructureDecoder
from scenewright.backbones.trellis1.published import KEYMAPS, build_network
from scenewright.backbones.trellis1.slat_decoders import SLatGaussianDecoder, SLatMeshDecoder
from scenewright.backbones.trellis1.slat_flow import SLatFlow
from scenewright.backbones.trellis1.structure_flow import StructureFlow
from scenewright.backbones.trellis1.weights import RECORDS
from scenewright.samplers.config import SamplerConfig
from scenewright.weights.source import WeightsSource

__all__ = [
    "GAUSSIAN_DECODER",
    "MESH_DECODER",
    "SLAT_FLOW",
    "STRUCTURE_DECODER",
    "STRUCTURE_FLOW",
    "trellis1_networks",
]

STRUCTURE_FLOW = NetworkKey("sparse_structure_flow_model", StructureFlow)
STRUCTURE_DECODER = NetworkKey("sparse_structure_decoder", StructureDecoder)
SLAT_FLOW = NetworkKey("slat_flow_model", SLatFlow)
MESH_DECODER = NetworkKey("slat_decoder_mesh", SLatMeshDecoder)
GAUSSIAN_DECODER = NetworkKey("slat_decoder_gs", SLatGaussianDecoder)


def trellis1_networks(
    source: WeightsSource,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> PublishedNetworks:
    """The networks of a source, with the samplers "structure" and "latent" and the statistics of "latent".

    Raises:
        WeightsError: `pipeline.json` is missing, unreadable, or lacks a part.
    """
    return PublishedNetworks(source, _LAYOUT, device=device, dtype=dtype)


def _read_sampler(description: Mapping[str, Any]) -> SamplerConfig:
    params = description["params"]
    return SamplerConfig(
        steps=params["steps"],
        guidance_strength=params["cfg_strength"],
        guidance_interval=tuple(params.get("cfg_interval", (0.0, 1.0))),
        rescale_t=params.get("rescale_t", 1.0),
        sigma_min=description.get("args", {}).get("sigma_min", 1e-5),
    )


_LAYOUT = Layout(
    kind="an image pipeline",
    image_encoder=lambda arguments: arguments["image_cond_model"],
    samplers={"structure": "sparse_structure_sampler", "latent": "slat_sampler"},
    statistics={"latent": "slat_normalization"},
    read_sampler=_read_sampler,
    build=build_network,
    records=RECORDS.values(),
    half_dtype=lambda class_name: torch.float16,
    keymaps=KEYMAPS,
)
