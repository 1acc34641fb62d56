"""VGGT's aggregator: a DINOv2 patch embedding, then attention within each frame and over all frames in turn.

SceneGen conditions on its last output. Only the aggregator is here: the camera, depth, point and track heads of the
published checkpoint are not used. Keys are those of the published file without their `aggregator.` prefix.
Source: VGGT (Wang et al. 2025); Mengmouxu/SceneGen vggt/vggt/models/aggregator.py.

Legend: B sequences, S frames, T tokens of a frame = 1 camera + R registers + P patches, C channels, H heads.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from scenewright.encoders.dinov2 import Dinov2, Dinov2Config
from scenewright.encoders.normalisation import imagenet_normalized
from scenewright.encoders.vggt.rotary import rotary_tables, rotated

__all__ = ["VGGTAggregator", "VGGTConfig"]


@dataclass(frozen=True)
class VGGTConfig:
    """Sizes of the aggregator; the defaults are those of VGGT-1B (909,112,320 parameters)."""

    image_size: int = 518
    patch_size: int = 14
    width: int = 1024
    depth: int = 24
    num_heads: int = 16
    mlp_ratio: int = 4
    num_registers: int = 4
    rotary_frequency: float = 100.0
    layer_scale_init: float = 0.01
    patch_embed_depth: int = 24
    patch_embed_num_heads: int = 16
    patch_embed_num_registers: int = 4


class VGGTAggregator(nn.Module):
    """Alternating attention over frames; `forward` gives the tokens of chosen depths."""

    def __init__(self, config: VGGTConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or VGGTConfig()
        self.patch_embed = Dinov2(
            Dinov2Config(
                image_size=config.image_size,
                patch_size=config.patch_size,
                width=config.width,
                depth=config.patch_embed_depth,
                num_heads=config.patch_embed_num_heads,
                num_registers=config.patch_embed_num_registers,
                mlp_ratio=config.mlp_ratio,
            )
        )
        # Entry 0 along the second axis belongs to a sequence's first frame, entry 1 to all others.
        self.camera_token = nn.Parameter(torch.empty(1, 2, 1, config.width).normal_(std=1e-6))
        self.register_token = nn.Parameter(torch.empty(1, 2, config.num_registers, config.width).normal_(std=1e-6))
        self.frame_blocks = nn.ModuleList(_Block(config) for _ in range(config.depth))
        self.global_blocks = nn.ModuleList(_Block(config) for _ in range(config.depth))

    def forward(
        self, images: Float[Tensor, "B S 3 height width"], *, depths: Sequence[int] = (-1,)
    ) -> tuple[Float[Tensor, "B S T twice_C"], ...]:
        """Tokens after the frame block (first C channels) and the global block (last C channels) of each depth.

        Args:
            images: frames in [0, 1]; sides are multiples of the patch size. The first frame is the reference.
            depths: which of the `config.depth` pairs of blocks to return; negative counts from the end.
        """
        batch, frames = images.shape[:2]
        patches = self.patch_embed.normed_patch_tokens(imagenet_normalized(images).flatten(0, 1))
        special = torch.cat([self.camera_token, self.register_token], dim=2)
        of_frame = torch.tensor([0] + [1] * (frames - 1), device=images.device)
        special = special[:, of_frame].expand(batch, -1, -1, -1).flatten(0, 1)
        tokens = torch.cat([special, patches], dim=1)

        positions = self._positions(images).expand(batch * frames, -1, -1)
        head_dim = self.config.width // self.config.num_heads
        local = rotary_tables(positions, head_dim, frequency=self.config.rotary_frequency)
        # Positions repeat from frame to frame: the global blocks tell frames apart by content only.
        everywhere = rotary_tables(
            positions.unflatten(0, (batch, frames)).flatten(1, 2), head_dim, frequency=self.config.rotary_frequency
        )
        wanted = {depth % self.config.depth for depth in depths}
        outputs: dict[int, Tensor] = {}
        for depth, (frame_block, global_block) in enumerate(zip(self.frame_blocks, self.global_blocks, strict=True)):
            within = frame_block(tokens, *local)
            across = global_block(within.unflatten(0, (batch, frames)).flatten(1, 2), *everywhere)
            tokens = across.unflatten(1, (frames, -1)).flatten(0, 1)
            if depth in wanted:
                outputs[depth] = torch.cat([within, tokens], dim=-1).unflatten(0, (batch, frames))
            if depth == max(wanted):
                break
        return tuple(outputs[depth % self.config.depth] for depth in depths)

    def _positions(self, images: Tensor) -> Int[Tensor, "1 T 2"]:
        """(row + 1, column + 1) of every patch; the special tokens sit at (0, 0)."""
        rows, columns = (side // self.config.patch_size for side in images.shape[-2:])
        grid = torch.cartesian_prod(
            torch.arange(1, rows + 1, device=images.device), torch.arange(1, columns + 1, device=images.device)
        )
        return F.pad(grid, (0, 0, 1 + self.config.num_registers, 0))[None]


class _Block(nn.Module):
    """Pre-norm transformer block with layer scale, normed queries and keys, and rotary positions."""

    def __init__(self, config: VGGTConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=1e-5)
        self.attn = _Attention(config)
        self.ls1 = _LayerScale(config)
        self.norm2 = nn.LayerNorm(config.width, eps=1e-5)
        self.mlp = _MLP(config)
        self.ls2 = _LayerScale(config)

    def forward(self, x: Float[Tensor, "B T C"], cos: Tensor, sin: Tensor) -> Float[Tensor, "B T C"]:
        x = x + self.ls1(self.attn(self.norm1(x), cos, sin))
        return x + self.ls2(self.mlp(self.norm2(x)))


class _Attention(nn.Module):
    def __init__(self, config: VGGTConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.q_norm = nn.LayerNorm(config.width // config.num_heads, eps=1e-5)
        self.k_norm = nn.LayerNorm(config.width // config.num_heads, eps=1e-5)
        self.proj = nn.Linear(config.width, config.width)

    def forward(self, x: Float[Tensor, "B T C"], cos: Tensor, sin: Tensor) -> Float[Tensor, "B T C"]:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = rotated(self.q_norm(q), cos, sin), rotated(self.k_norm(k), cos, sin)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class _MLP(nn.Module):
    def __init__(self, config: VGGTConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.width, config.mlp_ratio * config.width)
        self.fc2 = nn.Linear(config.mlp_ratio * config.width, config.width)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        return self.fc2(F.gelu(self.fc1(x)))


class _LayerScale(nn.Module):
    def __init__(self, config: VGGTConfig) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((config.width,), config.layer_scale_init))

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        return x * self.gamma
