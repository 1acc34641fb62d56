"""Number of objects that the structure flow runs at once below a memory ceiling.

Legend: L latent tokens, T condition tokens, C channels. The factors are fitted to measured peaks, from above.
"""

import torch

from scenewright.errors import OutOfMemoryBudgetError
from scenewright.machine import memory_in_use
from scenewright.nn.precision import torso_dtype
from scenewright.systems.assembly.memory import readable_bytes
from scenewright.systems.iscene.structure_flow import SceneContextFlow

__all__ = ["object_bytes", "objects_within", "scene_bytes"]

# Live [L, C] arrays at the peak of a block: in fp32 (norms and modulation) and in the dtype of the blocks.
_FP32_ARRAYS, _TORSO_ARRAYS = 7, 11


def objects_within(
    flow: SceneContextFlow, count: int, condition_tokens: int, ceiling: int | None, device: torch.device | str
) -> int | None:
    """The largest number of objects at once that stays below `ceiling` bytes; None: all of them, kept for all steps.

    Raises:
        OutOfMemoryBudgetError: not even one object at a time fits.
    """
    if ceiling is None:
        return None
    fixed = memory_in_use(device) + scene_bytes(flow, condition_tokens)
    each = object_bytes(flow, condition_tokens)
    at_once = (ceiling - fixed) // each
    if at_once < 1:
        raise OutOfMemoryBudgetError(
            f"Structures need about {readable_bytes(fixed + each)} even with one object at a time, more than the "
            f"ceiling of {readable_bytes(ceiling)}; raise the ceiling."
        )
    return None if at_once >= count else at_once


def object_bytes(flow: SceneContextFlow, condition_tokens: int) -> int:
    """Memory of one object: activations of a block, and its condition's keys and values in all blocks."""
    slots = flow.scene_config.num_slots - 1
    return slots * (_activation_bytes(flow) + _condition_bytes(flow, condition_tokens))


def scene_bytes(flow: SceneContextFlow, condition_tokens: int) -> int:
    """Memory of the scene while objects run: its condition, and the keys and values its middle blocks offer."""
    itemsize = torso_dtype(flow.torso).itemsize
    offered = 2 * len(flow.scene_config.context_blocks) * flow.num_tokens * flow.config.model_channels * itemsize
    return offered + _condition_bytes(flow, condition_tokens)


def _activation_bytes(flow: SceneContextFlow) -> int:
    itemsize = torso_dtype(flow.torso).itemsize
    return flow.num_tokens * flow.config.model_channels * (4 * _FP32_ARRAYS + itemsize * _TORSO_ARRAYS)


def _condition_bytes(flow: SceneContextFlow, condition_tokens: int) -> int:
    config = flow.config
    return 2 * config.num_blocks * condition_tokens * config.model_channels * torso_dtype(flow.torso).itemsize
