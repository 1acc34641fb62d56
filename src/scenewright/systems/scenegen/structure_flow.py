"""SceneGen's structure flow: the structures of all assets of a scene and their poses, in one pass.

TRELLIS v1's flow on the dense structure latent with one batch item per asset; position and register tokens precede
the latent tokens of each asset, the query asset (the first) having its own. Nothing else tells assets apart.
Source: scenegen sheet section 3.

Legend: N assets of one scene, R latent resolution, S special tokens, C channels.
"""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.backbones.trellis1.structure_flow import StructureFlow
from scenewright.nn.precision import torso_dtype
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

    def special_tokens(self, num_assets: int) -> Float[Tensor, "N S C"]:
        """Position and register tokens: kind 0 for the query asset, kind 1 for all others."""
        tokens = torch.cat([self.position_token, self.register_token], 1)
        kinds = torch.ones(num_assets, dtype=torch.long, device=tokens.device)
        kinds[0] = 0
        return tokens[kinds]

    def forward(  # type: ignore[override]
        self,
        x: Float[Tensor, "N Cin R R R"],
        t: Float[Tensor, " B"],
        context: SceneCondition | SceneContext | None,
        *,
        with_poses: bool = True,
    ) -> tuple[Float[Tensor, "N Cout R R R"], Float[Tensor, "N 8"] | None]:
        """Velocity at (x, t), and the poses unless `with_poses` is False.

        Args:
            x: latents of all assets of a scene, the query first.
            t: 1000 times the flow time; one value for all assets or one each.
            context: `project_scene(condition)`; a condition, which every block projects when its turn comes (less
                memory, more work where it is reused); or None for the all-zero condition, which needs no attention.
        """
        dtype = torso_dtype(self.torso)
        latent = self.embed(x)
        h = torch.cat([self.special_tokens(len(x)), latent], 1).to(dtype)
        time = self.t_embedder(t)
        mod = None if self.adaLN_modulation is None else self.adaLN_modulation(time).to(dtype)
        time = time.to(dtype)
        for index, block in enumerate(self.blocks):
            if isinstance(context, SceneCondition):
                h = block(h, time, cast(SceneBlock, block).project(context), mod)
            else:
                h = block(h, time, None if context is None else context.blocks[index], mod)
        h = h.to(x.dtype)
        poses = self.position_head(h[:, 0]) if with_poses else None
        return self.unembed(h[:, self.config.num_special_tokens :]), poses
