"""Decoders of the structured latent: to Gaussians, to a radiance field, and to the features that become a mesh.

Source: microsoft/TRELLIS trellis/models/structured_latent_vae/ (decoder_gs.py, decoder_rf.py, decoder_mesh.py).

Legend: N voxels, G Gaussians per voxel, C channels.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.backbones.trellis1.config import GaussianConfig, SLatTrunkConfig
from scenewright.backbones.trellis1.slat_trunk import SLatTrunk
from scenewright.geometry.camera.cameras import hammersley
from scenewright.nn.norm import SparseGroupNorm32
from scenewright.nn.precision import torso_dtype
from scenewright.nn.sparse_conv import SparseConv3d
from scenewright.sparse.attention import Sequences
from scenewright.sparse.resample import subdivide
from scenewright.sparse.tensor import SparseTensor
from scenewright.types import Gaussians

__all__ = [
    "RadianceField",
    "RawGaussians",
    "SLatGaussianDecoder",
    "SLatMeshDecoder",
    "SLatRadianceFieldDecoder",
    "SubdivideBlock",
    "activate_gaussians",
]


@dataclass(frozen=True)
class RawGaussians:
    """Gaussian parameters before activation, voxel-major; `positions` in the unit cube [0, 1]^3."""

    positions: Float[Tensor, "n 3"]
    features_dc: Float[Tensor, "n 1 3"]
    scaling: Float[Tensor, "n 3"]
    rotation: Float[Tensor, "n 4"]
    opacity: Float[Tensor, "n 1"]


def activate_gaussians(raw: RawGaussians, config: GaussianConfig) -> Gaussians:
    """Gaussians in the object frame: centred on the origin, biases added, 3D smoothing filter applied to the scales."""
    if config.scaling_activation == "softplus":
        bias = config.scaling_bias + math.log(-math.expm1(-config.scaling_bias))
        scales = F.softplus(raw.scaling + bias)
    elif config.scaling_activation == "exp":
        scales = torch.exp(raw.scaling + math.log(config.scaling_bias))
    else:
        raise ValueError(f"The scaling activation is softplus or exp, got '{config.scaling_activation}'.")
    rotation = raw.rotation + torch.tensor([1.0, 0, 0, 0], device=raw.rotation.device)
    opacity_bias = math.log(config.opacity_bias / (1 - config.opacity_bias))
    return Gaussians(
        means=raw.positions - 0.5,
        scales=(scales.square() + config.kernel_size_3d**2).sqrt(),
        quaternions_wxyz=F.normalize(rotation, dim=1),
        opacities=(raw.opacity[:, 0] + opacity_bias).sigmoid(),
        sh=raw.features_dc,
    )


class SLatGaussianDecoder(SLatTrunk):
    """Structured latent to G Gaussians per voxel."""

    def __init__(self, config: SLatTrunkConfig, gaussians: GaussianConfig) -> None:
        super().__init__(config)
        self.gaussian_config = gaussians
        self.out_layer = nn.Linear(config.model_channels, 14 * gaussians.num_gaussians)
        # Published checkpoints hold it even where `perturb_offset` says not to use it.
        self.register_buffer("offset_perturbation", _offset_perturbation(gaussians))

    def raw(self, x: SparseTensor) -> SparseTensor:
        """The 14 G numbers per voxel: position 3G, colour 3G, scaling 3G, rotation 4G, opacity G."""
        h = self.trunk(x).feats.to(x.feats.dtype)
        return x.replace(self.out_layer(F.layer_norm(h, h.shape[1:])))

    def split(self, raw: SparseTensor, item: int) -> RawGaussians:
        """Parameters of one batch item before activation."""
        config, rates = self.gaussian_config, self.gaussian_config.learning_rates
        coords, feats = raw.item(item)
        count, resolution = config.num_gaussians, self.trunk_config.resolution
        xyz, dc, scaling, rotation, opacity = feats.split([count * width for width in (3, 3, 3, 4, 1)], 1)
        offset = xyz.unflatten(1, (count, 3)) * rates["_xyz"]
        if config.perturb_offset:
            offset = offset + self.offset_perturbation
        offset = torch.tanh(offset) / resolution * 0.5 * config.voxel_size
        base = (coords.to(feats.dtype) + 0.5) / resolution
        return RawGaussians(
            positions=(base[:, None] + offset).flatten(0, 1),
            features_dc=dc.reshape(-1, 1, 3) * rates["_features_dc"],
            scaling=scaling.reshape(-1, 3) * rates["_scaling"],
            rotation=rotation.reshape(-1, 4) * rates["_rotation"],
            opacity=opacity.reshape(-1, 1) * rates["_opacity"],
        )

    def forward(self, x: SparseTensor) -> list[Gaussians]:
        """Gaussians of every batch item, in the object frame [-0.5, 0.5]^3."""
        raw = self.raw(x)
        return [activate_gaussians(self.split(raw, item), self.gaussian_config) for item in range(x.batch_size)]


def _offset_perturbation(config: GaussianConfig) -> Float[Tensor, "G 3"]:
    """Pre-activation offsets that spread the Gaussians of a voxel over a Hammersley set at the start of training."""
    points = 2 * hammersley(config.num_gaussians, 3).float() - 1
    return torch.atanh(points / config.voxel_size)


@dataclass(frozen=True)
class RadianceField:
    """Per-voxel rank-R tensor factors: `trivec` `[N, R, 3, D]`, one density and one colour per rank.

    How ranks combine to a picture is defined by the published octree renderer, which is not part of this library.
    """

    positions: Float[Tensor, "N 3"]
    trivec: Float[Tensor, "N R 3 D"]
    density: Float[Tensor, "N R"]
    features_dc: Float[Tensor, "N R 1 3"]


class SLatRadianceFieldDecoder(SLatTrunk):
    """Structured latent to a radiance field of rank-`rank` factors of length `dim` per voxel."""

    def __init__(self, config: SLatTrunkConfig, rank: int = 16, dim: int = 8) -> None:
        super().__init__(config)
        self.rank, self.dim = rank, dim
        self.out_layer = nn.Linear(config.model_channels, rank * (3 * dim + 4))

    def raw(self, x: SparseTensor) -> SparseTensor:
        h = self.trunk(x).feats.to(x.feats.dtype)
        return x.replace(self.out_layer(F.layer_norm(h, h.shape[1:])))

    def split(self, raw: SparseTensor, item: int) -> RadianceField:
        """The field of one batch item."""
        coords, feats = raw.item(item)
        trivec, density, colour = feats.split([self.rank * 3 * self.dim, self.rank, 3 * self.rank], 1)
        return RadianceField(
            positions=(coords.to(feats.dtype) + 0.5) / self.trunk_config.resolution,
            trivec=trivec.unflatten(1, (self.rank, 3, self.dim)) + 1,
            density=density,
            features_dc=colour.unflatten(1, (self.rank, 1, 3)),
        )

    def forward(self, x: SparseTensor) -> list[RadianceField]:
        raw = self.raw(x)
        return [self.split(raw, item) for item in range(x.batch_size)]


class KernelOneConv(SparseConv3d):
    """The 1x1x1 sparse convolution as the published weights expect it.

    The backend they were trained with reads the `[out, 1, 1, 1, in]` memory as an (in, out) matrix, without
    transposing; the weights have learned round it (golden `sparse_conv3d_k1`).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=1)

    def forward(self, feats: Float[Tensor, "N Cin"]) -> Float[Tensor, "N Cout"]:  # type: ignore[override]
        return feats @ self.weight.reshape(feats.shape[1], -1) + self.bias


