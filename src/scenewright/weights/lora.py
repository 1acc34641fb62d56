"""Checkpoints that keep low-rank adapters beside the weights they belong to, seen as if they were merged.

`<linear>.lora_A` [r, in] and `<linear>.lora_B` [out, r] add (alpha / r) B A to `<linear>.weight`. The sum is formed in
fp32 and stored in the dtype of the parameter it goes to. Source: LoRA (Hu et al. 2021); names of PEFT and GenRecon.
"""

import torch
from torch import Tensor

from scenewright.errors import WeightsError
from scenewright.weights.checkpoint import Checkpoint

__all__ = ["MergedLora"]

_DOWN, _UP, _WEIGHT = ".lora_A", ".lora_B", ".weight"


class MergedLora:
    """A checkpoint without adapter names whose adapted weights are read as W + (alpha / r) B A.

    Raises:
        WeightsError: an adapter lacks its other half or its weight, or their shapes do not fit.
    """

    def __init__(self, checkpoint: Checkpoint, alpha: float) -> None:
        self._checkpoint, self._alpha = checkpoint, alpha
        shapes = checkpoint.shapes
        halves = {name for name in shapes if name.endswith((_DOWN, _UP))}
        self._adapted = {name.removesuffix(_DOWN) for name in halves if name.endswith(_DOWN)}
        for stem in self._adapted | {name.removesuffix(_UP) for name in halves if name.endswith(_UP)}:
            down, up, weight = (shapes.get(stem + suffix) for suffix in (_DOWN, _UP, _WEIGHT))
            if down is None or up is None or weight is None or (up[0], down[1]) != weight or up[1] != down[0]:
                raise WeightsError(
                    f"The adapter of '{stem}' does not fit (A {down}, B {up}, weight {weight}); is the file complete?"
                )
        self.shapes = {name: shape for name, shape in shapes.items() if name not in halves}
        self.dtypes = {name: dtype for name, dtype in checkpoint.dtypes.items() if name not in halves}

    def read_into(self, name: str, target: Tensor) -> None:
        stem = name.removesuffix(_WEIGHT)
        if not name.endswith(_WEIGHT) or stem not in self._adapted:
            self._checkpoint.read_into(name, target)
            return
        weight, down, up = (self._read(stem + suffix) for suffix in (_WEIGHT, _DOWN, _UP))
        target.copy_(weight.addmm_(up, down, alpha=self._alpha / len(down)))

    def _read(self, name: str) -> Tensor:
        values = torch.empty(self._checkpoint.shapes[name], dtype=torch.float32)
        self._checkpoint.read_into(name, values)
        return values
