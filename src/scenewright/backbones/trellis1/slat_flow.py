"""Flow transformer on the structured latent: features on the active voxels of the structure.

Residual sparse convolutions carry the voxels to half resolution and back around the transformer.
Source: microsoft/TRELLIS trellis/models/structured_latent_flow.py.

Legend: N voxels, B batch items, L condition tokens, C channels.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.backbones.trellis1.config import SLatFlowConfig
from scenewright.backbones.trellis1.structure_flow import flow_block
from scenewright.nn.activations import activated
from scenewright.nn.embed import TimestepEmbedder, absolute_position_embedding
from scenewright.nn.flow_context import FlowContext, apply_blocks, project_context
from scenewright.nn.init import initialize_flow_vanilla
from scenewright.nn.modulation import adaln_projection
from scenewright.nn.norm import LayerNorm32
from scenewright.nn.precision import torso_dtype
from scenewright.nn.sparse_conv import SparseConv3d
from scenewright.sparse.attention import Sequences
from scenewright.sparse.resample import downsample, upsample
from scenewright.sparse.tensor import SparseTensor, VoxelSet

__all__ = ["SLatFlow", "SLatResBlock"]


class SLatResBlock(nn.Module):
    """Modulated residual block of two sparse convolutions, optionally at twice the resolution of its input.

    The time embedding gives (scale, shift): the opposite order of the transformer blocks.
    """

    def __init__(self, in_channels: int, time_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm32(in_channels, eps=1e-6)
        self.norm2 = LayerNorm32(out_channels, eps=1e-6, elementwise_affine=False)
        self.conv1 = SparseConv3d(in_channels, out_channels)
        self.conv2 = SparseConv3d(out_channels, out_channels)
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time_channels, 2 * out_channels))
        self.skip_connection = nn.Linear(in_channels, out_channels) if in_channels != out_channels else nn.Identity()
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: SparseTensor, time: Float[Tensor, "B Ct"], fine: VoxelSet | None = None) -> SparseTensor:
        """The block's output on `fine`, of which the voxels of `x` are the halves, or on the voxels of `x`."""
        skip = x.replace(self.skip_connection(x.feats))
        h = x.replace(activated(self.norm1(x.feats), F.silu))
        if fine is not None:
            # After what treats rows alone, which are an eighth to a quarter as many before.
            skip, h = upsample(skip, fine), upsample(h, fine)
        scale, shift = self.emb_layers(time)[h.voxels.batch_index].chunk(2, 1)
        h = self.conv1(h)
        h = h.replace(activated(torch.addcmul(shift, self.norm2(h.feats), 1 + scale), F.silu))
        return h.replace(self.conv2(h).feats + skip.feats)


class SLatFlow(nn.Module):
    """Velocity of the structured latent at flow time t, given condition tokens."""

    def __init__(self, config: SLatFlowConfig) -> None:
        super().__init__()
        if config.share_mod and config.io_channels:
            raise ValueError("A shared modulation cannot feed the convolution blocks; use io_channels=() with it.")
        self.config = config
        width, io = config.model_channels, config.io_channels
        self.t_embedder = TimestepEmbedder(width)
        self.adaLN_modulation = adaln_projection(width) if config.share_mod else None
        self.input_layer = nn.Linear(config.in_channels, io[0] if io else width)
        self.input_blocks, self.out_blocks = nn.ModuleList(), nn.ModuleList()
        # Which blocks halve the grid (before their convolutions), and which double it.
        self._halves: list[bool] = []
        self._doubles: list[bool] = []
        for level, channels in enumerate(io):
            wider = io[level + 1] if level + 1 < len(io) else width
            for _ in range(config.num_io_res_blocks - 1):
                self.input_blocks.append(SLatResBlock(channels, width, channels))
            self.input_blocks.append(SLatResBlock(channels, width, wider))
            self._halves += [False] * (config.num_io_res_blocks - 1) + [True]
        skip = 2 if config.use_skip_connection else 1
        for level in reversed(range(len(io))):
            wider = io[level + 1] if level + 1 < len(io) else width
            self.out_blocks.append(SLatResBlock(skip * wider, width, io[level]))
            for _ in range(config.num_io_res_blocks - 1):
                self.out_blocks.append(SLatResBlock(skip * io[level], width, io[level]))
            self._doubles += [True] + [False] * (config.num_io_res_blocks - 1)
        self.blocks = nn.ModuleList(flow_block(config) for _ in range(config.num_blocks))
        self.out_layer = nn.Linear(io[0] if io else width, config.out_channels)

    @property
    def torso(self) -> tuple[nn.Module, ...]:
        return (self.input_blocks, self.blocks, self.out_blocks)

    def initialize_weights(self) -> None:
        """Published starting point of training; the velocity is zero."""
        zeroed: list[nn.Module] = [self.out_layer]
        zeroed += [module[1] for name, module in self.named_modules() if name.endswith("adaLN_modulation")]
        initialize_flow_vanilla(self, self.t_embedder, zeroed)

    def project_context(self, cond: Float[Tensor, "B L Ccond"]) -> FlowContext:
        """Keys and values of the condition in every block; they do not depend on the latent or the time."""
        return project_context(self.blocks, cond)

    def forward(
        self,
        x: SparseTensor,
        t: Float[Tensor, " B"],
        cond: Float[Tensor, "B L Ccond"] | FlowContext | None,
    ) -> SparseTensor:
        """Velocity at (x, t) on the voxels of `x`; arguments as in `StructureFlow.forward`."""
        context = self.project_context(cond) if isinstance(cond, Tensor) else cond
        dtype = torso_dtype(self.torso)
        time = self.t_embedder(t)
        mod = (time if self.adaLN_modulation is None else self.adaLN_modulation(time)).to(dtype)

        h = x.replace(self.input_layer(x.feats).to(dtype))
        skips: list[Tensor] = []
        finer: list[VoxelSet] = []
        for block, halves in zip(self.input_blocks, self._halves, strict=True):
            if halves:
                finer.append(h.voxels)
                # The mean that the published weights were trained with counts one zero too many.
                h = downsample(h, count_offset=1)
            h = block(h, time.to(dtype))
            skips.append(h.feats)

        h = h.replace(h.feats + absolute_position_embedding(h.coords[:, 1:], h.feats.shape[1]).to(dtype))
        h = h.replace(apply_blocks(self.blocks, h.feats, mod, context, Sequences(h.voxels.lengths)))

        for block, doubles in zip(self.out_blocks, self._doubles, strict=True):
            if self.config.use_skip_connection:
                h = h.replace(torch.cat([h.feats, skips.pop()], 1))
            h = block(h, time.to(dtype), finer.pop() if doubles else None)
        # Normalised in the torso's dtype and cast afterwards, as published (the structure flow casts first).
        return h.replace(self.out_layer(F.layer_norm(h.feats, h.feats.shape[1:]).to(x.feats.dtype)))
