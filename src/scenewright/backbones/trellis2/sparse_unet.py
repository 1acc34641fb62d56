"""The sparse autoencoder that shape and texture share: 16-fold down and up over voxel sets that shrink and grow.

An encoder returns which children each coarse voxel had; a decoder follows such a pyramid where it is given one
(training, texturing a known mesh, a texture decoder behind a shape decoder), else it predicts its own.
Source: microsoft/TRELLIS.2 trellis2/models/sc_vaes/sparse_unet_vae.py.

Legend: N input voxels, M latent voxels, C channels, Cz latent channels.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from scenewright.backbones.trellis2.config import SparseUNetConfig
from scenewright.backbones.trellis2.unet_blocks import (
    ConvNeXtBlock,
    DownBlock,
    NearestDownBlock,
    NearestUpBlock,
    UpBlock,
)
from scenewright.errors import EmptyStructureError
from scenewright.nn.precision import torso_dtype
from scenewright.sparse.subdivision import Subdivision, children_where, grouped_by_parent
from scenewright.sparse.tensor import SparseTensor

__all__ = ["Decoded", "Posterior", "Pyramid", "SparseUNetDecoder", "SparseUNetEncoder"]

Pyramid = tuple[Subdivision, ...]
"""The subdivisions from the latent's voxels to the finest, coarse to fine."""

_DOWN_BLOCKS = {"channel": DownBlock, "nearest": NearestDownBlock}
_UP_BLOCKS = {"channel": UpBlock, "nearest": NearestUpBlock}


@dataclass(frozen=True)
class Posterior:
    """An encoder's output for voxels; pipelines and datasets use the mean as the latent."""

    mean: SparseTensor
    log_variance: Float[Tensor, "M Cz"]
    pyramid: Pyramid

    def sample(self, generator: torch.Generator | None = None) -> SparseTensor:
        """mean + exp(log_variance / 2) * noise, the latent of training."""
        noise = torch.randn(self.mean.feats.shape, generator=generator, dtype=self.mean.feats.dtype)
        return self.mean.replace(self.mean.feats + (0.5 * self.log_variance).exp() * noise.to(self.mean.feats.device))


@dataclass(frozen=True)
class Decoded:
    """Output features on the finest voxels, the pyramid that led there, and the logits predicted at each step."""

    voxels: SparseTensor
    pyramid: Pyramid
    subdivision_logits: tuple[Float[Tensor, "_ 8"], ...]


