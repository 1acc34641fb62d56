"""Latent encoder: averaged image features on voxels to the structured latent.

Source: microsoft/TRELLIS trellis/models/structured_latent_vae/encoder.py.

Legend: N voxels, C latent channels.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.backbones.trellis1.config import SLatTrunkConfig
from scenewright.backbones.trellis1.slat_trunk import SLatTrunk
from scenewright.sparse.tensor import SparseTensor

__all__ = ["SLatEncoder"]


class SLatEncoder(SLatTrunk):
    """Voxel features to the mean and log-variance of their latent."""

    def __init__(self, config: SLatTrunkConfig, latent_channels: int = 8) -> None:
        super().__init__(config)
        self.out_layer = nn.Linear(config.model_channels, 2 * latent_channels)

    def forward(self, x: SparseTensor) -> tuple[Float[Tensor, "N C"], Float[Tensor, "N C"]]:
        """Mean and log-variance per voxel; datasets store the mean."""
        h = self.trunk(x).feats.to(x.feats.dtype)
        mean, log_variance = self.out_layer(F.layer_norm(h, h.shape[1:])).chunk(2, 1)
        return mean, log_variance
