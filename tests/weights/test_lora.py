"""Adapters merged at loading."""

import pytest
import torch
from torch import nn

from scenewright.errors import WeightsError
from scenewright.weights.load import load_state
from scenewright.weights.lora import MergedLora


def tensors(rank: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"0.weight": (4, 3), "0.bias": (4,), "0.lora_A": (rank, 3), "0.lora_B": (4, rank), "1.weight": (2, 4)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False))


def test_merged_weights_compute_the_same() -> None:
    given = tensors()
    loaded = load_state(network(), given, view=lambda checkpoint: MergedLora(checkpoint, 16.0))
    x = torch.randn(5, 3)
    hidden = x @ given["0.weight"].T + given["0.bias"] + 8.0 * (x @ given["0.lora_A"].T) @ given["0.lora_B"].T
    torch.testing.assert_close(loaded(x), hidden @ given["1.weight"].T)


def test_half_precision_weights_are_summed_in_fp32() -> None:
    given = {name: value.bfloat16() if "lora" not in name else value for name, value in tensors().items()}
    loaded = load_state(network().bfloat16(), given, view=lambda checkpoint: MergedLora(checkpoint, 16.0))
    expected = (given["0.weight"].float() + 8.0 * given["0.lora_B"] @ given["0.lora_A"]).bfloat16()
    assert torch.equal(loaded[0].weight, expected)


@pytest.mark.parametrize("missing", ["0.lora_A", "0.lora_B", "0.weight"])
def test_half_an_adapter_is_refused(missing: str) -> None:
    given = tensors()
    del given[missing]
    with pytest.raises(WeightsError, match="adapter of '0'"):
        load_state(network(), given, view=lambda checkpoint: MergedLora(checkpoint, 16.0))


def test_adapters_without_a_view_are_refused() -> None:
    with pytest.raises(WeightsError, match="unexpected"):
        load_state(network(), tensors())