class SparseUNetEncoder(nn.Module):
    """Voxel features to a latent at a 2^(levels - 1) times coarser resolution."""

    def __init__(self, config: SparseUNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.model_channels
        self.input_layer = nn.Linear(config.io_channels, widths[0])
        self.blocks = nn.ModuleList()
        for level, width in enumerate(widths):
            blocks = _convolutions(config, level)
            if level + 1 < len(widths):
                blocks.append(_DOWN_BLOCKS[config.resample[level]](width, widths[level + 1]))
            self.blocks.append(nn.ModuleList(blocks))
        self.to_latent = nn.Linear(widths[-1], 2 * config.latent_channels)

    @property
    def torso(self) -> tuple[nn.Module, ...]:
        return (self.blocks,)

    def initialize_weights(self) -> None:
        """Published starting point of training."""
        _initialize(self)

    def forward(self, x: SparseTensor) -> Posterior:
        h = x.replace(self.input_layer(x.feats).to(torso_dtype(self.torso)))
        visited = []
        for level in self.blocks:
            visited.append(h.voxels)
            for block in level.children():
                h = block(h)
        # The last norm has no parameters and eps 1e-5, unlike the blocks' 1e-6.
        latent = self.to_latent(F.layer_norm(h.feats.to(x.feats.dtype), h.feats.shape[1:]))
        mean, log_variance = latent.chunk(2, 1)
        pyramid = tuple(grouped_by_parent(finer) for finer in reversed(visited[:-1]))
        return Posterior(h.replace(mean), log_variance, pyramid)


class SparseUNetDecoder(nn.Module):
    """A latent to voxel features at a 2^(levels - 1) times finer resolution."""

    def __init__(self, config: SparseUNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.model_channels
        self.from_latent = nn.Linear(config.latent_channels, widths[0])
        self.blocks = nn.ModuleList()
        for level, width in enumerate(widths):
            blocks = _convolutions(config, level)
            if level + 1 < len(widths):
                up_block = _UP_BLOCKS[config.resample[level]]
                blocks.append(up_block(width, widths[level + 1], config.predicts_subdivision))
            self.blocks.append(nn.ModuleList(blocks))
        self.output_layer = nn.Linear(widths[-1], config.io_channels)

    @property
    def torso(self) -> tuple[nn.Module, ...]:
        return (self.blocks,)

    @property
    def num_steps(self) -> int:
        """Number of doublings of the resolution."""
        return len(self.blocks) - 1

    def initialize_weights(self) -> None:
        """Published starting point of training."""
        _initialize(self)

    def forward(self, z: SparseTensor, pyramid: Pyramid | None = None) -> Decoded:
        """Features on the finest voxels.

        Args:
            z: denormalised latent.
            pyramid: which voxels to decode to; predicted where None. Its finest rows may come in any order.

        Raises:
            EmptyStructureError: the prediction keeps no child of any voxel.
        """
        h = self._enter(z)
        steps: list[Subdivision] = []
        logits: list[Tensor] = []
        for index in range(self.num_steps):
            convolutions, up_block = self._level(index)
            for block in convolutions:
                h = block(h)
            if pyramid is None or up_block.to_subdiv is not None:
                logits.append(up_block.predict(h))
            steps.append(_kept(h, logits[-1]) if pyramid is None else pyramid[index])
            h = up_block(h, steps[-1])
        for block in self.blocks[-1].children():
            h = block(h)
        # The last norm has no parameters and eps 1e-5, unlike the blocks' 1e-6.
        out = self.output_layer(F.layer_norm(h.feats.to(z.feats.dtype), h.feats.shape[1:]))
        return Decoded(h.replace(out), tuple(steps), tuple(logits))

    @torch.no_grad()
    def upsampled_coords(self, z: SparseTensor, num_steps: int) -> Int[Tensor, "N 4"]:
        """Coordinates after `num_steps` predicted doublings of the latent's grid; cheaper than decoding.

        Raises:
            EmptyStructureError: the prediction keeps no child of any voxel.
        """
        h = self._enter(z)
        for index in range(num_steps):
            convolutions, up_block = self._level(index)
            for block in convolutions:
                h = block(h)
            division = _kept(h, up_block.predict(h))
            if index + 1 == num_steps:
                return division.fine.coords
            h = up_block(h, division)
        return z.coords

    def _level(self, index: int) -> tuple[list[nn.Module], UpBlock | NearestUpBlock]:
        """Convolution blocks of a level, and the block that leaves it."""
        *convolutions, up_block = self.blocks[index].children()
        assert isinstance(up_block, (UpBlock, NearestUpBlock)), up_block
        return convolutions, up_block

    def _enter(self, z: SparseTensor) -> SparseTensor:
        return z.replace(self.from_latent(z.feats).to(torso_dtype(self.torso)))


def _convolutions(config: SparseUNetConfig, level: int) -> list[nn.Module]:
    width, mlp_ratio = config.model_channels[level], config.mlp_ratios[level]
    return [ConvNeXtBlock(width, mlp_ratio) for _ in range(config.num_blocks[level])]


def _kept(h: SparseTensor, logits: Float[Tensor, "_ 8"]) -> Subdivision:
    division = children_where(h.voxels, logits > 0)
    if not len(division.fine):
        raise EmptyStructureError(
            f"The decoder kept none of the children of {len(h.feats)} voxels, so there is no surface; try another seed."
        )
    return division


def _initialize(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        if isinstance(module, (DownBlock, NearestDownBlock, NearestUpBlock, UpBlock)):
            nn.init.zeros_(module.conv2.weight)
            nn.init.zeros_(module.conv2.bias)
