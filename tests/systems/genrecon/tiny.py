"""GenRecon's networks at toy size, with random weights that are nowhere zero."""

from dataclasses import replace

import torch
from torch import nn

from scenewright.backbones.structure_vae import StructureDecoder, StructureVAEConfig
from scenewright.backbones.trellis2.config import FlowConfig, SparseUNetConfig
from scenewright.backbones.trellis2.shape_vae import ShapeDecoder
from scenewright.backbones.trellis2.texture_vae import TextureDecoder
from scenewright.systems.genrecon.flow import ProjectedLatentFlow, ProjectedStructureFlow
from scenewright.weights.record import LatentStatistics

FLOW = FlowConfig(
    resolution=4,
    in_channels=3,
    model_channels=24,
    cond_channels=10,
    out_channels=3,
    num_blocks=2,
    num_heads=2,
    mlp_ratio=2.0,
    pe_mode="rope",
    share_mod=True,
    initialization="scaled",
    qk_rms_norm=True,
    qk_rms_norm_cross=True,
)
LATENT = replace(FLOW, resolution=8, in_channels=4, out_channels=4)


def randomised(network: nn.Module, seed: int = 0, std: float = 0.2) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(std * torch.randn(parameter.shape, generator=generator))
    return network.eval().requires_grad_(False)


def structure_flow() -> ProjectedStructureFlow:
    return randomised(ProjectedStructureFlow(FLOW))  # type: ignore[return-value]


def latent_flow() -> ProjectedLatentFlow:
    return randomised(ProjectedLatentFlow(LATENT), 1)  # type: ignore[return-value]


class TinyNetworks:
    """All networks of a scene at toy size: 4 structure cells, 8 latent cells and 32 voxels along a chunk side."""

    latent_resolution = 8
    device = torch.device("cpu")
    shape_statistics = LatentStatistics((0.1,) * 4, (1.5,) * 4)
    texture_statistics = LatentStatistics((0.0,) * 4, (1.0,) * 4)

    def __init__(self) -> None:
        self.calls: list[str] = []

    def encoder(self) -> nn.Module:
        self.calls.append("encoder")
        return TinyEncoder()

    def structure_flow(self) -> ProjectedStructureFlow:
        self.calls.append("structure_flow")
        return structure_flow()

    def structure_decoder(self) -> StructureDecoder:
        config = StructureVAEConfig(latent_channels=3, channels=(8, 8), num_res_blocks=1, num_res_blocks_middle=1)
        return randomised(StructureDecoder(config), 2, 0.6)  # type: ignore[return-value]

    def shape_flow(self) -> ProjectedLatentFlow:
        self.calls.append("shape_flow")
        return latent_flow()

    def texture_flow(self) -> ProjectedLatentFlow:
        self.calls.append("texture_flow")
        return randomised(ProjectedLatentFlow(replace(LATENT, in_channels=8)), 3)  # type: ignore[return-value]

    def shape_decoder(self) -> ShapeDecoder:
        return randomised(ShapeDecoder(UNET), 4, 0.5)  # type: ignore[return-value]

    def texture_decoder(self) -> TextureDecoder:
        config = replace(UNET, io_channels=6, predicts_subdivision=False)
        return randomised(TextureDecoder(config), 5, 0.3)  # type: ignore[return-value]

    def weights_sha256(self) -> dict[str, str]:
        return {"tiny": "0"}


class TinyEncoder(nn.Module):
    """Means of 4 x 4 patches behind five constant tokens, ten channels."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        patches = nn.functional.adaptive_avg_pool2d(images, 4).flatten(2).transpose(1, 2)
        tokens = torch.cat([patches.new_full((len(images), 5, 3), 0.5), patches], 1)
        return torch.cat([tokens, tokens.square(), tokens, tokens[..., :1]], -1)


UNET = SparseUNetConfig(
    model_channels=(16, 8, 8),
    latent_channels=4,
    num_blocks=(1, 1, 0),
    io_channels=7,
    resample=("channel", "channel"),
    mlp_ratios=(2.0, 2.0, 2.0),
)
