"""Memory estimates against tensors counted while they live, and what a ceiling gives up."""

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scenewright.errors import OutOfMemoryBudgetError
from scenewright.nn.precision import cast_torso
from scenewright.systems.scenegen.condition import SceneCondition
from scenewright.systems.scenegen.config import SceneFlowConfig
from scenewright.systems.scenegen.memory import keeps_keys, kept_keys_bytes, step_bytes
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of tensors made inside the mode as long as they live; `known` are not counted."""

    def __init__(self, known: list[Tensor]) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._seen = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        self.peak = max(self.peak, self.live)
        return result

    def _count(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._seen:
            return
        self._seen.add(key)
        self.live += size

        def forget() -> None:
            self._seen.discard(key)
            self.live -= size

        weakref.finalize(storage, forget)


def case(resolution: int, num_assets: int, dtype: torch.dtype) -> tuple[SceneStructureFlow, SceneCondition]:
    config = SceneFlowConfig(
        resolution=resolution, model_channels=64, cond_channels=64, num_blocks=2, num_heads=4, local_context_tokens=300
    )
    flow = SceneStructureFlow(config).eval().requires_grad_(False)
    cast_torso(flow.torso, dtype)
    return flow, SceneCondition(torch.randn(num_assets, 600, 64), torch.randn(900, 64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("resolution", "num_assets"), [(8, 1), (8, 4), (12, 2)])
def test_the_estimate_of_a_step_is_an_upper_one_and_not_far_off(
    resolution: int, num_assets: int, dtype: torch.dtype
) -> None:
    flow, condition = case(resolution, num_assets, dtype)
    assert condition.shared is not None
    x, t = torch.randn(num_assets, 8, *[resolution] * 3), torch.tensor([500.0])
    known = [*flow.parameters(), *flow.buffers(), condition.own, condition.shared, x, t]
    with LiveBytes(known) as mode:
        flow.velocity_and_poses(x, t, flow.project_scene(condition, keep_keys=False))
    estimate = step_bytes(flow, condition)
    assert mode.peak <= estimate < 1.6 * mode.peak


def test_kept_keys_are_counted_exactly() -> None:
    flow, condition = case(8, 3, torch.bfloat16)
    kept = flow.project_scene(condition)
    storages = {
        tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes()
        for block in kept.blocks
        for part in (block.cross, block.scene.own, block.scene.shared)
        if part is not None
        for tensor in (part.keys, part.values)
    }
    assert sum(storages.values()) == kept_keys_bytes(flow, [condition])


def test_a_ceiling_gives_up_the_kept_keys_first_and_then_refuses() -> None:
    flow, condition = case(8, 3, torch.float32)
    least = 1000 + step_bytes(flow, condition)
    assert keeps_keys(flow, [condition], None, 1000)
    assert keeps_keys(flow, [condition], least + kept_keys_bytes(flow, [condition]), 1000)
    assert not keeps_keys(flow, [condition], least, 1000)
    with pytest.raises(OutOfMemoryBudgetError, match="3 objects together need about"):
        keeps_keys(flow, [condition], least - 1, 1000)
