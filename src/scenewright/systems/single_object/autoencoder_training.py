"""Training tasks of TRELLIS.2's sparse autoencoders: dual grids of shapes, and materials of voxels.

Loss terms on voxels as published (TRELLIS.2, arXiv 2512.14692; microsoft/TRELLIS.2 trellis2/trainers). The published
trainers add terms on renders of the decoded mesh (all shape stages, the 512 texture stage); those need a differentiable
renderer and are not here, so the voxel terms carry the training alone.

Where the published starting point fails: with few channels and steps, an object's colour is unreadable in the latent at
first (blocks of random weights hear the geometry only, and the channel resampling weighs a token by how many voxels it
has), so a decoder learns a constant and stays there. `start = "clear"` with "nearest" resampling lets it through.

Legend: N voxels of all samples, M latent tokens.
"""

from dataclasses import dataclass
from typing import Literal, TypedDict

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from scenewright.backbones.trellis2.config import SHAPE_DECODER, SHAPE_ENCODER, TEXTURE_DECODER, SparseUNetConfig
from scenewright.backbones.trellis2.shape_vae import ShapeDecoder, ShapeEncoder, shape_features
from scenewright.backbones.trellis2.sparse_unet import Posterior, SparseUNetDecoder, SparseUNetEncoder
from scenewright.backbones.trellis2.texture_vae import TextureDecoder, TextureEncoder, texture_features
from scenewright.backbones.trellis2.unet_blocks import ConvNeXtBlock
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.training.task import Task

__all__ = [
    "DualGridBatch",
    "MaterialBatch",
    "ShapeVAETask",
    "ShapeVAETaskConfig",
    "TextureVAETask",
    "TextureVAETaskConfig",
    "initialize",
    "voxel_pictures",
]

# Start "clear": share of the published weights that end a convolution block, and the latent's log variance.
_QUIET = 0.1
_LOG_VARIANCE = -6.0

Start = Literal["published", "clear"]


@dataclass(frozen=True)
class ShapeVAETaskConfig:
    """Both halves, the published weights of the loss terms, and the starting point (see `initialize`)."""

    encoder: SparseUNetConfig = SHAPE_ENCODER
    decoder: SparseUNetConfig = SHAPE_DECODER
    flag_weight: float = 0.1
    vertex_weight: float = 0.01
    subdivision_weight: float = 0.1
    kl_weight: float = 1e-6
    start: Start = "published"


@dataclass(frozen=True)
class TextureVAETaskConfig:
    """Both halves, the published weight of the KL term, and the starting point (see `initialize`)."""

    encoder: SparseUNetConfig = SHAPE_ENCODER
    decoder: SparseUNetConfig = TEXTURE_DECODER
    kl_weight: float = 1e-6
    start: Start = "published"


class DualGridBatch(TypedDict):
    """Voxels of several models, `coords` (model, x, y, z), with their dual grids (docs/conventions.md#grid)."""

    coords: Int[Tensor, "N 4"]
    dual_vertices: Float[Tensor, "N 3"]
    intersected: Bool[Tensor, "N 3"]


class MaterialBatch(TypedDict):
    """Voxels of several models, `coords` (model, x, y, z), with their materials in [0, 1]."""

    coords: Int[Tensor, "N 4"]
    materials: Float[Tensor, "N 6"]


class ShapeVAETask(Task[DualGridBatch]):
    """Flexible dual grids through the shape autoencoder."""

    network: nn.ModuleDict

    def __init__(self, config: ShapeVAETaskConfig) -> None:
        self.config = config
        encoder, decoder = ShapeEncoder(config.encoder), ShapeDecoder(config.decoder)
        initialize(encoder, decoder, config.start)
        self.network = nn.ModuleDict({"encoder": encoder, "decoder": decoder})

    def loss(self, batch: DualGridBatch) -> dict[str, Tensor]:
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

    def sheet(self, batch: DualGridBatch) -> Tensor:
        """Which edges the surface crosses (x red, y green, z blue), truth and reconstruction, on the true voxels."""
        decoder = self.network["decoder"]
        assert isinstance(decoder, ShapeDecoder)
        flags, voxels = batch["intersected"].bool(), VoxelSet(batch["coords"])
        posterior = self.network["encoder"](shape_features(voxels, batch["dual_vertices"].float(), flags))
        fields = decoder.fields(decoder(posterior.mean, posterior.pyramid))
        told = fields.intersected_logits > 0
        return voxel_pictures(voxels, [0.25 + 0.75 * colors.float() for colors in (flags, told)])


