"""Structure autoencoder: occupancy of a 64^3 grid to and from a latent of `[8, 16, 16, 16]`, by dense convolutions.

Both backbones use this one network and checkpoint. Source: TRELLIS (structured 3D latents), sparse structure VAE;
microsoft/TRELLIS trellis/models/sparse_structure_vae.py.

Legend: B batch, C latent channels, R occupancy resolution, r latent resolution.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from scenewright.errors import EmptyStructureError, InputError
from scenewright.nn.conv3d import Downsample3d, ResBlock3d, Upsample3d
from scenewright.nn.norm import ChannelLayerNorm32
from scenewright.nn.precision import torso_dtype
from scenewright.weights.config import config_from_json

__all__ = [
    "StructureDecoder",
    "StructureEncoder",
    "StructureVAEConfig",
    "decode_structure",
    "occupied_coords",
    "structure_vae_config",
    "structure_vae_losses",
]


@dataclass(frozen=True)
class StructureVAEConfig:
    """Occupancy 64^3 <-> latent `[8, 16, 16, 16]`; `channels` are the encoder's widths, fine to coarse.

    `norm_type` ("layer", or "group" of 32 groups) is that of the norm before the last layer; the residual blocks have
    layer norms whatever it says, as published.
    """

    latent_channels: int = 8
    occupancy_channels: int = 1
    channels: tuple[int, ...] = (32, 128, 512)
    num_res_blocks: int = 2
    num_res_blocks_middle: int = 2
    norm_type: str = "layer"


def structure_vae_config(arguments: Mapping[str, Any]) -> StructureVAEConfig:
    """Configuration from the published constructor arguments of an encoder (`in_channels`) or decoder (`out_channels`).

    The decoder lists its widths coarse to fine.

    Raises:
        InputError: an argument is unknown or of another type, or the norm is none of the two published ones.
    """
    if arguments.get("norm_type", "layer") not in ("layer", "group"):
        raise InputError(f"norm_type is layer or group, got '{arguments['norm_type']}'.")
    is_encoder = "in_channels" in arguments
    kept = {name: value for name, value in arguments.items() if name not in ("in_channels", "out_channels")}
    kept["channels"] = arguments["channels"][:: 1 if is_encoder else -1]
    kept["occupancy_channels"] = arguments["in_channels" if is_encoder else "out_channels"]
    return config_from_json(StructureVAEConfig, kept)


class StructureEncoder(nn.Module):
    """Occupancy to the mean and log-variance of its latent."""

    def __init__(self, config: StructureVAEConfig) -> None:
        super().__init__()
        widths = config.channels
        self.input_layer = nn.Conv3d(config.occupancy_channels, widths[0], 3, padding=1)
        blocks: list[nn.Module] = []
        for level, width in enumerate(widths):
            blocks += [ResBlock3d(width) for _ in range(config.num_res_blocks)]
            if level + 1 < len(widths):
                blocks.append(Downsample3d(width, widths[level + 1]))
        self.blocks = nn.ModuleList(blocks)
        self.middle_block = nn.Sequential(*[ResBlock3d(widths[-1]) for _ in range(config.num_res_blocks_middle)])
        self.out_layer = _output_head(config, widths[-1], 2 * config.latent_channels)

    @property
    def torso(self) -> tuple[nn.Module, ...]:
        return (self.blocks, self.middle_block)

    def forward(self, occupancy: Float[Tensor, "B 1 R R R"]) -> tuple[Float[Tensor, "B C r r r"], ...]:
        """Mean and log-variance; the mean is the latent that generators are trained on."""
        h = self.input_layer(occupancy)
        h = _run_torso(h, [*self.blocks, self.middle_block], torso_dtype(self.torso))
        mean, log_variance = self.out_layer(h).chunk(2, 1)
        return mean, log_variance


class StructureDecoder(nn.Module):
    """Latent to occupancy logits; a voxel is occupied where its logit is positive."""

    def __init__(self, config: StructureVAEConfig) -> None:
        super().__init__()
        widths = config.channels[::-1]
        self.input_layer = nn.Conv3d(config.latent_channels, widths[0], 3, padding=1)
        self.middle_block = nn.Sequential(*[ResBlock3d(widths[0]) for _ in range(config.num_res_blocks_middle)])
        blocks: list[nn.Module] = []
        for level, width in enumerate(widths):
            blocks += [ResBlock3d(width) for _ in range(config.num_res_blocks)]
            if level + 1 < len(widths):
                blocks.append(Upsample3d(width, widths[level + 1]))
        self.blocks = nn.ModuleList(blocks)
        self.out_layer = _output_head(config, widths[-1], config.occupancy_channels)

    @property
    def torso(self) -> tuple[nn.Module, ...]:
        return (self.middle_block, self.blocks)

    def forward(self, latent: Float[Tensor, "B C rx ry rz"]) -> Float[Tensor, "B 1 X Y Z"]:
        """Logits on a grid finer by one doubling per change of width; a latent of any box shape is decoded."""
        h = self.input_layer(latent)
        h = _run_torso(h, [self.middle_block, *self.blocks], torso_dtype(self.torso))
        return self.out_layer(h)


def occupied_coords(logits: Float[Tensor, "B 1 R R R"], resolution: int | None = None) -> Int[Tensor, "N 4"]:
    """Rows (batch, x, y, z) of the voxels with a positive logit, lexicographic, int32.

    Args:
        resolution: of a coarser grid whose cells are to be listed where they hold such a voxel; it divides R.
    """
    factor = 1 if resolution is None else logits.shape[-1] // resolution
    return (F.max_pool3d(logits, factor) if factor > 1 else logits)[:, 0].gt(0).nonzero().int()


@torch.no_grad()
def decode_structure(
    decoder: StructureDecoder, latent: Float[Tensor, "1 C r r r"], resolution: int | None = None
) -> Int[Tensor, "n 3"]:
    """Voxels (x, y, z) of one object, or occupied cells of a coarser grid; see `occupied_coords`.

    Raises:
        EmptyStructureError: no voxel is occupied, so that there is no object.
    """
    coords = occupied_coords(decoder(latent), resolution)[:, 1:]
    if not len(coords):
        raise EmptyStructureError(
            "The structure has no occupied voxel, so there is no object; try another seed, or check that the image "
            "shows the object on a clean background. If every picture gives this, the image features are wrong: the "
            "flow was trained with another image encoder, or its weights are not these (`scenewright doctor`)."
        )
    return coords


def _output_head(config: StructureVAEConfig, width: int, channels: int) -> nn.Sequential:
    norm = ChannelLayerNorm32(width) if config.norm_type == "layer" else nn.GroupNorm(32, width)
    return nn.Sequential(norm, nn.SiLU(), nn.Conv3d(width, channels, 3, padding=1))


def _run_torso(h: Tensor, modules: list[nn.Module], dtype: torch.dtype) -> Tensor:
    outer = h.dtype
    h = h.to(dtype)
    for module in modules:
        h = module(h)
    return h.to(outer)


def structure_vae_losses(
    logits: Float[Tensor, "B 1 R R R"],
    occupancy: Float[Tensor, "B 1 R R R"],
    mean: Float[Tensor, "B C r r r"],
    log_variance: Float[Tensor, "B C r r r"],
    *,
    reconstruction: str = "dice",
    kl_weight: float = 1e-3,
) -> dict[str, Float[Tensor, ""]]:
    """Reconstruction loss over the whole batch ("dice", "bce" or "l1"), KL to the unit normal, and their weighted sum.

    Source: microsoft/TRELLIS trellis/trainers/vae/sparse_structure_vae.py.
    """
    probability = logits.sigmoid()
    if reconstruction == "dice":
        overlap = (probability * occupancy).sum()
        rec = 1 - (2 * overlap + 1) / (probability.sum() + occupancy.sum() + 1)
    elif reconstruction == "bce":
        rec = F.binary_cross_entropy_with_logits(logits, occupancy)
    elif reconstruction == "l1":
        rec = F.l1_loss(probability, occupancy)
    else:
        raise ValueError(f"The reconstruction loss is one of dice, bce, l1; got '{reconstruction}'.")
    kl = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).mean()
    return {"reconstruction": rec, "kl": kl, "loss": rec + kl_weight * kl}
