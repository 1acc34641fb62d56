"""Training tasks of TRELLIS.2's sparse autoencoders: dual grids of shapes, and materials of voxels.

Loss terms on voxels as published (trellis2 sheet sections 14.3 and 14.4). The published trainers add terms on renders
of the decoded mesh (all shape stages, the 512 texture stage); those need a differentiable renderer and are not here, so
the voxel terms carry the training alone.

Legend: N voxels of all samples, M latent tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scenewright.backbones.trellis2.config import SHAPE_DECODER, SHAPE_ENCODER, TEXTURE_DECODER, SparseUNetConfig
from scenewright.backbones.trellis2.shape_vae import ShapeDecoder, ShapeEncoder, shape_features
from scenewright.backbones.trellis2.sparse_unet import Posterior
from scenewright.backbones.trellis2.texture_vae import TextureDecoder, TextureEncoder, texture_features
from scenewright.sparse.tensor import SparseTensor, VoxelSet

__all__ = ["ShapeVAETask", "ShapeVAETaskConfig", "TextureVAETask", "TextureVAETaskConfig"]


@dataclass(frozen=True)
class ShapeVAETaskConfig:
    """Both halves and the published weights of the loss terms."""

    encoder: SparseUNetConfig = SHAPE_ENCODER
    decoder: SparseUNetConfig = SHAPE_DECODER
    flag_weight: float = 0.1
    vertex_weight: float = 0.01
    subdivision_weight: float = 0.1
    kl_weight: float = 1e-6


@dataclass(frozen=True)
class TextureVAETaskConfig:
    """Both halves and the published weight of the KL term."""

    encoder: SparseUNetConfig = SHAPE_ENCODER
    decoder: SparseUNetConfig = TEXTURE_DECODER
    kl_weight: float = 1e-6


class ShapeVAETask:
    """Flexible dual grids: batches hold `coords` `[N, 4]`, `dual_vertices` and `intersected` `[N, 3]`."""

    def __init__(self, config: ShapeVAETaskConfig) -> None:
        self.config = config
        encoder, decoder = ShapeEncoder(config.encoder), ShapeDecoder(config.decoder)
        encoder.initialize_weights()
        decoder.initialize_weights()
        self.network = nn.ModuleDict({"encoder": encoder, "decoder": decoder})

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        config, decoder = self.config, self.network["decoder"]
        assert isinstance(decoder, ShapeDecoder)
        vertices, flags = batch["dual_vertices"].float(), batch["intersected"].bool()
        posterior: Posterior = self.network["encoder"](shape_features(VoxelSet(batch["coords"]), vertices, flags))
        decoded = decoder(sampled(posterior), posterior.pyramid)
        fields = decoder.fields(decoded)
        flag = F.binary_cross_entropy_with_logits(fields.intersected_logits.float(), flags.float())
        vertex = F.mse_loss(fields.dual_vertices.float(), vertices)
        pairs = zip(decoded.subdivision_logits, posterior.pyramid, strict=True)
        subdivision = torch.stack(
            [F.binary_cross_entropy_with_logits(logits.float(), step.occupancy.float()) for logits, step in pairs]
        ).sum()
        kl = divergence(posterior)
        loss = (
            config.flag_weight * flag
            + config.vertex_weight * vertex
            + config.subdivision_weight * subdivision
            + config.kl_weight * kl
        )
        right = ((fields.intersected_logits > 0) == flags).float().mean()
        return {
            "loss": loss,
            "flags": flag,
            "vertices": vertex,
            "subdivision": subdivision,
            "kl": kl,
            "flag_accuracy": right,
        }


class TextureVAETask:
    """Materials of voxels; batches hold `coords` `[N, 4]` and `materials` `[N, 6]` in [0, 1]."""

    def __init__(self, config: TextureVAETaskConfig) -> None:
        self.config = config
        encoder, decoder = TextureEncoder(config.encoder), TextureDecoder(config.decoder)
        encoder.initialize_weights()
        decoder.initialize_weights()
        self.network = nn.ModuleDict({"encoder": encoder, "decoder": decoder})

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        features = texture_features(VoxelSet(batch["coords"]), batch["materials"].float())
        posterior: Posterior = self.network["encoder"](features)
        decoded = self.network["decoder"](sampled(posterior), posterior.pyramid)
        reconstruction = F.l1_loss(decoded.voxels.feats.float(), features.feats)
        kl = divergence(posterior)
        return {"loss": reconstruction + self.config.kl_weight * kl, "reconstruction": reconstruction, "kl": kl}


def sampled(posterior: Posterior) -> SparseTensor:
    """A latent drawn from the posterior on its own device."""
    mean = posterior.mean.feats.float()
    return posterior.mean.replace(mean + (0.5 * posterior.log_variance.float()).exp() * torch.randn_like(mean))


def divergence(posterior: Posterior) -> Tensor:
    """Mean KL to the unit normal: 0.5 (mean^2 + variance - log variance - 1)."""
    mean, log_variance = posterior.mean.feats.float(), posterior.log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).mean()