class SubdivideBlock(nn.Module):
    """Residual block that doubles the resolution; what acts per voxel runs before the eightfold copy."""

    def __init__(self, in_channels: int, out_channels: int, num_groups: int = 32) -> None:
        super().__init__()
        self.act_layers = nn.Sequential(SparseGroupNorm32(num_groups, in_channels), nn.SiLU())
        self.out_layers = nn.ModuleList(
            [
                SparseConv3d(in_channels, out_channels),
                SparseGroupNorm32(num_groups, out_channels),
                nn.SiLU(),
                SparseConv3d(out_channels, out_channels),
            ]
        )
        self.skip_connection = (
            KernelOneConv(in_channels, out_channels) if in_channels != out_channels else nn.Identity()
        )
        last = self.out_layers[3]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(self, x: SparseTensor) -> SparseTensor:
        norm_in, conv_in = self.act_layers[0], self.out_layers[0]
        norm_out, conv_out = self.out_layers[1], self.out_layers[3]
        h = subdivide(x.replace(F.silu(norm_in(x.feats, Sequences(x.voxels.lengths)))))
        skip = subdivide(x.replace(self.skip_connection(x.feats)))
        h = conv_in(h)
        h = conv_out(h.replace(F.silu(norm_out(h.feats, Sequences(h.voxels.lengths)))))
        return h.replace(h.feats + skip.feats)


class SLatMeshDecoder(SLatTrunk):
    """Structured latent to the per-voxel numbers of mesh extraction, on a four times finer grid.

    Channels per voxel: 8 corner distances, 24 corner offsets, 21 weights, and with colour 48 corner attributes
    (3 colour and 3 normal logits per corner). No norm precedes the last layer.
    """

    def __init__(self, config: SLatTrunkConfig, use_color: bool = True, num_groups: int = 32) -> None:
        super().__init__(config)
        width = config.model_channels
        self.upsample = nn.ModuleList(
            [
                SubdivideBlock(width, width // 4, num_groups),
                SubdivideBlock(width // 4, width // 8, num_groups),
            ]
        )
        self.out_layer = nn.Linear(width // 8, 101 if use_color else 53)

    @property
    def torso(self) -> tuple[nn.Module, ...]:
        return (self.blocks, self.upsample)

    def forward(self, x: SparseTensor) -> SparseTensor:
        h = self.trunk(x)
        h = h.replace(h.feats.to(torso_dtype(self.torso)))
        for block in self.upsample:
            h = block(h)
        return h.replace(self.out_layer(h.feats.to(x.feats.dtype)))