class TextureVAETask(Task[MaterialBatch]):
    """Materials of voxels through the texture autoencoder."""

    network: nn.ModuleDict

    def __init__(self, config: TextureVAETaskConfig) -> None:
        self.config = config
        encoder, decoder = TextureEncoder(config.encoder), TextureDecoder(config.decoder)
        initialize(encoder, decoder, config.start)
        self.network = nn.ModuleDict({"encoder": encoder, "decoder": decoder})

    def loss(self, batch: MaterialBatch) -> dict[str, Tensor]:
        features = texture_features(VoxelSet(batch["coords"]), batch["materials"].float())
        posterior: Posterior = self.network["encoder"](features)
        decoded = self.network["decoder"](sampled(posterior), posterior.pyramid)
        reconstruction = F.l1_loss(decoded.voxels.feats.float(), features.feats)
        kl = divergence(posterior)
        return {"loss": reconstruction + self.config.kl_weight * kl, "reconstruction": reconstruction, "kl": kl}

    def sheet(self, batch: MaterialBatch) -> Tensor:
        """Base colour, truth and reconstruction, on the true voxels."""
        decoder, voxels = self.network["decoder"], VoxelSet(batch["coords"])
        assert isinstance(decoder, TextureDecoder)
        posterior = self.network["encoder"](texture_features(voxels, batch["materials"].float()))
        told = decoder.materials(decoder(posterior.mean, posterior.pyramid))
        return voxel_pictures(voxels, [colors[:, :3].float() for colors in (batch["materials"], told)])


def voxel_pictures(voxels: VoxelSet, colors: list[Tensor]) -> Tensor:
    """Picture with a row per item; for every set of colours `[N, 3]` the nearest voxels seen from -y and from above."""
    coords = voxels.coords.long()
    side = int(coords[:, 1:].max()) + 1 if len(coords) else 1
    batch, x, y, z = coords.unbind(1)
    columns = []
    for values in colors:
        for across, up, depth in ((x, z, side - 1 - y), (x, y, z)):
            pixel = (batch * side + (side - 1 - up)) * side + across
            # Later rows overwrite earlier ones, so the nearest come last.
            order = depth.argsort(stable=True).cpu()
            picture = torch.ones(voxels.batch_size * side * side, 3)
            picture[pixel.cpu()[order]] = values.clamp(0, 1).cpu()[order]
            columns.append(F.pad(picture.view(-1, side, side, 3), (0, 0, 1, 1, 1, 1)).flatten(0, 1))
    return (torch.cat(columns, 1) * 255).byte()


def initialize(encoder: SparseUNetEncoder, decoder: SparseUNetDecoder, start: Start) -> None:
    """The published starting point; "clear" makes convolution blocks and the latent's noise small at first."""
    encoder.initialize_weights()
    decoder.initialize_weights()
    if start == "published":
        return
    with torch.no_grad():
        for module in (*encoder.modules(), *decoder.modules()):
            if isinstance(module, ConvNeXtBlock):
                last = module.mlp[-1]
                assert isinstance(last, nn.Linear), last
                last.weight.mul_(_QUIET)
        log_variance = slice(encoder.config.latent_channels, None)
        encoder.to_latent.weight[log_variance].zero_()
        encoder.to_latent.bias[log_variance].fill_(_LOG_VARIANCE)


def sampled(posterior: Posterior) -> SparseTensor:
    """A latent drawn from the posterior on its own device."""
    mean = posterior.mean.feats.float()
    return posterior.mean.replace(mean + (0.5 * posterior.log_variance.float()).exp() * torch.randn_like(mean))


def divergence(posterior: Posterior) -> Tensor:
    """Mean KL to the unit normal: 0.5 (mean^2 + variance - log variance - 1)."""
    mean, log_variance = posterior.mean.feats.float(), posterior.log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).mean()
