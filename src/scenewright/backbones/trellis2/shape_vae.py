"""Shape autoencoder: flexible dual grids to and from latent tokens at a 16 times coarser grid.

Source: microsoft/TRELLIS.2 trellis2/models/sc_vaes/fdg_vae.py.

Legend: N voxels of the dual grid, M latent tokens.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from scenewright.backbones.trellis2.sparse_unet import Decoded, SparseUNetDecoder, SparseUNetEncoder
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.types import DualGrid

__all__ = ["ShapeDecoder", "ShapeEncoder", "ShapeFields", "shape_features"]


@dataclass(frozen=True)
class ShapeFields:
    """A decoder's output for every voxel: its vertex (offset in voxels), its edges, and its weight on diagonals."""

    voxels: VoxelSet
    dual_vertices: Float[Tensor, "N 3"]
    intersected_logits: Float[Tensor, "N 3"]
    split_weight: Float[Tensor, " N"]

    def dual_grids(self, resolution: int, intersected: Bool[Tensor, "N 3"] | None = None) -> list[DualGrid]:
        """One grid per batch item; an edge is crossed where its logit is positive, or where `intersected` says so."""
        crossed = self.intersected_logits > 0 if intersected is None else intersected
        lengths = list(self.voxels.lengths)
        columns = (self.voxels.coords[:, 1:], self.dual_vertices, crossed, self.split_weight)
        return [
            DualGrid(coords, dual, flags, resolution, weight)
            for coords, dual, flags, weight in zip(*(column.split(lengths) for column in columns), strict=True)
        ]


class ShapeEncoder(SparseUNetEncoder):
    """Encoder of `shape_features`."""


class ShapeDecoder(SparseUNetDecoder):
    """Decoder to seven channels: vertex, edge logits, split weight."""

    def fields(self, decoded: Decoded) -> ShapeFields:
        """The channels as quantities; vertices may leave their voxel by `voxel_margin` on each side."""
        vertex, flags, weight = decoded.voxels.feats.split((3, 3, 1), 1)
        margin = self.config.voxel_margin
        dual = (1 + 2 * margin) * vertex.sigmoid() - margin
        return ShapeFields(decoded.voxels.voxels, dual, flags, F.softplus(weight).squeeze(1))


def shape_features(
    voxels: VoxelSet, dual_vertices: Float[Tensor, "N 3"], intersected: Bool[Tensor, "N 3"]
) -> SparseTensor:
    """The encoder's input: dual vertices (offsets in voxels) and edge flags, both shifted to lie around zero."""
    return SparseTensor(torch.cat([dual_vertices - 0.5, intersected.to(dual_vertices.dtype) - 0.5], 1), voxels)
