"""Adapters merged at loading and in memory, in every naming style."""

import pytest
import torch
from torch import Tensor, nn

from scenewright.errors import WeightsError
from scenewright.weights.load import load_state
from scenewright.weights.lora import MergedLora, merged

STYLES = [
    ("lora_A", "lora_B"),
    ("lora_A.weight", "lora_B.weight"),
    ("lora_down", "lora_up"),
    ("lora_down.weight", "lora_up.weight"),
]


def tensors(style: tuple[str, str] = STYLES[0], rank: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    down, up = style
    shapes = {"0.weight": (4, 3), "0.bias": (4,), f"0.{down}": (rank, 3), f"0.{up}": (4, rank), "1.weight": (2, 4)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False))


@pytest.mark.parametrize("style", STYLES)
def test_merged_weights_compute_the_same(style: tuple[str, str]) -> None:
    given, (down, up) = tensors(style), style
    loaded = load_state(network(), given, view=lambda checkpoint: MergedLora(checkpoint, 16.0))
    x = torch.randn(5, 3)
    hidden = x @ given["0.weight"].T + given["0.bias"] + 8.0 * (x @ given[f"0.{down}"].T) @ given[f"0.{up}"].T
    torch.testing.assert_close(loaded(x), hidden @ given["1.weight"].T)


def test_half_precision_weights_are_summed_in_fp32() -> None:
    given = {name: value.bfloat16() if "lora" not in name else value for name, value in tensors().items()}
    loaded = load_state(network().bfloat16(), given, view=lambda checkpoint: MergedLora(checkpoint, 16.0))
    expected = (given["0.weight"].float() + 8.0 * given["0.lora_B"] @ given["0.lora_A"]).bfloat16()
    assert torch.equal(loaded[0].weight, expected)


@pytest.mark.parametrize(("stored", "scaling"), [(None, 1.0), (6.0, 3.0)])
def test_the_strength_is_the_stored_one_or_none(stored: float | None, scaling: float) -> None:
    given = tensors()
    lora = {name: given.pop(name) for name in ("0.lora_A", "0.lora_B")}
    if stored is not None:
        lora["0.alpha"] = torch.tensor(stored)
    result = merged(given, lora)
    assert result.keys() == given.keys()
    expected = given["0.weight"] + scaling * lora["0.lora_B"] @ lora["0.lora_A"]
    torch.testing.assert_close(result["0.weight"], expected)
    assert torch.equal(result["1.weight"], given["1.weight"])


@pytest.mark.parametrize("missing", ["0.lora_A", "0.lora_B"])
def test_half_an_adapter_is_refused(missing: str) -> None:
    given = tensors()
    del given[missing]
    with pytest.raises(WeightsError, match="adapter of '0' has only one of its two matrices"):
        load_state(network(), given, view=lambda checkpoint: MergedLora(checkpoint, 16.0))


def test_an_adapter_of_an_unknown_layer_is_refused() -> None:
    given = tensors()
    lora = {"7.attn.lora_down": torch.zeros(2, 3), "7.attn.lora_up": torch.zeros(4, 2)}
    with pytest.raises(WeightsError, match=r"adapter of '7\.attn' is for a layer that the weights do not hold"):
        merged({"0.weight": given["0.weight"]}, lora)


@pytest.mark.parametrize("shapes", [((2, 5), (4, 2)), ((2, 3), (5, 2)), ((2, 3), (4, 3)), ((2, 3, 1), (4, 2, 1))])
def test_an_adapter_of_another_shape_is_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    lora = {"0.lora_A": torch.zeros(shapes[0]), "0.lora_B": torch.zeros(shapes[1])}
    with pytest.raises(WeightsError, match=r"adapter of '0' does not fit: matrices of .* for a weight of \(4, 3\)"):
        merged({"0.weight": torch.zeros(4, 3)}, lora)


def test_adapters_without_a_view_are_refused() -> None:
    with pytest.raises(WeightsError, match="unexpected"):
        load_state(network(), tensors())
