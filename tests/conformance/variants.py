"""Public cases with other options and inputs, for tests of what the public goldens leave at their usual values."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.conformance.case import Case, read_case
from tests.conformance.runner import adapter_of

GOLDENS = Path(__file__).parents[1] / "goldens"


def variant(
    name: str, options: Mapping[str, Any] | None = None, *, without: tuple[str, ...] = (), **given: Tensor
) -> Case:
    """A public case with other options (None leaves one out) and inputs, and without some inputs."""
    case = read_case(GOLDENS / f"{name}.safetensors")
    config = {key: value for key, value in (case.config | dict(options or {})).items() if value is not None}
    inputs = {key: tensor for key, tensor in (case.inputs | given).items() if key not in without}
    return dataclasses.replace(case, config=config, inputs=inputs)


def outputs(case: Case) -> dict[str, Tensor]:
    adapter = adapter_of(case)
    assert adapter is not None
    with torch.no_grad():
        return adapter(case)
