"""SceneGen's structure flow: the structures of all assets of a scene and their poses, in one pass.

TRELLIS v1's flow on the dense structure latent with one batch item per asset; position and register tokens precede
the latent tokens of each asset, the query asset (the first) having its own. Nothing else tells assets apart.
Source: scenegen sheet section 3.

Training may put several scenes into one batch, one after another; nothing passes between them.

Legend: N assets of one scene (or of all scenes of a batch), R latent resolution, S special tokens, C channels.
"""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.backbones.trellis1.structure_flow import StructureFlow
from scenewright.nn.precision import torso_dtype
from scenewright.sparse.attention import Sequences
from scenewright.systems.scenegen.block import SceneBlock
from scenewright.systems.scenegen.condition import SceneCondition, SceneContext
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

    def project_scene(self, condition: SceneCondition) -> SceneContext:
        """Keys and values of the condition in every block; they do not depend on the latent or the time.

        At the published size they take 0.4 GB for the scene and 0.4 GB per asset in fp16.
        """
        blocks = tuple(cast(SceneBlock, block).project(condition) for block in self.blocks)
        return SceneContext(blocks, condition.num_assets)

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

    def forward(  # type: ignore[override]
        self,
        x: Float[Tensor, "N Cin R R R"],
        t: Float[Tensor, " B"],
        context: SceneCondition | SceneContext | None,
        *,
        with_poses: bool = True,
        scene_sizes: Sequence[int] | None = None,
    ) -> tuple[Float[Tensor, "N Cout R R R"], Float[Tensor, "N 8"] | None]:
        """Velocity at (x, t), and the poses unless `with_poses` is False.

        Args:
            x: latents of all assets of a scene, the query first.
            t: 1000 times the flow time; one value for all assets or one each.
            context: `project_scene(condition)`; a condition, which every block projects when its turn comes (less
                memory, more work where it is reused); or None for the all-zero condition, which needs no attention.
            scene_sizes: assets of each scene, the query of each first; None: all are of one scene. Several scenes need
                a condition without shared tokens.
        """
        sizes = scene_sizes or [len(x)]
        dtype = torso_dtype(self.torso)
        latent = self.embed(x)
        h = torch.cat([self.special_tokens(sizes), latent], 1).to(dtype)
        scenes = Sequences(tuple(size * h.shape[1] for size in sizes))
        time = self.t_embedder(t)
        mod = None if self.adaLN_modulation is None else self.adaLN_modulation(time).to(dtype)
        time = time.to(dtype)
        for index, block in enumerate(self.blocks):
            if isinstance(context, SceneCondition):
                h = block(h, time, cast(SceneBlock, block).project(context), scenes, mod)
            else:
                h = block(h, time, None if context is None else context.blocks[index], scenes, mod)
        h = h.to(x.dtype)
        poses = self.position_head(h[:, 0]) if with_poses else None
        return self.unembed(h[:, self.config.num_special_tokens :]), poses
