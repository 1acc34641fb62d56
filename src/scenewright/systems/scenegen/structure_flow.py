"""SceneGen's structure flow: the structures of all assets of a scene and their poses, in one pass.

TRELLIS v1's flow on the dense structure latent with one batch item per asset; position and register tokens precede
the latent tokens of each asset, the query asset (the first) having its own. Nothing else tells assets apart.
Source: SceneGen (3DV 2026), feature aggregation; the published `SparseStructureFlowModel` of hub haoningwu/SceneGen.

Training may put several scenes into one batch, one after another; nothing passes between them.

Legend: N assets of one scene (or of all scenes of a batch), R latent resolution, S special tokens, C channels.
"""

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.backbones.trellis1.structure_flow import StructureFlow
from scenewright.nn.flow_context import FlowContext, OnDemand
from scenewright.systems.scenegen.block import SceneBlock
from scenewright.systems.scenegen.condition import SceneBlockContext, SceneCondition, SceneContext
from scenewright.systems.scenegen.config import SceneFlowConfig
from scenewright.systems.scenegen.position_head import PositionHead

__all__ = ["SceneStructureFlow"]


class SceneStructureFlow(StructureFlow):
    """Velocity of every asset's structure latent, and every asset's pose; the batch is one scene."""

    config: SceneFlowConfig

    def __init__(self, config: SceneFlowConfig) -> None:
        super().__init__(config, [SceneBlock(config) for _ in range(config.num_blocks)])
        width = config.model_channels
        self.position_token = nn.Parameter(torch.randn(2, 1, width))
        self.register_token = nn.Parameter(torch.randn(2, config.num_register_tokens, width))
        self.position_head = PositionHead(config)

    @property
    def torso(self) -> tuple[nn.Module, ...]:
        return (self.blocks, self.position_head.trunk)

    def project_scene(
        self, condition: SceneCondition, scene_sizes: Sequence[int] | None = None, *, keep_keys: bool = True
    ) -> SceneContext:
        """The condition of every block; it does not depend on the latents or the time.

        Args:
            scene_sizes: assets of each scene, the query of each first; None: all are of one scene. Several scenes need
                a condition without shared tokens.
            keep_keys: project the condition now and keep its keys and values (at the published size 0.4 GB for the
                scene and 0.4 GB per asset in fp16); False projects it whenever a block's turn comes.
        """
        sizes = (condition.num_assets,) if scene_sizes is None else tuple(scene_sizes)
        makers = [partial(cast(SceneBlock, block).project, condition, sizes) for block in self.blocks]
        return SceneContext([make() for make in makers] if keep_keys else OnDemand(makers), sizes)

    def initialize_weights(self) -> None:
        """Published starting point of training: TRELLIS's, whose weights then replace it, and the scene parts' own.

        The scene parts do not start at zero: they disturb TRELLIS's velocities from the first step on.
        """
        super().initialize_weights()
        nn.init.normal_(self.position_token)
        nn.init.normal_(self.register_token)
        for block in self.blocks:
            cast(SceneBlock, block).initialize_scene_parts()
        self.position_head.initialize_weights()

    def special_tokens(self, scene_sizes: Sequence[int]) -> Float[Tensor, "N S C"]:
        """Position and register tokens: kind 0 for the query asset of each scene, kind 1 for all others."""
        tokens = torch.cat([self.position_token, self.register_token], 1)
        kinds = torch.ones(sum(scene_sizes), dtype=torch.long, device=tokens.device)
        kinds[[sum(scene_sizes[:scene]) for scene in range(len(scene_sizes))]] = 0
        return tokens[kinds]

    def embed_time(self, t: Float[Tensor, " B"]) -> Float[Tensor, "B Cmod"]:
        """The time embedding and, where the model shares one, its projection behind it."""
        embedding = self.t_embedder(t)
        if self.adaLN_modulation is None:
            return embedding
        return torch.cat([embedding, self.adaLN_modulation(embedding)], 1)

    def forward(
        self,
        x: Float[Tensor, "N Cin R R R"],
        t: Float[Tensor, " B"],
        cond: Float[Tensor, "N L Ccond"] | FlowContext | None,
    ) -> Float[Tensor, "N Cout R R R"]:
        """Velocity at (x, t) of `velocity_and_poses`; `cond` as tokens holds all tokens of each asset."""
        context = self.project_scene(SceneCondition(cond)) if isinstance(cond, Tensor) else cond
        if not isinstance(context, SceneContext | None):
            raise TypeError(f"A scene flow is conditioned on a SceneContext, got {type(context).__name__}.")
        return self.velocity_and_poses(x, t, context, with_poses=False)[0]

    def velocity_and_poses(
        self,
        x: Float[Tensor, "N Cin R R R"],
        t: Float[Tensor, " B"],
        context: SceneContext | None,
        *,
        with_poses: bool = True,
    ) -> tuple[Float[Tensor, "N Cout R R R"], Float[Tensor, "N 8"] | None]:
        """Velocity at (x, t), and the poses unless `with_poses` is False.

        Args:
            x: latents of all assets of a scene, the query first.
            t: 1000 times the flow time; one value for all assets or one each.
            context: `project_scene(condition)`, or None for the all-zero condition of one scene.
        """
        if context is None:
            sizes = (len(x),)
            context = SceneContext([SceneBlockContext(scene_sizes=sizes)] * len(self.blocks), sizes)
        tokens = torch.cat([self.special_tokens(context.scene_sizes), self.embed(x)], 1)
        h = self.transform(tokens, t, context)
        poses = self.position_head(h[:, 0]) if with_poses else None
        return self.unembed(h[:, self.config.num_special_tokens :]), poses
