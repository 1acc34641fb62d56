"""SceneGen's position head: from each asset's position token to its pose relative to the query asset.

A few passes of a small transformer refine the pose; each pass starts from the token again and is modulated by the pose
found so far. Every asset is read alone, so a sequence has one token and attention reduces to its value projection.
Source: SceneGen (3DV 2026), position head; the paper concatenates the assets' tokens, the published weights do not.

Legend: N assets, C channels. A pose is (tx, ty, tz, qw, qx, qy, qz, s): translation in units of the query's longest
side, quaternion neither normalised nor of fixed sign, ratio of longest sides; in the query's y-up frame.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.nn.attention import SelfAttention
from scenewright.nn.blocks import NORM_EPS
from scenewright.nn.mlp import FeedForward
from scenewright.nn.modulation import adaln_projection, gated_add, modulate
from scenewright.nn.norm import LayerNorm32
from scenewright.nn.precision import torso_dtype
from scenewright.sparse.attention import Sequences
from scenewright.systems.scenegen.config import SceneFlowConfig

__all__ = ["IDENTITY_POSE", "LoneTokenBlock", "PositionHead", "with_query_at_identity"]

IDENTITY_POSE = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


class LoneTokenBlock(nn.Module):
    """TRELLIS's modulated self-attention block for sequences of one token."""

    def __init__(self, channels: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = LayerNorm32(channels, eps=NORM_EPS, elementwise_affine=False)
        self.norm2 = LayerNorm32(channels, eps=NORM_EPS, elementwise_affine=False)
        self.attn = SelfAttention(channels, num_heads, qk_rms_norm=True)
        self.mlp = FeedForward(channels, mlp_ratio)
        self.adaLN_modulation = adaln_projection(channels)

    def attend(self, x: Float[Tensor, "N C"]) -> Float[Tensor, "N C"]:
        """The output of the attention: the softmax over a single key is 1, so queries and keys have no influence."""
        width = x.shape[1]
        return self.attn.to_out(F.linear(x, self.attn.to_qkv.weight[2 * width :], self.attn.to_qkv.bias[2 * width :]))

    def forward(self, x: Float[Tensor, "N C"], mod: Float[Tensor, "N C"]) -> Float[Tensor, "N C"]:
        tokens = Sequences.uniform(len(x), 1)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.adaLN_modulation(mod).chunk(6, 1)
        x = gated_add(x, gate_a, self.attend(modulate(self.norm1(x), shift_a, scale_a, tokens)), tokens)
        return gated_add(x, gate_m, self.mlp(modulate(self.norm2(x), shift_m, scale_m, tokens)), tokens)


class PositionHead(nn.Module):
    """Poses of all assets from their position tokens."""

    def __init__(self, config: SceneFlowConfig) -> None:
        super().__init__()
        width = config.model_channels
        self.num_iteration = config.num_iteration
        self.trunk = nn.ModuleList(
            [LoneTokenBlock(width, config.num_heads, config.mlp_ratio) for _ in range(config.trunk_depth)]
        )
        self.empty_pose_tokens = nn.Parameter(torch.tensor([IDENTITY_POSE]))
        self.embed_pose = nn.Linear(8, width)
        self.pose_branch = nn.Sequential(nn.Linear(width, width // 2), nn.GELU(), nn.Linear(width // 2, 8))

    def initialize_weights(self) -> None:
        """Published starting point of training; the empty pose starts as the identity."""
        for linear in (module for module in self.modules() if isinstance(module, nn.Linear)):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.normal_(linear.bias, std=0.01)

    def refinements(self, tokens: Float[Tensor, "N C"]) -> list[Float[Tensor, "N 8"]]:
        """The addition of each pass to the pose, before activation."""
        # Published: cast to fp16 always. The trunk's own dtype instead: fp32 works, and so do devices without fp16.
        dtype = torso_dtype(self.trunk)
        start = F.layer_norm(tokens.float(), tokens.shape[1:], eps=NORM_EPS).to(dtype)
        pose, deltas = self.empty_pose_tokens.expand(len(tokens), -1), list[Tensor]()
        for _ in range(self.num_iteration):
            mod, h = self.embed_pose(pose).to(dtype), start
            for block in self.trunk:
                h = block(h, mod)
            delta = self.pose_branch(F.layer_norm(h.float(), h.shape[1:], eps=NORM_EPS))
            pose = pose + delta if deltas else delta
            deltas.append(delta)
        return deltas

    def forward(self, tokens: Float[Tensor, "N C"]) -> Float[Tensor, "N 8"]:
        """Poses; row 0, the query's, is whatever the network says (`with_query_at_identity` fixes it)."""
        pose = torch.stack(self.refinements(tokens)).sum(0)
        return torch.cat([pose[:, :7], pose[:, 7:].relu()], 1)


def with_query_at_identity(poses: Float[Tensor, "N 8"]) -> Float[Tensor, "N 8"]:
    """Poses with the first replaced by the identity: the query asset is the frame all others are told in."""
    return torch.cat([poses.new_tensor([IDENTITY_POSE]), poses[1:]])
