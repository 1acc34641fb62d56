"""TRELLIS.2 from a local folder or the hub, in the published layout (see `backbones.networks`).

A source holds `pipeline.json` (picture to object) and `texturing_pipeline.json` (materials for a given mesh). The
structure decoder belongs to TRELLIS v1 and is in its repository.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch

from scenewright.backbones.networks import Layout, NetworkKey, PublishedNetworks
from scenewright.backbones.structure_vae import StructureDecoder
from scenewright.backbones.trellis2.latent_flow import LatentFlow
from scenewright.backbones.trellis2.published import build_network
from scenewright.backbones.trellis2.shape_vae import ShapeDecoder, ShapeEncoder
from scenewright.backbones.trellis2.structure_flow import StructureFlow
from scenewright.backbones.trellis2.texture_vae import TextureDecoder
from scenewright.backbones.trellis2.weights import RECORDS
from scenewright.samplers.config import SamplerConfig
from scenewright.weights.record import WeightsRecord
from scenewright.weights.source import WeightsSource

__all__ = [
    "SHAPE_DECODER",
    "SHAPE_ENCODER",
    "STRUCTURE_DECODER",
    "STRUCTURE_FLOW",
    "TEXTURE_DECODER",
    "default_plan",
    "shape_flow",
    "texture_flow",
    "trellis2_networks",
]

STRUCTURE_FLOW = NetworkKey("sparse_structure_flow_model", StructureFlow)
STRUCTURE_DECODER = NetworkKey("sparse_structure_decoder", StructureDecoder)
SHAPE_ENCODER = NetworkKey("shape_slat_encoder", ShapeEncoder)
SHAPE_DECODER = NetworkKey("shape_slat_decoder", ShapeDecoder)
TEXTURE_DECODER = NetworkKey("tex_slat_decoder", TextureDecoder)


def shape_flow(resolution: int) -> NetworkKey[LatentFlow]:
    """The flow of shape latents at 512 or 1024 voxels per side."""
    return NetworkKey(f"shape_slat_flow_model_{resolution}", LatentFlow)


def texture_flow(resolution: int) -> NetworkKey[LatentFlow]:
    """The flow of texture latents at 512 or 1024 voxels per side."""
    return NetworkKey(f"tex_slat_flow_model_{resolution}", LatentFlow)


def trellis2_networks(
    source: WeightsSource,
    *,
    pipeline: Literal["pipeline.json", "texturing_pipeline.json"] = "pipeline.json",
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    keep_loaded: bool = False,
) -> PublishedNetworks:
    """The networks of a source, with samplers of "structure", "shape", "texture" and statistics of the last two.

    A texturing pipeline has the sampler of "texture" alone.

    Raises:
        WeightsError: the pipeline file is missing, unreadable, or lacks a part.
    """
    return PublishedNetworks(
        source,
        _LAYOUT,
        pipeline=pipeline,
        device=device,
        dtype=dtype,
        keep_loaded=keep_loaded,
    )


def default_plan(networks: PublishedNetworks) -> str:
    """Name of the plan published with the weights."""
    return str(networks.arguments.get("default_pipeline_type", "1024_cascade"))


def _read_sampler(description: Mapping[str, Any]) -> SamplerConfig:
    """Settings whose published guidance g of g v_cond + (1 - g) v_uncond is 1 + ours."""
    params = description.get("params", {})
    return SamplerConfig(
        steps=params["steps"],
        guidance_strength=params["guidance_strength"] - 1,
        guidance_rescale=params.get("guidance_rescale", 0.0),
        guidance_interval=tuple(params.get("guidance_interval", (0.0, 1.0))),
        rescale_t=params.get("rescale_t", 1.0),
        sigma_min=description.get("args", {}).get("sigma_min", 1e-5),
    )


_STRUCTURE_DECODER_RECORD = WeightsRecord(
    name="trellis2/structure_decoder",
    repository="microsoft/TRELLIS-image-large",
    file="ckpts/ss_dec_conv3d_16l8_fp16.safetensors",
    architecture="SparseStructureDecoder",
    licence="MIT",
    paper="arXiv:2412.01506",
    sha256="1c76d4a40519aa2d711cc263a8404105231ac26db31d946bed48b84fee79009a",
    size_bytes=147_591_972,
    num_parameters=73_671_201,
    stored_dtype="fp16",
)
_LAYOUT = Layout(
    kind="a TRELLIS.2 pipeline",
    image_encoder=lambda arguments: arguments["image_cond_model"]["args"]["model_name"],
    samplers={
        "structure": "sparse_structure_sampler",
        "shape": "shape_slat_sampler",
        "texture": "tex_slat_sampler",
    },
    statistics={"shape": "shape_slat_normalization", "texture": "tex_slat_normalization"},
    read_sampler=_read_sampler,
    build=build_network,
    records=(*RECORDS.values(), _STRUCTURE_DECODER_RECORD),
    half_dtype=lambda class_name: torch.bfloat16 if "Flow" in class_name else torch.float16,
    keymaps={},
    ignore=("rope_phases",),
)
