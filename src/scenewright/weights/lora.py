"""Low-rank adapters merged into the weights they belong to, while loading or in memory.

An adapter of a linear layer adds (alpha / r) U D to its weight. Both naming styles are read, with or without a final
`.weight`, from the file of the weights itself or a file of their own:

    <linear>.lora_A [r, in]     <linear>.lora_B [out, r]      PEFT, GenRecon
    <linear>.lora_down [r, in]  <linear>.lora_up [out, r]     ours, diffusion trainers; <linear>.alpha may follow

The sum is formed in fp32 and rounded once. Source: LoRA (Hu et al. 2021), section 4.1.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from scenewright.errors import WeightsError
from scenewright.weights.checkpoint import Checkpoint, TensorCheckpoint

__all__ = ["MergedLora", "merged"]

_DOWN = re.compile(r"(?P<layer>.+)\.lora_(?:A|down)(?:\.weight)?")
_UP = re.compile(r"(?P<layer>.+)\.lora_(?:B|up)(?:\.weight)?")


class MergedLora:
    """A checkpoint without adapter names whose adapted weights are read as W + (alpha / r) U D.

    Args:
        alpha: of all adapters; None is the one stored with each, or its rank (no scaling).

    Raises:
        WeightsError: an adapter lacks a half, is for a layer that the weights do not hold, or is of the wrong shape.
    """

    def __init__(self, checkpoint: Checkpoint, alpha: float | None = None) -> None:
        self._checkpoint, self._alpha = checkpoint, alpha
        self._down, self._up = (_halves(checkpoint, pattern) for pattern in (_DOWN, _UP))
        self._check(checkpoint.shapes)
        alphas = {f"{layer}.alpha" for layer in self._down}
        own = {*self._down.values(), *self._up.values(), *alphas}
        self.shapes = {name: shape for name, shape in checkpoint.shapes.items() if name not in own}
        self.dtypes = {name: dtype for name, dtype in checkpoint.dtypes.items() if name not in own}

    def read_into(self, name: str, target: Tensor) -> None:
        layer = name.removesuffix(".weight")
        if not name.endswith(".weight") or layer not in self._down:
            self._checkpoint.read_into(name, target)
            return
        weight, down, up = (self._read(part) for part in (name, self._down[layer], self._up[layer]))
        alpha = self._alpha
        if alpha is None:
            stored = f"{layer}.alpha"
            alpha = float(self._read(stored)) if stored in self._checkpoint.shapes else len(down)
        target.copy_(weight.addmm_(up, down, alpha=alpha / len(down)))

    def _read(self, name: str) -> Tensor:
        values = torch.empty(self._checkpoint.shapes[name], dtype=torch.float32)
        self._checkpoint.read_into(name, values)
        return values

    def _check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        for layer in sorted(self._down.keys() ^ self._up.keys()):
            raise WeightsError(f"The adapter of '{layer}' has only one of its two matrices; is the file complete?")
        for layer in self._down:
            if f"{layer}.weight" not in shapes:
                raise WeightsError(
                    f"The adapter of '{layer}' is for a layer that the weights do not hold; "
                    "was it trained on another network?"
                )
            down, up, weight = shapes[self._down[layer]], shapes[self._up[layer]], shapes[f"{layer}.weight"]
            if len(down) != 2 or len(up) != 2 or down[0] != up[1] or (up[0], down[1]) != weight:
                raise WeightsError(
                    f"The adapter of '{layer}' does not fit: matrices of {down} and {up} for a weight of {weight}; "
                    "was it trained on another network?"
                )


def merged(state: Mapping[str, Tensor], lora: Mapping[str, Tensor], alpha: float | None = None) -> dict[str, Tensor]:
    """The weights `state` with the adapters `lora` merged, in the dtypes of `state`; see `MergedLora` for errors."""
    view = MergedLora(TensorCheckpoint({**state, **lora}), alpha)
    result = {}
    for name, shape in view.shapes.items():
        result[name] = torch.empty(shape, dtype=view.dtypes[name])
        view.read_into(name, result[name])
    return result


def _halves(checkpoint: Checkpoint, pattern: re.Pattern[str]) -> dict[str, str]:
    """Names of one matrix of every adapter by the layer it belongs to."""
    matches = (pattern.fullmatch(name) for name in checkpoint.shapes)
    return {match["layer"]: match.string for match in matches if match}
