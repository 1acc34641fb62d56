"""The ceiling's estimates against what a block really holds at its peak."""

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from scenewright.backbones.trellis1.config import StructureFlowConfig
from scenewright.nn.precision import cast_torso
from scenewright.systems.iscene.config import SceneContextConfig
from scenewright.systems.iscene.memory import object_bytes, scene_bytes
from scenewright.systems.iscene.structure_flow import SceneContextFlow


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of every tensor made inside that still lives."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        inputs = {t.untyped_storage()._cdata for t in torch.utils._pytree.tree_leaves(args) if torch.is_tensor(t)}
        result = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(result):
            if torch.is_tensor(tensor):
                self._count(tensor, inputs)
        return result

    def _count(self, tensor: torch.Tensor, inputs: set[int]) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata in inputs or storage._cdata in self._known:
            return
        self._known.add(storage._cdata)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())

    def _forget(self, key: int, count: int) -> None:
        self._known.discard(key)
        self.now -= count


@pytest.mark.parametrize("with_canonical", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_estimate_of_an_object_is_above_what_it_adds_and_not_far(with_canonical: bool, dtype: torch.dtype) -> None:
    sizes = StructureFlowConfig(resolution=8, model_channels=64, cond_channels=64, num_blocks=2, num_heads=4)
    flow = SceneContextFlow(SceneContextConfig(sizes, 1, with_canonical)).eval().requires_grad_(False)
    cast_torso(flow.torso, dtype)
    peaks = []
    for count in (2, 6):
        slots = flow.scene_config.num_slots - 1
        x, t, cond = (
            torch.randn(count, slots, 8, 8, 8, 8),
            torch.full((count,), 500.0),
            torch.randn(count * slots, 9, 64),
        )
        with LiveBytes() as memory:
            scene = flow.scene_velocity(x[:1, 0], t[:1], None)[1]
            flow.object_velocity(x, t, flow.project_context(cond), scene)
        peaks.append(memory.peak)
    added = (peaks[1] - peaks[0]) / 4
    assert added <= object_bytes(flow, 9) <= 2 * added
    assert peaks[0] <= 2 * object_bytes(flow, 9) + scene_bytes(flow, 9) + 2**20
