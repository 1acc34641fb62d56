"""The condition of SceneGen's flow, split into what each asset has of its own and what the scene shares.

The published layout repeats the scene's tokens (whole picture, VGGT) for every asset. Attention does not see the order
of its keys, so they are kept once here, projected to keys and values once, and joined to each asset's own only where
the attention reads them. Source: SceneGen (3DV 2026), visual and geometric feature extraction.

Legend: N assets, C channels, To own tokens of an asset, Ts shared tokens, H heads, D width of a head.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.nn.attention import ContextKeyValues, CrossContext
from scenewright.nn.blocks import BlockContext
from scenewright.nn.flow_context import FlowContext
from scenewright.sparse.attention import Sequences

__all__ = ["SceneBlockContext", "SceneCondition", "SceneContext", "SceneKeyValues", "scene_condition"]


@dataclass(frozen=True)
class SceneCondition:
    """Condition tokens of all assets of a scene.

    `own` begins with the asset's cut-out, the only tokens its own cross-attention reads; `shared` (None where all
    tokens are the assets' own) is read by the scene cross-attention of every asset.
    """

    own: Float[Tensor, "N To C"]
    shared: Float[Tensor, "Ts C"] | None = None

    @property
    def num_assets(self) -> int:
        return len(self.own)


@dataclass(frozen=True)
class SceneKeyValues:
    """Keys and values of the scene cross-attention: each asset's own, then the shared ones (a `CrossContext`)."""

    own: ContextKeyValues
    shared: ContextKeyValues | None = None

    def attend(self, q: Float[Tensor, "T H D"], tokens: Sequences) -> Float[Tensor, "T H D"]:
        if self.shared is None:
            return self.own.attend(q, tokens)
        count = len(self.own.sequences.lengths)

        def joined(own: Tensor, common: Tensor) -> Tensor:
            return torch.cat([own.unflatten(0, (count, -1)), common.expand(count, -1, -1, -1)], 1)

        keys, values = joined(self.own.keys, self.shared.keys), joined(self.own.values, self.shared.values)
        sequences = Sequences.uniform(*keys.shape[:2])
        return ContextKeyValues(keys.flatten(0, 1), values.flatten(0, 1), sequences).attend(q, tokens)


@dataclass(frozen=True)
class SceneBlockContext(BlockContext):
    """The condition of a scene block: `cross` is the asset's cut-out.

    Attributes:
        scene: what the scene cross-attention reads; None is the all-zero condition.
        scene_sizes: assets of each scene, one scene after another.
    """

    scene: CrossContext | None = None
    scene_sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class SceneContext(FlowContext):
    """A `SceneBlockContext` per block, and the assets of each scene, the query of each first."""

    scene_sizes: tuple[int, ...]


def scene_condition(
    asset_tokens: Float[Tensor, "N Ta C"],
    mask_tokens: Float[Tensor, "N Tm C"] | None = None,
    scene_tokens: Float[Tensor, "1 Ts C"] | None = None,
    vggt_tokens: Float[Tensor, "1 Tv twice_C"] | None = None,
) -> SceneCondition:
    """`SceneCondition` of the encoders' tokens; a run given as None is left out."""
    own = asset_tokens if mask_tokens is None else torch.cat([asset_tokens, mask_tokens], 1)
    shared = [] if scene_tokens is None else [scene_tokens[0]]
    if vggt_tokens is not None:
        shared.extend(vggt_tokens[0].chunk(2, dim=-1))
    return SceneCondition(own, torch.cat(shared) if shared else None)
