"""The tokens the TRELLIS.2 backbone expects."""

import pytest
import torch

from scenewright.encoders.dinov3 import Dinov3, Dinov3Config

TINY = Dinov3Config(width=16, mlp_width=32, depth=2, num_heads=2)


@pytest.mark.parametrize(("size", "num_tokens"), [(512, 1029), (1024, 4101)])
@torch.no_grad()
def test_token_counts_of_the_published_resolutions(size: int, num_tokens: int) -> None:
    network = Dinov3(Dinov3Config(width=16, mlp_width=16, depth=1, num_heads=2)).eval()
    assert network(torch.rand(1, 3, size, size)).shape == (1, num_tokens, 16)


def test_published_network_has_303_million_parameters_and_no_key_bias() -> None:
    with torch.device("meta"):
        network = Dinov3()
    assert sum(parameter.numel() for parameter in network.parameters()) == 303_129_600
    names = network.state_dict().keys()
    assert "layer.23.attention.q_proj.bias" in names
    assert "layer.0.attention.k_proj.bias" not in names
    assert {name.split(".")[0] for name in names} == {"embeddings", "layer", "norm"}


@torch.no_grad()
def test_final_norm_does_not_touch_the_condition() -> None:
    network, images = Dinov3(TINY).eval(), torch.rand(1, 3, 32, 48)
    before = network(images)
    network.norm.weight.mul_(3)
    torch.testing.assert_close(network(images), before, atol=0, rtol=0)
    torch.testing.assert_close(before.mean(-1), torch.zeros(1, 11), atol=1e-5, rtol=0)


@torch.no_grad()
def test_state_dict_round_trip_under_published_names() -> None:
    first, second = Dinov3(TINY).eval(), Dinov3(TINY).eval()
    second.load_state_dict(first.state_dict(), strict=True)
    images = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(second(images), first(images), atol=0, rtol=0)


def test_sides_must_be_multiples_of_the_patch() -> None:
    with pytest.raises(ValueError, match=r"multiples of 16, got 32x40"):
        Dinov3(TINY)(torch.rand(1, 3, 40, 32))
