"""One feature per voxel from the patches that see it: order-independent, learned (GenRecon's multi-view aggregator).

A pair is one voxel seen by one view. Over the pairs of a voxel, with mean m and population variance s of their patch
tokens f_n:

    a_n = W4 relu(W2 relu(W0 [f_n | m | s]))     w = softmax_n(U2 relu(U0 [f_n | m | s]))     m + sum_n w_n a_n

A voxel that no view sees is exactly zero, which is also the negative condition. W0 and U0 are linear in the token and
in (m | s): they are applied once per token and once per voxel; W4 commutes with the weighted sum and is applied once
per voxel. One D x D layer per pair remains. Statistics are two-pass and at least fp32.
Source: GenRecon, `genrecon/modules/cond_3D/{aggregation_net,sparse_aggregation_net}.py`.

Legend: M tokens, S voxels, Q pairs, D channels, R grid resolution, f refinement factor.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from scenewright.nn.attention import SelfAttention
from scenewright.nn.embed import grid_coords
from scenewright.nn.rope import rotary_phases
from scenewright.sparse.attention import Sequences

__all__ = [
    "CAMERA_CHANNELS",
    "AggregatorConfig",
    "MultiViewAggregator",
    "Pairs",
    "TokenTerms",
    "finest_of_children",
    "seen_pairs",
]

CAMERA_CHANNELS = 5
_ATTENTION_HEADS = 4


@dataclass(frozen=True)
class AggregatorConfig:
    """Sizes of an aggregator; the published one is `AggregatorConfig(1024)`.

    Args:
        channels: of tokens and of the result.
        has_camera: pairs also bring the five numbers of `camera_embedding`.
        refines_by_convolution: three convolutions over the dense grid follow (unpublished).
        refines_by_attention: self-attention over the dense grid follows (unpublished).
    """

    channels: int
    has_camera: bool = False
    refines_by_convolution: bool = False
    refines_by_attention: bool = False


@dataclass(frozen=True)
class Pairs:
    """Voxels and the tokens they fall on, one row per voxel and view that sees it."""

    token: Int[Tensor, " Q"]
    voxel: Int[Tensor, " Q"]
    num_voxels: int
    camera: Float[Tensor, "Q 5"] | None = None


@dataclass(frozen=True)
class TokenTerms:
    """The tokens behind the first layers of both branches, which do not depend on the voxel."""

    feature: Float[Tensor, "M D"]
    weight: Float[Tensor, "M D"]


class MultiViewAggregator(nn.Module):
    """Parameters carry the published names; the last layer of each branch starts at zero, so the start is the mean."""

    def __init__(self, config: AggregatorConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        given = 3 * width + (CAMERA_CHANNELS if config.has_camera else 0)
        self.feature_mlp = nn.Sequential(
            nn.Linear(given, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)
        )
        self.weight_mlp = nn.Sequential(nn.Linear(given, width), nn.ReLU(), nn.Linear(width, 1))
        zeroed: list[nn.Module] = [self.feature_mlp[4]]
        if config.refines_by_convolution:
            layers = [nn.Conv3d(width, width, 3, padding=1) for _ in range(3)]
            self.ConvNet = nn.Sequential(layers[0], nn.SiLU(), layers[1], nn.SiLU(), layers[2])
            zeroed.append(layers[2])
        if config.refines_by_attention:
            self.self_attention = SelfAttention(width, _ATTENTION_HEADS, qk_rms_norm=True)
            self.output_layer = nn.Linear(width, width)
            zeroed.append(self.output_layer)
        for module in zeroed:
            for parameter in module.parameters():
                nn.init.zeros_(parameter)

    def token_terms(self, tokens: Float[Tensor, "M D"]) -> TokenTerms:
        """The part of the first layers that is linear in the token, to be made once for all voxels."""
        first_f, first_w = self.feature_mlp[0], self.weight_mlp[0]
        assert isinstance(first_f, nn.Linear)
        assert isinstance(first_w, nn.Linear)
        width, tokens = self.config.channels, tokens.to(first_f.weight.dtype)
        return TokenTerms(tokens @ first_f.weight[:, :width].T, tokens @ first_w.weight[:, :width].T)

    def forward(
        self, tokens: Float[Tensor, "M D"], pairs: Pairs, terms: TokenTerms | None = None
    ) -> Float[Tensor, "S D"]:
        """One row per voxel. Work per pair is one D x D product; memory about five rows of D per pair.

        Args:
            terms: `token_terms(tokens)`, where several calls share the tokens; else made of the tokens in use.
        """
        width = self.config.channels
        first_f, middle, last = (layer for layer in self.feature_mlp if isinstance(layer, nn.Linear))
        first_w, score = (layer for layer in self.weight_mlp if isinstance(layer, nn.Linear))
        token = pairs.token
        if terms is None:
            # Voxels next to each other share tokens: the first layers see each of the tokens in use once.
            used, token = token.unique(return_inverse=True)
            tokens = tokens[used]
            terms = self.token_terms(tokens)
        mean, variance, count = _statistics(tokens.to(first_f.weight.dtype), token, pairs)
        per_voxel = torch.cat([mean, variance], 1)

        def hidden(layer: nn.Linear, of_token: Float[Tensor, "M D"]) -> Float[Tensor, "Q D"]:
            of_voxel = F.linear(per_voxel, layer.weight[:, width : 3 * width], layer.bias)
            # In place: rows of pairs are the memory and the traffic of all this.
            summed = of_token[token].add_(of_voxel[pairs.voxel])
            if pairs.camera is not None:
                summed = summed + pairs.camera @ layer.weight[:, 3 * width :].T
            return summed.relu_()

        share = _softmax_per_voxel(score(hidden(first_w, terms.weight))[:, 0], pairs)
        votes = middle(hidden(first_f, terms.feature)).relu_() * share[:, None]
        summed = votes.new_zeros(pairs.num_voxels, width).index_add(0, pairs.voxel, votes)
        return (mean + last(summed)) * (count > 0)[:, None]

    def on_grid(
        self, rows: Float[Tensor, "B cells D"], resolution: int, refinement: int = 1
    ) -> Float[Tensor, "B RRR D"]:
        """Dense grids: sub-voxels averaged trilinearly to `resolution`, then the optional convolution and attention."""
        if self.config.refines_by_convolution:
            volume = rows.transpose(1, 2).unflatten(2, (resolution * refinement,) * 3)
            rows = rows + self.ConvNet(volume).flatten(2).transpose(1, 2)
        if refinement > 1:
            volume = rows.transpose(1, 2).unflatten(2, (resolution * refinement,) * 3)
            volume = F.interpolate(volume, size=(resolution,) * 3, mode="trilinear", align_corners=False)
            rows = volume.flatten(2).transpose(1, 2)
        if self.config.refines_by_attention:
            cells = grid_coords(resolution).to(rows.device).repeat(len(rows), 1)
            phases = rotary_phases(cells, self.config.channels // _ATTENTION_HEADS)
            attended = self.self_attention(rows.flatten(0, 1), Sequences.uniform(*rows.shape[:2]), phases)
            rows = rows + self.output_layer(attended).view_as(rows)
        return rows


def seen_pairs(
    patch: Int[Tensor, "*B N S"],
    seen: Bool[Tensor, "*B N S"],
    tokens_per_view: int,
    *,
    skipped: int = 0,
    camera: Float[Tensor, "*B N S 5"] | None = None,
) -> Pairs:
    """Pairs of all batch items together: tokens are numbered over (item, view, token), voxels over (item, voxel).

    Args:
        skipped: tokens in front of the patches of every view (class and register tokens).
    """
    items, views, voxels = seen.reshape(-1, *seen.shape[-2:]).shape
    item, view, voxel = seen.reshape(items, views, voxels).nonzero().unbind(1)
    row = (item * views + view) * tokens_per_view + skipped + patch.reshape(items, views, voxels)[item, view, voxel]
    chosen = None if camera is None else camera.reshape(items, views, voxels, -1)[item, view, voxel]
    return Pairs(row, item * voxels + voxel, items * voxels, chosen)


def finest_of_children(rows: Float[Tensor, "S_f3 D"], refinement: int) -> Float[Tensor, "S D"]:
    """The largest value of every channel over the f^3 consecutive children of each voxel (sparse refinement)."""
    return rows.unflatten(0, (-1, refinement**3)).amax(1)


def _statistics(tokens: Tensor, token: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and population variance of the tokens of every voxel (zero without any), and how many there are."""
    count = torch.bincount(pairs.voxel, minlength=pairs.num_voxels)
    divisor = count.clamp(min=1)[:, None]
    zeros = tokens.new_zeros(pairs.num_voxels, tokens.shape[1], dtype=torch.promote_types(tokens.dtype, torch.float32))
    values = tokens.to(zeros.dtype)[token]
    mean = zeros.index_add(0, pairs.voxel, values) / divisor
    variance = zeros.index_add(0, pairs.voxel, (values - mean[pairs.voxel]).square()) / divisor
    return mean.to(tokens.dtype), variance.to(tokens.dtype), count


def _softmax_per_voxel(logits: Float[Tensor, " Q"], pairs: Pairs) -> Float[Tensor, " Q"]:
    logits32 = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    largest = logits32.new_full((pairs.num_voxels,), -torch.inf)
    largest = largest.scatter_reduce(0, pairs.voxel, logits32.detach(), "amax")
    weight = (logits32 - largest[pairs.voxel]).exp()
    total = weight.new_zeros(pairs.num_voxels).index_add(0, pairs.voxel, weight)
    return (weight / total[pairs.voxel]).to(logits.dtype)
