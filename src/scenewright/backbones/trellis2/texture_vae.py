"""Texture autoencoder: materials of voxels to and from latent tokens at a 16 times coarser grid.

Channels: base colour 0:3 (sRGB encoded, as textures store it), metallic 3, roughness 4, opacity 5.
Source: microsoft/TRELLIS.2 trellis2/models/sc_vaes/sparse_unet_vae.py.

Legend: N voxels.
"""

from jaxtyping import Float
from torch import Tensor

from scenewright.backbones.trellis2.sparse_unet import Decoded, SparseUNetDecoder, SparseUNetEncoder
from scenewright.sparse.tensor import SparseTensor, VoxelSet

__all__ = ["MATERIAL_CHANNELS", "TextureDecoder", "TextureEncoder", "material_attributes", "texture_features"]

MATERIAL_CHANNELS = {"base_color": slice(0, 3), "metallic": slice(3, 4), "roughness": slice(4, 5), "alpha": slice(5, 6)}


class TextureEncoder(SparseUNetEncoder):
    """Encoder of `texture_features`."""


class TextureDecoder(SparseUNetDecoder):
    """Decoder to the six material channels; it follows the pyramid of the shape."""

    def materials(self, decoded: Decoded) -> Float[Tensor, "N 6"]:
        """Channels on the scale of 0 to 1. Values beyond are kept: textures are clamped when they are written."""
        return decoded.voxels.feats * 0.5 + 0.5


def texture_features(voxels: VoxelSet, materials: Float[Tensor, "N 6"]) -> SparseTensor:
    """The encoder's input: material channels in [0, 1] mapped to [-1, 1]."""
    return SparseTensor(materials * 2 - 1, voxels)


def material_attributes(materials: Float[Tensor, "N 6"]) -> dict[str, Float[Tensor, "N _"]]:
    """The channels by name, as `SparseVoxels.attributes` holds them."""
    return {name: materials[:, channels] for name, channels in MATERIAL_CHANNELS.items()}
