"""An I-Scene package in the published layout beside a tiny TRELLIS, with random weights: every real class, seconds."""

from pathlib import Path

import torch

from scenewright.backbones.trellis1.config import StructureFlowConfig
from scenewright.backbones.trellis1.published import build_network
from scenewright.systems.iscene.config import SceneContextConfig
from scenewright.systems.iscene.structure_flow import SceneContextFlow
from scenewright.weights.load import load_weights
from tests.support.iscene_published import write_package
from tests.support.saved_weights import save_weights
from tests.tiny_trellis1 import NETWORKS, write_tiny_trellis1

TINY_FLOW = StructureFlowConfig(
    resolution=4, model_channels=32, cond_channels=32, num_blocks=3, num_heads=2, mlp_ratio=2.0
)


def tiny_flow(config: SceneContextConfig | None = None, seed: int = 0) -> SceneContextFlow:
    """A small flow in which nothing is zero, so that every path through it matters."""
    generator = torch.Generator().manual_seed(seed)
    flow = SceneContextFlow(config or SceneContextConfig(TINY_FLOW, num_context_blocks=1))
    for parameter in flow.parameters():
        scale = 1.5 / parameter.shape[-1] ** 0.5 if parameter.ndim > 1 else 0.3
        parameter.data = scale * torch.randn(parameter.shape, generator=generator)
    return flow.eval().requires_grad_(False)


def write_tiny_iscene(folder: Path, *, with_canonical: bool = False, seed: int = 0) -> Path:
    """Fills `folder` and returns it; the base model is in its folder `base`."""
    base = write_tiny_trellis1(folder / "base", seed)
    decoder_file = base / "ckpts/sparse_structure_decoder.safetensors"
    decoder = load_weights(lambda: build_network(*NETWORKS["sparse_structure_decoder"]), decoder_file)
    # About a fiftieth of the voxels of random latents are occupied: no object comes out empty, and none takes seconds.
    logits = decoder(torch.randn(2, 8, 4, 4, 4, generator=torch.Generator().manual_seed(seed)))
    decoder.out_layer[-1].bias -= logits.flatten().quantile(0.98)
    save_weights(decoder, decoder_file)
    config = SceneContextConfig(TINY_FLOW, 1, with_canonical, has_gate=True, has_key_bias=True)
    return write_package(folder, tiny_flow(config, seed), base="base")
