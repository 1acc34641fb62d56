"""Memory of sampling a scene on the device, estimated from sizes, to choose how to stay below a ceiling.

The structures of a scene are sampled together, so nothing can be split; what can be given up is keeping the projected
condition over all steps, and the encoders' place on the device. Figures are upper estimates of tensors alive at once.

Legend: N assets, C channels.
"""

from collections.abc import Sequence

import torch

from scenewright.errors import OutOfMemoryBudgetError
from scenewright.nn.precision import torso_dtype
from scenewright.systems.assembly.memory import readable_bytes
from scenewright.systems.scenegen.condition import SceneCondition
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow

__all__ = ["keeps_keys", "kept_keys_bytes", "step_bytes"]


# Over measured peaks (tests/systems/scenegen/test_memory.py).
_MARGIN = 1.1


def kept_keys_bytes(flow: SceneStructureFlow, views: Sequence[SceneCondition]) -> int:
    """Bytes of `project_scene` of all views: keys and values of every block."""
    return flow.config.num_blocks * sum(_block_keys_bytes(flow, view) for view in views)


def step_bytes(flow: SceneStructureFlow, view: SceneCondition) -> int:
    """Bytes alive inside one evaluation at its fullest: a block's activations, and the keys it reads, joined."""
    config, width = flow.config, flow.config.model_channels
    tokens = (config.resolution // config.patch_size) ** 3 + config.num_special_tokens
    # The widest moment holds the rows, a norm of them and the hidden layer before and after its activation, or q, k, v
    # with the attention's result: (2 + 2 r) C or 7 C values a row, and two fp32 copies from the norm.
    values = max(2 + 2 * config.mlp_ratio, 7) * width * _element_size(flow) + 2 * 4 * width
    # The scene cross-attention's keys are joined from each asset's own and the shared ones.
    joined = view.own.shape[1] + (0 if view.shared is None else len(view.shared))
    keys = _block_keys_bytes(flow, view) + 2 * view.num_assets * joined * width * _element_size(flow)
    return int(_MARGIN * (view.num_assets * tokens * values + keys))


def keeps_keys(
    flow: SceneStructureFlow, views: Sequence[SceneCondition], budget_bytes: int | None, occupied_bytes: int
) -> bool:
    """Whether the projected condition of all views is kept over the steps.

    Args:
        budget_bytes: ceiling; None is no ceiling.
        occupied_bytes: what is on the device already, weights included.

    Raises:
        OutOfMemoryBudgetError: it does not fit even if every block projects its condition anew.
    """
    if budget_bytes is None:
        return True
    needed = occupied_bytes + max(step_bytes(flow, view) for view in views)
    if needed > budget_bytes:
        raise OutOfMemoryBudgetError(
            f"{views[0].num_assets} objects together need about {readable_bytes(needed)}, more than the ceiling of "
            f"{readable_bytes(budget_bytes)}; raise it, give fewer masks, or use half precision."
        )
    return needed + kept_keys_bytes(flow, views) <= budget_bytes


def _block_keys_bytes(flow: SceneStructureFlow, view: SceneCondition) -> int:
    own, local = view.own.shape[1], min(view.own.shape[1], flow.config.local_context_tokens)
    shared = 0 if view.shared is None else len(view.shared)
    rows = view.num_assets * (own + local) + shared
    return 2 * rows * flow.config.model_channels * _element_size(flow)


def _element_size(flow: SceneStructureFlow) -> int:
    return torch.empty((), dtype=torso_dtype(flow.torso)).element_size()
