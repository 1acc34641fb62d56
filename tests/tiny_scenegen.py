"""A SceneGen folder in the published layout: tiny networks of random weights, the tiny TRELLIS for decoding."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from scenewright.encoders.vggt import VGGTAggregator, VGGTConfig
from scenewright.systems.scenegen.config import SceneFlowConfig, scene_flow_config
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow
from tests.tiny_trellis1 import NETWORKS, write_tiny_trellis1

FLOW_STEM = "ckpts/ss_scenegen_flow"
# One picture of 56 pixels in patches of 14: class token, four registers, 16 patches.
TOKENS = 1 + 4 + 16
FLOW_ARGUMENTS = {
    **NETWORKS["sparse_structure_flow_model"][1],
    "num_blocks": 2,
    "local_context_tokens": TOKENS,
    "trunk_depth": 1,
    "num_iteration": 2,
    "use_global": True,
    "use_batch_encoder": False,
    "use_checkpoint": False,
}
_VGGT = {
    "image_size": 56,
    "width": 32,
    "depth": 1,
    "num_heads": 2,
    "patch_embed_depth": 1,
    "patch_embed_num_heads": 2,
}


def tiny_flow_config() -> SceneFlowConfig:
    return scene_flow_config(FLOW_ARGUMENTS)


def tiny_flow(seed: int = 0) -> SceneStructureFlow:
    """A network none of whose parameters is zero."""
    flow = SceneStructureFlow(tiny_flow_config()).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in flow.named_parameters():
        scale = 1.0 if "_token" in name else 0.12
        parameter.data = scale * torch.randn(parameter.shape, generator=generator)
    return flow


def write_tiny_scenegen(folder: Path, seed: int = 0, *, with_vggt: bool = True) -> Path:
    """Fills `folder` and returns it; the flow is a `.pt` state dict that mixes fp16 and fp32, as published."""
    write_tiny_trellis1(folder, seed)
    state = tiny_flow(seed).state_dict()
    mixed = {name: tensor.half() if name.startswith("blocks.0.self_attn") else tensor for name, tensor in state.items()}
    torch.save(mixed, folder / f"{FLOW_STEM}.pt")
    flow = {"name": "SparseStructureFlowModel", "args": FLOW_ARGUMENTS}
    (folder / f"{FLOW_STEM}.json").write_text(json.dumps(flow))

    pipeline = json.loads((folder / "pipeline.json").read_text())
    pipeline["name"] = "SceneGenImageToScenePipeline"
    pipeline["args"]["models"]["sparse_structure_flow_model"] = FLOW_STEM
    pipeline["args"]["sparse_structure_sampler"]["name"] = "FlowEulerGuidanceIntervalSamplerVGGT"
    if with_vggt:
        generator = torch.Generator().manual_seed(seed)
        vggt = VGGTAggregator(VGGTConfig(**_VGGT)).state_dict()
        tensors = {f"aggregator.{name}": 0.3 * torch.randn(x.shape, generator=generator) for name, x in vggt.items()}
        # The published file holds heads that are not read.
        save_file(tensors | {"camera_head.token_norm.weight": torch.zeros(1)}, folder / "vggt.safetensors")
        (folder / "vggt.json").write_text(json.dumps({"name": "VGGTAggregator", "args": _VGGT}))
        pipeline["args"]["vggt_model"] = "vggt"
    (folder / "pipeline.json").write_text(json.dumps(pipeline))
    return folder
