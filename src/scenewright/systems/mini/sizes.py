"""Sizes of the mini networks: the published classes, small enough for two cores and 64 MB of weights."""

import dataclasses

from scenewright.backbones.structure_vae import StructureVAEConfig
from scenewright.backbones.trellis1.config import StructureFlowConfig
from scenewright.backbones.trellis2.config import FlowConfig, SparseUNetConfig
from scenewright.samplers.config import SamplerConfig
from scenewright.systems.iscene.config import SceneContextConfig
from scenewright.systems.scenegen.config import SceneFlowConfig

__all__ = [
    "AGREEMENT",
    "ISCENE",
    "NUM_SAMPLES",
    "NUM_TOKENS",
    "OBJECT_FLOW",
    "RESOLUTION",
    "ROOM_FACE_SIZE",
    "ROOM_FLOW",
    "ROOM_RESOLUTION",
    "ROOM_SAMPLER",
    "ROOM_SHAPE_FLOW",
    "ROOM_SHAPE_SAMPLER",
    "ROOM_SHAPE_START",
    "ROOM_TEXTURE_FLOW",
    "ROOM_TEXTURE_SAMPLER",
    "ROOM_VOXELS",
    "SAMPLER",
    "SCENEGEN",
    "SHAPE_DECODER",
    "SHAPE_ENCODER",
    "SHAPE_FLOW",
    "SHAPE_SAMPLER",
    "SHAPE_START",
    "STRUCTURE_VAE",
    "TEXTURE_DECODER",
    "TEXTURE_ENCODER",
    "TEXTURE_FLOW",
    "TEXTURE_SAMPLER",
    "VOXEL_RESOLUTION",
]

NUM_TOKENS = 64
"""Condition tokens of one picture: 128 pixels at stride 16."""

RESOLUTION = 32
"""Cells a side of an object's occupancy."""

STRUCTURE_VAE = StructureVAEConfig(channels=(16, 32, 96), num_res_blocks=1, num_res_blocks_middle=1)
"""Occupancy 32^3 <-> latent [8, 8, 8, 8]."""

VOXEL_RESOLUTION = 64
"""Voxels of surfaces and materials; their latent has an eighth of it."""

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

SHAPE_ENCODER = SparseUNetConfig(
    model_channels=(16, 32, 64, 64),
    latent_channels=16,
    num_blocks=(0, 1, 1, 2),
    io_channels=6,
    resample=("channel",) * 3,
    mlp_ratios=(4.0,) * 4,
)
"""Dual grid 64^3 -> tokens of 16 on 8^3."""

SHAPE_DECODER = dataclasses.replace(
    SHAPE_ENCODER, model_channels=(64, 64, 32, 16), num_blocks=(2, 1, 1, 0), io_channels=7
)
TEXTURE_ENCODER = dataclasses.replace(SHAPE_ENCODER, resample=("nearest",) * 3)
TEXTURE_DECODER = dataclasses.replace(
    SHAPE_DECODER, resample=("nearest",) * 3, io_channels=6, predicts_subdivision=False
)

SHAPE_FLOW = FlowConfig(
    resolution=8,
    in_channels=16,
    out_channels=16,
    model_channels=192,
    cond_channels=192,
    num_blocks=6,
    num_heads=6,
    pe_mode="rope",
    share_mod=True,
    initialization="scaled",
    qk_rms_norm=True,
    qk_rms_norm_cross=True,
)
TEXTURE_FLOW = dataclasses.replace(SHAPE_FLOW, in_channels=32)

SAMPLER = SamplerConfig(steps=3, guidance_strength=1.0, guidance_interval=(0.3, 1.0), rescale_t=3.0)
"""Few steps, of which `NUM_SAMPLES` are taken."""

NUM_SAMPLES = 8
"""Samples of a scene that its voxels and places are agreed on by."""

AGREEMENT = 0.35
"""Share of the samples that must hold a voxel for occupied."""

SHAPE_SAMPLER = SamplerConfig(steps=8, guidance_strength=0.0, rescale_t=1.0)
SHAPE_START = 0.85
"""Flow time at which the shape latent starts, as the voxels' surface mixed with noise; 1 would be pure noise."""

TEXTURE_SAMPLER = SamplerConfig(steps=2, guidance_strength=0.0, rescale_t=1.0)

ROOM_RESOLUTION = 32
"""Coarse cells of a whole room, on the structure autoencoder's latent of 8^3."""

ROOM_VOXELS = 8 * ROOM_RESOLUTION
"""Voxels of a whole room's surfaces and materials; their latents lie on the coarse cells."""

ROOM_FACE_SIZE = 128
"""Side of the cube faces, in pixels; 64 tokens each."""

ROOM_FLOW = dataclasses.replace(SHAPE_FLOW, in_channels=8, out_channels=8, num_blocks=4)
"""InSpace's coarse flow, in the shape of the shape flow, whose blocks it starts from."""

ROOM_SHAPE_FLOW = dataclasses.replace(SHAPE_FLOW, resolution=ROOM_RESOLUTION, pe_mode="ape")
"""InSpace's detail flows, in the shape of the objects' flows, from which they start."""

ROOM_TEXTURE_FLOW = dataclasses.replace(ROOM_SHAPE_FLOW, in_channels=32)

ROOM_SHAPE_SAMPLER = SamplerConfig(steps=8, guidance_strength=0.0, rescale_t=1.0)
ROOM_SHAPE_START = 0.7
"""As `SHAPE_START`, from the surfaces of the coarse cells of all parts."""

ROOM_TEXTURE_SAMPLER = SamplerConfig(steps=4, guidance_strength=0.0, rescale_t=1.0)

ROOM_SAMPLER = SamplerConfig(steps=12, guidance_strength=1.0, guidance_interval=(0.3, 1.0), rescale_t=3.0)
