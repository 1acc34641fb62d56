"""Sizes and sampling settings of TRELLIS.2; the upper-case constants are the published 4B checkpoint.

Field defaults are those of the published constructors, so that a published JSON file means the same here.
Source: microsoft/TRELLIS.2-4B pipeline.json and the JSON beside each network.
"""

from dataclasses import dataclass, replace
from typing import Literal

from scenewright.samplers.config import SamplerConfig

__all__ = [
    "DOWNSAMPLING",
    "MAX_NUM_TOKENS",
    "SHAPE_DECODER",
    "SHAPE_ENCODER",
    "SHAPE_FLOW_512",
    "SHAPE_SAMPLER",
    "STRUCTURE_FLOW",
    "STRUCTURE_SAMPLER",
    "TEXTURE_DECODER",
    "TEXTURE_ENCODER",
    "TEXTURE_FLOW_512",
    "TEXTURE_SAMPLER",
    "FlowConfig",
    "SparseUNetConfig",
]

DOWNSAMPLING = 16
"""Every latent token stands for a block of 16^3 voxels."""
MAX_NUM_TOKENS = 49152
"""A cascade lowers its resolution until the latent has fewer tokens than this."""


@dataclass(frozen=True)
class FlowConfig:
    """A flow transformer, on the dense structure latent or on the tokens of a shape or texture latent.

    `resolution` is the side of the dense latent; sparse latents take positions from their coordinates and ignore it.
    `num_heads` of None means `model_channels // num_head_channels`.
    """

    resolution: int
    in_channels: int
    model_channels: int
    cond_channels: int
    out_channels: int
    num_blocks: int
    num_heads: int | None = None
    num_head_channels: int = 64
    mlp_ratio: float = 4.0
    pe_mode: Literal["ape", "rope"] = "ape"
    rope_freq: tuple[float, float] = (1.0, 10000.0)
    share_mod: bool = False
    initialization: Literal["scaled", "vanilla"] = "vanilla"
    qk_rms_norm: bool = False
    qk_rms_norm_cross: bool = False

    @property
    def heads(self) -> int:
        return self.num_heads or self.model_channels // self.num_head_channels


@dataclass(frozen=True)
class SparseUNetConfig:
    """One half of a sparse autoencoder; widths and block counts run in the order the data passes the levels.

    `resample` names the block between levels: "channel" moves children to channels and back, "nearest" averages and
    copies them (no published checkpoint). `io_channels` are the input channels of an encoder, the output channels of a
    decoder; `predicts_subdivision` and `voxel_margin` (how far, in voxels, a dual vertex may leave its voxel) matter
    for decoders only.
    """

    model_channels: tuple[int, ...]
    latent_channels: int
    num_blocks: tuple[int, ...]
    io_channels: int
    resample: tuple[Literal["channel", "nearest"], ...]
    mlp_ratios: tuple[float, ...]
    predicts_subdivision: bool = True
    voxel_margin: float = 0.5


STRUCTURE_FLOW = FlowConfig(
    resolution=16,
    in_channels=8,
    model_channels=1536,
    cond_channels=1024,
    out_channels=8,
    num_blocks=30,
    num_heads=12,
    mlp_ratio=5.3334,
    pe_mode="rope",
    share_mod=True,
    initialization="scaled",
    qk_rms_norm=True,
    qk_rms_norm_cross=True,
)
SHAPE_FLOW_512 = replace(STRUCTURE_FLOW, resolution=32, in_channels=32, out_channels=32)
TEXTURE_FLOW_512 = replace(SHAPE_FLOW_512, in_channels=64)

SHAPE_ENCODER = SparseUNetConfig(
    model_channels=(64, 128, 256, 512, 1024),
    latent_channels=32,
    num_blocks=(0, 4, 8, 16, 4),
    io_channels=6,
    resample=("channel",) * 4,
    mlp_ratios=(4.0,) * 5,
)
TEXTURE_ENCODER = SHAPE_ENCODER
SHAPE_DECODER = replace(
    SHAPE_ENCODER,
    model_channels=SHAPE_ENCODER.model_channels[::-1],
    num_blocks=SHAPE_ENCODER.num_blocks[::-1],
    io_channels=7,
)
TEXTURE_DECODER = replace(SHAPE_DECODER, io_channels=6, predicts_subdivision=False)

# Published as guidance 7.5, 7.5 and 1 of g v_cond + (1 - g) v_uncond; the strength of this house is g - 1.
SHAPE_SAMPLER = SamplerConfig(steps=12, guidance_strength=6.5, guidance_interval=(0.6, 1.0), guidance_rescale=0.5)
STRUCTURE_SAMPLER = replace(SHAPE_SAMPLER, rescale_t=5.0, guidance_rescale=0.7)
TEXTURE_SAMPLER = SamplerConfig(steps=12, guidance_strength=0.0, guidance_interval=(0.6, 0.9))
