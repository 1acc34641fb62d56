"""A TRELLIS folder in the published layout, with tiny networks of random weights: every real class, seconds to run."""

import json
from pathlib import Path
from typing import Any

import torch

from scenewright.backbones.trellis1.published import build_network, published_keymap
from scenewright.encoders.dinov2 import Dinov2, Dinov2Config
from tests.support.saved_weights import save_weights

_FLOW = {"in_channels": 8, "out_channels": 8, "model_channels": 32, "cond_channels": 32, "num_blocks": 1}
_ATTENTION = {"num_heads": 2, "mlp_ratio": 2, "pe_mode": "ape", "qk_rms_norm": True, "use_fp16": True}
_TRUNK = {
    "resolution": 16,
    "model_channels": 32,
    "latent_channels": 8,
    "num_blocks": 2,
    "num_heads": 2,
    "mlp_ratio": 2,
    "attn_mode": "swin",
    "window_size": 8,
    "use_fp16": True,
}
_GAUSSIANS = {
    "lr": {"_xyz": 1.0, "_features_dc": 1.0, "_opacity": 1.0, "_scaling": 1.0, "_rotation": 0.1},
    "perturb_offset": True,
    "voxel_size": 1.5,
    "num_gaussians": 4,
    "2d_filter_kernel_size": 0.1,
    "3d_filter_kernel_size": 9e-4,
    "scaling_bias": 4e-3,
    "opacity_bias": 0.1,
    "scaling_activation": "softplus",
}
_VAE = {"latent_channels": 8, "num_res_blocks": 1, "num_res_blocks_middle": 1, "use_fp16": True}
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "sparse_structure_flow_model": (
        "SparseStructureFlowModel",
        {"resolution": 4, "patch_size": 1, **_FLOW, **_ATTENTION},
    ),
    "sparse_structure_decoder": ("SparseStructureDecoder", {"out_channels": 1, "channels": [16, 8, 4], **_VAE}),
    "slat_flow_model": (
        "SLatFlowModel",
        {"resolution": 16, "patch_size": 2, "num_io_res_blocks": 2, "io_block_channels": [16], **_FLOW, **_ATTENTION},
    ),
    "slat_decoder_gs": ("SLatGaussianDecoder", {**_TRUNK, "representation_config": _GAUSSIANS}),
    "slat_decoder_mesh": (
        "SLatMeshDecoder",
        {**_TRUNK, "num_groups": 2, "representation_config": {"use_color": True}},
    ),
}
_SAMPLER = {
    "name": "FlowEulerGuidanceIntervalSampler",
    "args": {"sigma_min": 1e-5},
    "params": {"steps": 2, "cfg_strength": 5.0, "cfg_interval": [0.5, 1.0], "rescale_t": 3.0},
}


def write_tiny_trellis1(folder: Path, seed: int = 0) -> Path:
    """Fills `folder` and returns it."""
    generator = torch.Generator().manual_seed(seed)
    (folder / "ckpts").mkdir(parents=True)
    for key, (class_name, arguments) in NETWORKS.items():
        network = build_network(class_name, arguments)
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
        # Few voxels and a surface near their border: noise everywhere would take minutes to simplify and unwrap.
        if class_name == "SparseStructureDecoder":
            network.out_layer[2].bias.data.fill_(-2.7)
        if class_name == "SLatMeshDecoder":
            network.out_layer.weight.data *= 0.02
        save_weights(network, folder / f"ckpts/{key}.safetensors", keymap=published_keymap(class_name))
        (folder / f"ckpts/{key}.json").write_text(json.dumps({"name": class_name, "args": arguments}))
    sizes = {"image_size": 56, "width": 32, "depth": 1, "num_heads": 2}
    save_weights(Dinov2(Dinov2Config(**sizes)), folder / "encoder.safetensors")
    (folder / "encoder.json").write_text(json.dumps({"name": "Dinov2", "args": sizes}))
    pipeline = {
        "models": {key: f"ckpts/{key}" for key in NETWORKS},
        "sparse_structure_sampler": _SAMPLER,
        "slat_sampler": _SAMPLER,
        "slat_normalization": {"mean": [0.0] * 8, "std": [1.0] * 8},
        "image_cond_model": "encoder",
    }
    (folder / "pipeline.json").write_text(json.dumps({"name": "TrellisImageTo3DPipeline", "args": pipeline}))
    return folder
