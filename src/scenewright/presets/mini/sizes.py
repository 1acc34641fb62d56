"""Sizes of the mini preset's networks: the published classes, small enough for two cores and 64 MB of weights."""

import dataclasses

from scenewright.backbones.structure_vae import StructureVAEConfig
from scenewright.backbones.trellis1.config import StructureFlowConfig
from scenewright.samplers.config import SamplerConfig
from scenewright.systems.iscene.config import SceneContextConfig
from scenewright.systems.scenegen.config import SceneFlowConfig

__all__ = ["AGREEMENT", "ISCENE", "NUM_SAMPLES", "NUM_TOKENS", "OBJECT_FLOW", "SAMPLER", "SCENEGEN", "STRUCTURE_VAE"]

NUM_TOKENS = 64
"""Condition tokens of one picture: 128 pixels at stride 16."""

STRUCTURE_VAE = StructureVAEConfig(channels=(16, 32, 96), num_res_blocks=1, num_res_blocks_middle=1)
"""Occupancy 32^3 <-> latent [8, 8, 8, 8]."""

OBJECT_FLOW = StructureFlowConfig(
    resolution=8,
    in_channels=8,
    out_channels=8,
    model_channels=192,
    cond_channels=192,
    num_blocks=6,
    num_heads=6,
    patch_size=2,
    share_mod=True,
)
"""Single objects on 64 tokens; both systems start from it."""

SCENEGEN = SceneFlowConfig(
    **dataclasses.asdict(OBJECT_FLOW), local_context_tokens=NUM_TOKENS, trunk_depth=2, num_iteration=2
)

ISCENE = SceneContextConfig(flow=OBJECT_FLOW, num_context_blocks=4, with_canonical=True)

SAMPLER = SamplerConfig(steps=3, guidance_strength=1.0, guidance_interval=(0.3, 1.0), rescale_t=3.0)
"""Few steps, of which `NUM_SAMPLES` are taken."""

NUM_SAMPLES = 8
"""Samples of a scene that its voxels and places are agreed on by."""

AGREEMENT = 0.35
"""Share of the samples that must hold a voxel for occupied."""
