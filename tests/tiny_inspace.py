"""An InSpace folder in the published layout, with tiny networks of random weights: every real class, quick to run.

The base networks are those of a tiny TRELLIS.2 folder (`tiny_trellis2`).
"""

import json
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn

from scenewright.backbones.trellis2.config import FlowConfig
from scenewright.backbones.trellis2.published import build_network
from scenewright.backbones.trellis2.structure_flow import StructureFlow
from scenewright.systems.inspace.box_network import BoxNetwork, BoxNetworkConfig
from scenewright.systems.inspace.detail_flow import DetailFlow
from scenewright.systems.inspace.pretrained import InSpaceSizes
from scenewright.systems.inspace.weights import FOLDERS
from scenewright.weights.load import load_weights
from tests.support.saved_weights import save_weights
from tests.tiny_trellis2 import ENCODER_SIZES, LATENT_CHANNELS, NETWORKS, write_tiny_trellis2

_FLOW = FlowConfig(
    resolution=16,
    in_channels=8,
    model_channels=24,
    cond_channels=ENCODER_SIZES.width,
    out_channels=8,
    num_blocks=1,
    num_heads=2,
    mlp_ratio=2.0,
    pe_mode="rope",
    share_mod=True,
    initialization="scaled",
    qk_rms_norm=True,
    qk_rms_norm_cross=True,
)
_SHAPE = replace(_FLOW, resolution=32, in_channels=LATENT_CHANNELS, out_channels=LATENT_CHANNELS, pe_mode="ape")
SIZES = InSpaceSizes(
    structure_flow=_FLOW,
    shape_flow=_SHAPE,
    texture_flow=replace(_SHAPE, in_channels=2 * LATENT_CHANNELS),
    box_network=BoxNetworkConfig(base_channels=1),
)


def tiny_networks(seed: int = 0) -> dict[str, nn.Module]:
    """The four networks by name."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        networks: dict[str, nn.Module] = {
            "structure_flow": StructureFlow(SIZES.structure_flow),
            "shape_flow": DetailFlow(SIZES.shape_flow),
            "texture_flow": DetailFlow(SIZES.texture_flow),
            "box_network": BoxNetwork(SIZES.box_network),
        }
    return networks


def write_tiny_inspace(folder: Path, seed: int = 0, *, step: int = 2500, prefix: str = "ckpts") -> Path:
    """Fills `folder` and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "inspace.json").write_text(json.dumps(asdict(SIZES)))
    encoder = {"in_channels": 1, "latent_channels": 8, "channels": [4, 8, 16], "num_res_blocks": 1}
    encoder["num_res_blocks_middle"] = 1
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        save_weights(build_network("SparseStructureEncoder", encoder), folder / "structure_encoder.safetensors")
    (folder / "structure_encoder.json").write_text(json.dumps({"name": "SparseStructureEncoder", "args": encoder}))
    for name, network in tiny_networks(seed).items():
        checkpoints = folder / prefix / FOLDERS[name] / "ckpts"
        checkpoints.mkdir(parents=True, exist_ok=True)
        stem = "bbox_centerpoint" if name == "box_network" else "denoiser"
        torch.save(network.state_dict(), checkpoints / f"{stem}_ema0.9999_step{step:07d}.pt")
    return folder


def write_tiny_base(folder: Path, seed: int = 0) -> Path:
    """A tiny TRELLIS.2 folder whose structure decoder fills about one cell in two hundred; returns it."""
    write_tiny_trellis2(folder, seed)
    class_name, arguments = NETWORKS["sparse_structure_decoder"]
    path = folder / "ckpts/sparse_structure_decoder.safetensors"
    decoder = load_weights(lambda: build_network(class_name, arguments), path)
    with torch.no_grad():
        logits = decoder(torch.randn(1, 8, 16, 16, 16, generator=torch.Generator().manual_seed(seed)))
        decoder.out_layer[-1].bias -= logits.flatten().kthvalue(int(0.995 * logits.numel())).values
    save_weights(decoder, path)
    return folder
