"""Low-rank updates of linear layers."""

import pytest
import torch
from torch import nn

from scenewright.errors import InputError
from scenewright.training.config import LoraConfig
from scenewright.training.exporting import merged_state
from scenewright.training.lora import LoraLinear, add_lora


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Sequential(nn.Linear(5, 4, bias=False), nn.LayerNorm(4)))


def disturbed(model: nn.Module) -> nn.Module:
    for name, parameter in model.named_parameters():
        if "lora" in name:
            nn.init.normal_(parameter)
    return model


def test_training_starts_from_the_network_and_trains_the_updates_only():
    model, x = network(), torch.randn(3, 6)
    before, names = model(x), set(model.state_dict())
    assert add_lora(model, LoraConfig(rank=2)) == 2
    assert torch.equal(model(x), before)
    assert names <= set(model.state_dict())
    assert all(("lora" in name) == parameter.requires_grad for name, parameter in model.named_parameters())


def test_merging_changes_nothing_but_the_form():
    model = network()
    names = list(model.state_dict())
    add_lora(model, LoraConfig(rank=2, alpha=3.0))
    x, expected = torch.randn(7, 6), disturbed(model)(torch.ones(1, 6))
    assert isinstance(model[0], LoraLinear)
    expected = model(x)
    state = merged_state(model)
    assert list(state) == names
    plain = network()
    plain.load_state_dict(state)
    torch.testing.assert_close(plain(x), expected)


def test_targets_choose_layers_by_name():
    model = network()
    assert add_lora(model, LoraConfig(rank=1, targets=("2.",))) == 1
    assert type(model[0]) is nn.Linear
    with pytest.raises(InputError, match=r"contains any of \['attention'\]"):
        add_lora(network(), LoraConfig(rank=1, targets=("attention",)))


def test_named_modules_train_whole_beside_the_updates_and_are_not_given_any():
    model = network()
    assert add_lora(model, LoraConfig(rank=1, trained=("2.",))) == 1
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"0.lora_down", "0.lora_up", "2.0.weight", "2.1.weight", "2.1.bias"}
