"""I-Scene's structure flow: the TRELLIS flow whose middle blocks let every object read the scene.

Two ways to evaluate it that agree:

    forward_slots            every slot of every object, as published and as trained: B * S rows
    scene_velocity, then     the scene once, keeping the keys and values its middle blocks offer;
    object_velocity          then the objects against them, in as many calls as memory asks for: 1 + N (S - 1) rows

Nothing flows into the scene, so its rows are the same for all objects of a picture: `forward` (the plain backbone).
Source: I-Scene sheet, sections 3.2 to 3.5 and 8.

Legend: B objects with a scene each (training), N objects of one scene, S slots (object, scene, own crop), R resolution,
T condition tokens, C channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from scenewright.backbones.trellis1.structure_flow import StructureFlow, flow_block
from scenewright.nn.flow_context import FlowContext
from scenewright.nn.precision import torso_dtype
from scenewright.sparse.attention import Sequences
from scenewright.systems.iscene.config import SceneContextConfig
from scenewright.systems.iscene.context_attention import ExternalKeyValues, SceneContextAttention, SlotSequences

__all__ = ["SceneContextFlow", "SceneMemory"]


@dataclass(frozen=True)
class SceneMemory:
    """What the scene offers to its objects at one step of one pass: keys and values of every scene-context block."""

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
        count = x.shape[0] * slots
        tokens = SlotSequences((self.num_tokens,) * count, num_slots=slots)
        velocity = self._velocity(x.flatten(0, 1), t.repeat_interleave(slots), context, [tokens] * len(self.blocks))
        return velocity.unflatten(0, (-1, slots))

    def scene_velocity(
        self, x: Float[Tensor, "1 C R R R"], t: Float[Tensor, " 1"], context: FlowContext | None
    ) -> tuple[Float[Tensor, "1 C R R R"], SceneMemory]:
        """Velocity of the scene, and what its objects read at the same step of the same pass."""
        recorded: list[ExternalKeyValues] = []
        tokens = SlotSequences((self.num_tokens,), recorded=recorded)
        velocity = self._velocity(x, t, context, [tokens] * len(self.blocks))
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
        slots = x.shape[1]
        lengths = (self.num_tokens,) * (len(x) * slots)
        given = dict(zip(self.scene_config.context_blocks, memory.blocks, strict=True))
        tokens = [
            SlotSequences(lengths, num_slots=slots, external=(given[index],) if index in given else ())
            for index in range(len(self.blocks))
        ]
        return self._velocity(x.flatten(0, 1), t.repeat_interleave(slots), context, tokens).unflatten(0, (-1, slots))

    @property
    def num_tokens(self) -> int:
        """Tokens of one latent."""
        return (self.config.resolution // self.config.patch_size) ** 3

    def _velocity(
        self, x: Float[Tensor, "B C R R R"], t: Tensor, context: FlowContext | None, tokens: Sequence[Sequences]
    ) -> Float[Tensor, "B C R R R"]:
        """As the backbone's forward, with a division of the rows for every block."""
        h = self.embed(x)
        dtype = torso_dtype(self.torso)
        mod = self.embed_time(t).to(dtype)
        rows = h.to(dtype).flatten(0, 1)
        for index, block in enumerate(self.blocks):
            rows = block(rows, mod, None if context is None else context.blocks[index], tokens[index])
        return self.unembed(rows.view(h.shape).to(x.dtype))
