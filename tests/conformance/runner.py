"""Dispatches a golden case to the adapter of its spec sheet and compares every expected output.

An adapter is a function `(Case) -> {output name: tensor}` listed in the `MODULES` dict of
`tests/conformance/<spec>.py`. It builds the module from `case.config`, loads `case.params` strictly through the
weight loader, and calls it. A case passes when every `out/*` is produced with the same shape and differs by at most
the file's tolerance; an output that is missing, a file without outputs, an unknown module name, or an exception fails
the case. Outputs named `*_published` document a defect of the published code beside the output it was meant to have:
they may be missing.
"""

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tests.conformance.case import Case, read_case

SPECS = ("trellis1", "trellis2", "scenegen", "iscene", "genrecon", "inspace")
Adapter = Callable[[Case], dict[str, Tensor]]


@dataclass(frozen=True)
class Result:
    path: Path
    module: str
    error: float
    tolerance: float
    message: str = ""

    @property
    def passed(self) -> bool:
        return not self.message and self.error <= self.tolerance

    def __str__(self) -> str:
        verdict = "ok  " if self.passed else "FAIL"
        name = f"{self.path.parent.name}/{self.path.stem}"
        figures = f"error {self.error:.3g} tolerance {self.tolerance:.3g}"
        return f"{verdict} {name} [{self.module}] {figures} {self.message}".rstrip()


def adapters(spec: str) -> dict[str, Adapter]:
    name = f"tests.conformance.{spec}"
    if importlib.util.find_spec(name) is None:
        return {}
    return importlib.import_module(name).MODULES


def adapter_of(case: Case) -> Adapter | None:
    """The adapter for a case, from its likeliest sheet that knows the module; its source may name several."""
    tables = map(adapters, dict.fromkeys([*case.specs, *SPECS]))
    return next((table[case.module] for table in tables if case.module in table), None)


def max_error(actual: Tensor, expected: Tensor) -> float:
    """Largest absolute difference; NaN and infinity must sit at the same places, and differ by nothing there."""
    actual, expected = actual.detach().to("cpu", torch.float64), expected.to(torch.float64)
    same = (actual == expected) | (actual.isnan() & expected.isnan())
    difference = torch.where(same, 0.0, (actual - expected).abs())
    return float(difference.nan_to_num(nan=torch.inf).max()) if difference.numel() else 0.0


def run_case(path: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Result:
    """One case; on another device its tensors and modules are made there. In half precision the tolerance is 5 % of the
    expected output's largest value where that is more, as sums of hundreds of products differ in their third digit."""
    try:
        case = read_case(path)
    except Exception as error:
        return Result(path, "?", torch.inf, 0.0, f"unreadable: {error}")
    if dtype != torch.float32:
        case = case.in_half()
    if device != "cpu":
        case = case.on(torch.device(device))
    adapter = adapter_of(case)
    if adapter is None:
        return Result(path, case.module, torch.inf, case.tolerance, "unknown module name")
    try:
        with torch.device(device), torch.autocast(torch.device(device).type, dtype, enabled=dtype != torch.float32):
            actual = adapter(case)
        return compared(case, actual)
    except Exception as error:
        return Result(path, case.module, torch.inf, case.tolerance, f"{type(error).__name__}: {error}")


def compared(case: Case, actual: dict[str, Tensor]) -> Result:
    """The largest error over the expected outputs, or what is missing or of another shape."""
    needed = {name: out for name, out in case.outputs.items() if name in actual or not name.endswith("_published")}
    if not needed:
        return Result(case.path, case.module, torch.inf, case.tolerance, "has no outputs")
    worst = 0.0
    for name, expected in needed.items():
        if name not in actual:
            return Result(case.path, case.module, torch.inf, case.tolerance, f"output '{name}' was not produced")
        if actual[name].shape != expected.shape:
            shapes = f"{tuple(actual[name].shape)} instead of {tuple(expected.shape)}"
            return Result(case.path, case.module, torch.inf, case.tolerance, f"output '{name}' has shape {shapes}")
        worst = max(worst, max_error(actual[name], expected))
    return Result(case.path, case.module, worst, case.tolerance)


def golden_files(folder: Path, module: str | None = None) -> Iterator[Path]:
    """Golden files below a folder; with a module those of its name, and those that cannot be read, which then fail."""
    for path in sorted(folder.rglob("*.safetensors")):
        if module is None or _may_be_of(path, module):
            yield path


def _may_be_of(path: Path, module: str) -> bool:
    try:
        return read_case(path).module == module
    except Exception:
        return True
