"""One golden file: parameters, inputs and expected outputs with the metadata that says how to use them."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

# Published repository -> folder of the spec sheet; of two that start alike the longer wins (TRELLIS.2, TRELLIS).
_SPEC_OF_SOURCE = {
    "microsoft/TRELLIS.2": "trellis2",
    "microsoft/TRELLIS": "trellis1",
    "SceneGen": "scenegen",
    "I-Scene": "iscene",
    "GenRecon": "genrecon",
    "naver/inspace": "inspace",
}
# Of the largest value of an output, by which it may differ where products are computed in half precision.
_HALF = 0.05


@dataclass(frozen=True)
class Case:
    """The content of one golden file; `inputs` and `outputs` lose their `in/` and `out/` prefixes."""

    path: Path
    module: str
    config: dict[str, Any]
    notes: str
    source: str
    tolerance: float
    params: dict[str, Tensor]
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]

    @property
    def specs(self) -> tuple[str, ...]:
        """Spec sheets this case may belong to, the likeliest first: the nearest folder that is named after one, then
        those of the repositories that the source names, in its order."""
        folders = [parent.name for parent in self.path.parents if parent.name in _SPEC_OF_SOURCE.values()]
        named = [repository for repository in _SPEC_OF_SOURCE if repository in self.source]
        named.sort(key=lambda repository: (self.source.index(repository), -len(repository)))
        return tuple(dict.fromkeys([*folders, *(_SPEC_OF_SOURCE[repository] for repository in named)]))

    def on(self, device: torch.device) -> "Case":
        """The case with parameters and inputs on a device; expected outputs stay."""

        def moved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: tensor.to(device) for name, tensor in tensors.items()}

        return replace(self, params=moved(self.params), inputs=moved(self.inputs))

    def in_half(self) -> "Case":
        """The case with the tolerance that a computation in half precision needs."""
        floats = [tensor for tensor in self.outputs.values() if tensor.is_floating_point() and tensor.numel()]
        largest = max((float(tensor.abs().nan_to_num(0, 0, 0).max()) for tensor in floats), default=0.0)
        return replace(self, tolerance=max(self.tolerance, _HALF * largest))

    def numbered(self, tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
        """Groups names that end in `__<number>` (several calls of one module in a file) by that number."""
        groups: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            stem, _, number = name.rpartition("__")
            if stem and number.isdigit():
                groups.setdefault(int(number), {})[stem] = tensor
        return dict(sorted(groups.items()))


def read_case(path: Path) -> Case:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    return Case(
        path=path,
        module=metadata["module"],
        config=json.loads(metadata.get("config") or "{}"),
        notes=metadata.get("notes", ""),
        source=metadata.get("source", ""),
        tolerance=float(metadata["tol"]),
        params=part("param/"),
        inputs=part("in/"),
        outputs=part("out/"),
    )
