"""The windowed transformer under the latent encoder and the three decoders of TRELLIS v1.

Source: microsoft/TRELLIS trellis/models/structured_latent_vae/base.py.

Legend: N voxels, C channels.
"""

from torch import nn

from scenewright.backbones.trellis1.config import SLatTrunkConfig
from scenewright.nn.blocks import TransformerBlock
from scenewright.nn.embed import absolute_position_embedding
from scenewright.nn.precision import torso_dtype
from scenewright.sparse.attention import Sequences, window_sequences
from scenewright.sparse.tensor import SparseTensor

__all__ = ["SLatTrunk"]


class SLatTrunk(nn.Module):
    """Input layer, absolute positions, and blocks whose windows shift by half a window on every other block."""

    def __init__(self, config: SLatTrunkConfig) -> None:
        super().__init__()
        self.trunk_config = config
        self.input_layer = nn.Linear(config.in_channels, config.model_channels)
        self.blocks = nn.ModuleList(
            TransformerBlock(config.model_channels, config.num_heads, config.mlp_ratio, qk_rms_norm=config.qk_rms_norm)
            for _ in range(config.num_blocks)
        )

    @property
    def torso(self) -> tuple[nn.Module, ...]:
        return (self.blocks,)

    def trunk(self, x: SparseTensor) -> SparseTensor:
        """Features after the last block, in the torso's dtype."""
        config = self.trunk_config
        h = self.input_layer(x.feats)
        h = (h + absolute_position_embedding(x.coords[:, 1:], h.shape[1])).to(torso_dtype(self.torso))
        for index, block in enumerate(self.blocks):
            shift = config.window_size // 2 * (index % 2)
            tokens = (
                window_sequences(x.voxels, config.window_size, shift)
                if config.is_windowed
                else Sequences(x.voxels.lengths)
            )
            h = block(h, tokens)
        return x.replace(h)
