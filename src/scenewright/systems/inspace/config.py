"""Sizes and sampling settings of InSpace; the upper-case constants are the published weights.

Everything that is not here is TRELLIS.2's. Source: naver/inspace configs/ and eval/pipeline/eval_pipeline.py.
"""

from dataclasses import replace

from scenewright.backbones.trellis2.config import (
    SHAPE_FLOW_512,
    STRUCTURE_FLOW,
    STRUCTURE_SAMPLER,
    TEXTURE_FLOW_512,
)
from scenewright.samplers.config import SamplerConfig
from scenewright.systems.inspace.box_network import BoxNetworkConfig

__all__ = [
    "BOX_NETWORK",
    "COARSE_FLOW",
    "COARSE_SAMPLER",
    "DETAIL_SAMPLER",
    "FAST_DETAIL_SAMPLER",
    "SHAPE_FLOW",
    "TEXTURE_FLOW",
]

COARSE_FLOW = STRUCTURE_FLOW
SHAPE_FLOW = replace(SHAPE_FLOW_512, pe_mode="ape")
TEXTURE_FLOW = replace(TEXTURE_FLOW_512, pe_mode="ape")
BOX_NETWORK = BoxNetworkConfig()

COARSE_SAMPLER = STRUCTURE_SAMPLER
DETAIL_SAMPLER = SamplerConfig(steps=50, guidance_strength=2.0, guidance_interval=(0.0, 1.0), rescale_t=1.0)
"""Shape and texture in the published batch script; every step costs two evaluations."""
FAST_DETAIL_SAMPLER = replace(DETAIL_SAMPLER, steps=12)
"""The default of the published demos."""
