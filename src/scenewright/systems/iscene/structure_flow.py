"""I-Scene's structure flow: the TRELLIS flow whose middle blocks let every object read the scene.

Two ways to evaluate it that agree:

    forward_slots            every slot of every object, as published and as trained: B * S rows
    scene_velocity, then     the scene once, keeping the keys and values its middle blocks offer;
    object_velocity          then the objects against them, in as many calls as memory asks for: 1 + N (S - 1) rows

Nothing flows into the scene, so its rows are the same for all objects of a picture: `forward` (the plain backbone).
Source: I-Scene, scene-context attention; the released `SparseStructureSceneContextFlowModel` of
LuLing06/I-Scene-project.

Legend: B objects with a scene each (training), N objects of one scene, S slots (object, scene, own crop), R resolution,
T condition tokens, C channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from jaxtyping import Float
from torch import Tensor

from scenewright.backbones.trellis1.structure_flow import StructureFlow, flow_block
from scenewright.nn.blocks import BlockContext
from scenewright.nn.flow_context import FlowContext
from scenewright.systems.iscene.config import SceneContextConfig
from scenewright.systems.iscene.context_attention import ExternalKeyValues, SceneContextAttention, SlotContext

__all__ = ["SceneContextFlow", "SceneMemory"]


@dataclass(frozen=True)
class SceneMemory:
    """The scene's offer to its objects at one step of one pass: keys and values of every scene-context block."""

    blocks: tuple[ExternalKeyValues, ...]


class SceneContextFlow(StructureFlow):
    """Velocity of the structure latents of objects and of the scene they stand in.

    `forward` is inherited: a latent on its own, which is what a scene row is.
    """

    def __init__(self, config: SceneContextConfig) -> None:
        flow = config.flow

        def context_attention() -> SceneContextAttention:
            return SceneContextAttention(
                flow.model_channels,
                flow.num_heads,
                num_external=config.num_slots - 1,
                qk_rms_norm=flow.qk_rms_norm,
                has_gate=config.has_gate,
                has_key_bias=config.has_key_bias,
                key_bias_scale=config.key_bias_scale,
            )

        blocks = [
            flow_block(flow, context_attention() if index in config.context_blocks else None)
            for index in range(flow.num_blocks)
        ]
        super().__init__(flow, blocks)
        self.scene_config = config

    def forward_slots(
        self,
        x: Float[Tensor, "B S C R R R"],
        t: Float[Tensor, " B"],
        cond: Float[Tensor, "B S T Cc"] | FlowContext | None,
    ) -> Float[Tensor, "B S C R R R"]:
        """Velocity of every slot, each with its own condition; one time per object for all its slots.

        Args:
            t: 1000 times the flow time.
            cond: condition tokens, the projection of `cond.flatten(0, 1)`, or None for the all-zero condition.
        """
        slots = x.shape[1]
        if slots != self.scene_config.num_slots:
            raise ValueError(f"Expected {self.scene_config.num_slots} slots, got {slots}.")
        context = self.project_context(cond.flatten(0, 1)) if isinstance(cond, Tensor) else cond
        own = [SlotContext(layer, slots) for layer in self.context_attentions]
        velocity = self(x.flatten(0, 1), t.repeat_interleave(slots), self._reading(context, own))
        return velocity.unflatten(0, (-1, slots))

    def scene_velocity(
        self, x: Float[Tensor, "1 C R R R"], t: Float[Tensor, " 1"], context: FlowContext | None
    ) -> tuple[Float[Tensor, "1 C R R R"], SceneMemory]:
        """Velocity of the scene, and what its objects read at the same step of the same pass."""
        recorded: list[ExternalKeyValues] = []
        own = [SlotContext(layer, recorded=recorded) for layer in self.context_attentions]
        velocity = self(x, t, self._reading(context, own))
        return velocity, SceneMemory(tuple(recorded))

    def object_velocity(
        self,
        x: Float[Tensor, "N S_less_1 C R R R"],
        t: Float[Tensor, " N"],
        context: FlowContext | None,
        memory: SceneMemory,
    ) -> Float[Tensor, "N S_less_1 C R R R"]:
        """Velocity of objects (and their own crops' slots) given the scene's memory at the same time `t`.

        Args:
            x: slots 0 and, in a network of three slots, 2 of any objects of the scene.
            context: projection of their conditions, rows in the order of `x.flatten(0, 1)`; None for all zero.
        """
        slots, offered = x.shape[1], zip(self.context_attentions, memory.blocks, strict=True)
        own = [SlotContext(layer, slots, external=(scene,)) for layer, scene in offered]
        velocity = self(x.flatten(0, 1), t.repeat_interleave(slots), self._reading(context, own))
        return velocity.unflatten(0, (-1, slots))

    @property
    def num_tokens(self) -> int:
        """Tokens of one latent."""
        return (self.config.resolution // self.config.patch_size) ** 3

    @property
    def context_attentions(self) -> list[SceneContextAttention]:
        """The self-attention of every block in which objects read the scene."""
        return [cast(SceneContextAttention, self.blocks[index].self_attn) for index in self.scene_config.context_blocks]

    def _reading(self, context: FlowContext | None, own: Sequence[SlotContext]) -> FlowContext:
        """The condition, with whom rows read in the scene-context blocks."""
        blocks = [BlockContext()] * len(self.blocks) if context is None else list(context.blocks)
        for index, slots in zip(self.scene_config.context_blocks, own, strict=True):
            blocks[index] = replace(blocks[index], own=slots)
        return FlowContext(blocks)
