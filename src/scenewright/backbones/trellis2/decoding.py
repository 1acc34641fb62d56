"""Latents to objects: the shape decoder grows the voxels, the texture decoder follows the same pyramid.

Rows are decoded in blocks (`unet_blocks`), exactly; memory is a few feature rows per voxel of the finest two levels
(figures: benchmarks/trellis2_decode_memory.py).
Source: microsoft/TRELLIS.2 trellis2/models/sc_vaes/fdg_vae.py and pipelines/trellis2_image_to_3d.py.

Legend: N voxels. Frame: [-0.5, 0.5]^3, z up.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.backbones.trellis2.shape_vae import ShapeDecoder
from scenewright.backbones.trellis2.sparse_unet import Pyramid
from scenewright.backbones.trellis2.texture_vae import TextureDecoder, material_attributes
from scenewright.errors import EmptyStructureError
from scenewright.geometry.ovoxel.dual_grid_mesh import dual_grid_to_mesh
from scenewright.sparse.tensor import SparseTensor
from scenewright.types import DualGrid, Mesh, SparseVoxels

__all__ = ["DecodedObject", "decode_materials", "decode_shape", "object_surface", "split_voxels"]


@dataclass(frozen=True)
class DecodedObject:
    """One decoded sample: its raw surface (not oriented) and the materials on the voxels around it."""

    surface: Mesh
    voxels: SparseVoxels


@torch.no_grad()
def decode_shape(decoder: ShapeDecoder, latent: SparseTensor, resolution: int) -> tuple[list[DualGrid], Pyramid]:
    """The dual grid of every sample, and the pyramid that a texture decoder has to follow.

    Args:
        latent: denormalised.
        resolution: of the voxels, 16 times that of the latent.

    Raises:
        EmptyStructureError: the decoder keeps no voxel.
    """
    decoded = decoder(latent)
    return decoder.fields(decoded).dual_grids(resolution), decoded.pyramid


@torch.no_grad()
def decode_materials(
    decoder: TextureDecoder, latent: SparseTensor, pyramid: Pyramid, resolution: int
) -> list[SparseVoxels]:
    """Base colour, metallic, roughness and opacity on the finest voxels of `pyramid`, per sample, not clamped.

    Args:
        pyramid: of the shape decoder, or of a shape encoder (then rows come in the order it was given).
    """
    decoded = decoder(latent, pyramid)
    return split_voxels(decoded.voxels.coords, decoder.materials(decoded), decoded.voxels.voxels.lengths, resolution)


def split_voxels(
    coords: Int[Tensor, "N 4"], materials: Float[Tensor, "N 6"], lengths: tuple[int, ...], resolution: int
) -> list[SparseVoxels]:
    """One `SparseVoxels` per sample."""
    rows = zip(coords[:, 1:].split(list(lengths)), materials.split(list(lengths)), strict=True)
    return [SparseVoxels(xyz, resolution, material_attributes(values)) for xyz, values in rows]


def object_surface(grid: DualGrid) -> Mesh:
    """The mesh of a decoded grid; faces are not oriented, and voxels without a face leave unused vertices.

    Raises:
        EmptyStructureError: no grid edge is crossed, so there is no surface.
    """
    mesh = dual_grid_to_mesh(grid)
    if not len(mesh.faces):
        raise EmptyStructureError(
            f"The shape decoder found no surface in {len(grid.coords)} voxels; try another seed, or check the picture."
        )
    return mesh
