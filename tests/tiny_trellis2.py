"""A TRELLIS.2 folder in the published layout, with tiny networks of random weights: every real class, quick to run."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from scenewright.backbones.trellis2.published import build_network
from scenewright.encoders.dinov3 import Dinov3, Dinov3Config
from tests.support.saved_weights import save_weights

LATENT_CHANNELS = 4
_FLOW = {
    "model_channels": 32,
    "cond_channels": 32,
    "num_blocks": 1,
    "num_heads": 2,
    "mlp_ratio": 2.0,
    "pe_mode": "rope",
    "share_mod": True,
    "initialization": "scaled",
    "qk_rms_norm": True,
    "qk_rms_norm_cross": True,
    "dtype": "bfloat16",
}
_LATENT_FLOW = {"resolution": 32, "in_channels": LATENT_CHANNELS, "out_channels": LATENT_CHANNELS, **_FLOW}
_TEXTURE_FLOW = _LATENT_FLOW | {"in_channels": 2 * LATENT_CHANNELS}
_ENCODER = {
    "model_channels": [8, 8, 16, 16, 32],
    "latent_channels": LATENT_CHANNELS,
    "num_blocks": [0, 1, 1, 1, 1],
    "block_type": ["SparseConvNeXtBlock3d"] * 5,
    "down_block_type": ["SparseResBlockS2C3d"] * 4,
    "block_args": [{"use_checkpoint": True}] * 5,
    "use_fp16": True,
}
_DECODER = {
    "model_channels": [32, 16, 16, 8, 8],
    "latent_channels": LATENT_CHANNELS,
    "num_blocks": [1, 1, 1, 1, 0],
    "block_type": ["SparseConvNeXtBlock3d"] * 5,
    "up_block_type": ["SparseResBlockC2S3d"] * 4,
    "block_args": [{"use_checkpoint": True}] * 5,
    "use_fp16": True,
}
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "sparse_structure_flow_model": (
        "SparseStructureFlowModel",
        {"resolution": 1, "in_channels": 8, "out_channels": 8, **_FLOW},
    ),
    "sparse_structure_decoder": (
        "SparseStructureDecoder",
        {
            "out_channels": 1,
            "latent_channels": 8,
            "channels": [16, 8, 4],
            "num_res_blocks": 1,
            "num_res_blocks_middle": 1,
            "use_fp16": True,
        },
    ),
    "shape_slat_flow_model_512": ("SLatFlowModel", _LATENT_FLOW),
    "shape_slat_flow_model_1024": ("SLatFlowModel", _LATENT_FLOW),
    "shape_slat_encoder": ("FlexiDualGridVaeEncoder", _ENCODER),
    "shape_slat_decoder": ("FlexiDualGridVaeDecoder", {"resolution": 256, **_DECODER}),
    "tex_slat_flow_model_512": ("SLatFlowModel", _TEXTURE_FLOW),
    "tex_slat_flow_model_1024": ("SLatFlowModel", _TEXTURE_FLOW),
    "tex_slat_decoder": ("SparseUnetVaeDecoder", {"out_channels": 6, "pred_subdiv": False, **_DECODER}),
}
ENCODER_SIZES = Dinov3Config(width=32, mlp_width=32, depth=1, num_heads=2, num_registers=1)


def _sampler(strength: float, rescale: float, interval: list[float], rescale_t: float) -> dict[str, Any]:
    return {
        "name": "FlowEulerGuidanceIntervalSampler",
        "args": {"sigma_min": 1e-5},
        "params": {
            "steps": 2,
            "guidance_strength": strength,
            "guidance_rescale": rescale,
            "guidance_interval": interval,
            "rescale_t": rescale_t,
        },
    }


def write_tiny_trellis2(folder: Path, seed: int = 0) -> Path:
    """Fills `folder` with both pipelines and returns it."""
    generator = torch.Generator().manual_seed(seed)
    (folder / "ckpts").mkdir(parents=True)
    for key, (class_name, arguments) in NETWORKS.items():
        network = build_network(class_name, arguments)
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1:
                fan_in = parameter[0].numel()
                parameter.data = torch.randn(parameter.shape, generator=generator) / fan_in**0.5
            if name.endswith("to_subdiv.bias"):
                # Few children, so that the object stays small; all of them last, so that there is a surface.
                parameter.data.fill_(3.0 if name.startswith("blocks.3.") else -1.2)
        save_weights(network, folder / f"ckpts/{key}.safetensors")
        (folder / f"ckpts/{key}.json").write_text(json.dumps({"name": class_name, "args": arguments}))
    save_weights(Dinov3(ENCODER_SIZES), folder / "encoder.safetensors")
    (folder / "encoder.json").write_text(json.dumps({"name": "Dinov3", "args": asdict(ENCODER_SIZES)}))
    pipeline = {
        "models": {key: f"ckpts/{key}" for key in NETWORKS},
        "sparse_structure_sampler": _sampler(7.5, 0.7, [0.6, 1.0], 5.0),
        "shape_slat_sampler": _sampler(7.5, 0.5, [0.6, 1.0], 3.0),
        "tex_slat_sampler": _sampler(1.0, 0.0, [0.6, 0.9], 3.0),
        "shape_slat_normalization": {"mean": [0.1] * LATENT_CHANNELS, "std": [2.0] * LATENT_CHANNELS},
        "tex_slat_normalization": {"mean": [0.2] * LATENT_CHANNELS, "std": [1.5] * LATENT_CHANNELS},
        "image_cond_model": {"name": "DinoV3FeatureExtractor", "args": {"model_name": "encoder"}},
        "default_pipeline_type": "1024_cascade",
    }
    (folder / "pipeline.json").write_text(json.dumps({"name": "Trellis2ImageTo3DPipeline", "args": pipeline}))
    del pipeline["sparse_structure_sampler"], pipeline["shape_slat_sampler"]
    (folder / "texturing_pipeline.json").write_text(json.dumps({"name": "Trellis2TexturingPipeline", "args": pipeline}))
    return folder
