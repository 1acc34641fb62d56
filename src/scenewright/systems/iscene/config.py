"""Sizes of I-Scene's structure flow: the TRELLIS flow plus which blocks read the scene, and how.

Source: I-Scene; names of the released YAML (LuLing06/I-Scene-project).
"""

from dataclasses import dataclass, field

from scenewright.backbones.trellis1.config import StructureFlowConfig
from scenewright.errors import InputError

__all__ = ["SceneContextConfig", "has_canonical_slot"]


@dataclass(frozen=True)
class SceneContextConfig:
    """The structure flow of I-Scene; defaults are the paper's two branches in the five middle blocks.

    Attributes:
        num_context_blocks: how many blocks, in the middle of the stack, let an object read the scene.
        with_canonical: a third slot, the object in a crop of its own, is generated beside it and read too.
        has_gate: a learned gate per head scales the keys of every other slot.
        has_key_bias: a learned bias marks the keys of every other slot.
    """

    flow: StructureFlowConfig = field(default_factory=StructureFlowConfig)
    num_context_blocks: int = 5
    with_canonical: bool = False
    has_gate: bool = False
    has_key_bias: bool = False
    key_bias_scale: float = 0.2

    def __post_init__(self) -> None:
        blocks = self.context_blocks
        if self.num_context_blocks < 1 or blocks.start < 0 or blocks.stop > self.flow.num_blocks:
            raise InputError(
                f"{self.num_context_blocks} scene-context blocks do not fit the middle of {self.flow.num_blocks} "
                f"blocks (they would be {blocks.start} to {blocks.stop - 1}); choose between 1 and their number."
            )

    @property
    def num_slots(self) -> int:
        return 3 if self.with_canonical else 2

    @property
    def context_blocks(self) -> range:
        """Indices of the blocks in which an object reads the scene."""
        start = self.flow.num_blocks // 2 - self.num_context_blocks // 2
        return range(start, start + self.num_context_blocks)


def has_canonical_slot(exp_setting: str) -> bool:
    """Whether the published setting asks for the third slot.

    Raises:
        InputError: the setting leaves the scene out, for which the published code counts slots in two ways.
    """
    words = exp_setting.split(" ")
    if words == ["global"]:
        return False
    if words == ["global", "local"]:
        return True
    raise InputError(f"Expected exp_setting 'global' or 'global local', got '{exp_setting}'.")
