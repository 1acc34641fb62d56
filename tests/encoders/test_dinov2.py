"""The tokens the TRELLIS v1 backbone expects, and the names its weights come under."""

import pytest
import torch

from scenewright.encoders.dinov2 import Dinov2, Dinov2Config

TINY = Dinov2Config(image_size=28, width=8, depth=2, num_heads=2)
# Without blocks the tokens are the embeddings, so their order can be read off.
NO_BLOCKS = Dinov2Config(image_size=42, width=8, depth=0, num_heads=2)


def published_names(depth: int) -> set[str]:
    block = ["norm1.weight", "norm1.bias", "attn.qkv.weight", "attn.qkv.bias", "attn.proj.weight", "attn.proj.bias"]
    block += ["ls1.gamma", "norm2.weight", "norm2.bias", "mlp.fc1.weight", "mlp.fc1.bias"]
    block += ["mlp.fc2.weight", "mlp.fc2.bias", "ls2.gamma"]
    outside = ["cls_token", "pos_embed", "register_tokens", "mask_token", "patch_embed.proj.weight"]
    outside += ["patch_embed.proj.bias", "norm.weight", "norm.bias"]
    return set(outside) | {f"blocks.{i}.{name}" for i in range(depth) for name in block}


def randomised(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def test_published_size_has_1374_tokens() -> None:
    network = Dinov2(Dinov2Config(width=8, depth=1, num_heads=2)).eval()
    assert network(torch.rand(1, 3, 518, 518)).shape == (1, 1374, 8)


def test_published_network_has_304_million_parameters() -> None:
    with torch.device("meta"):
        network = Dinov2()
    assert sum(parameter.numel() for parameter in network.parameters()) == 304_372_736
    assert network.state_dict().keys() == published_names(24)


@torch.no_grad()
def test_tokens_are_class_registers_then_patches_by_row() -> None:
    network = randomised(Dinov2(NO_BLOCKS))
    state = network.state_dict()
    pixels = torch.randn(1, 3, 42, 42)
    tokens = network.prenorm_tokens(pixels)[0]
    torch.testing.assert_close(tokens[0], state["cls_token"][0, 0] + state["pos_embed"][0, 0])
    torch.testing.assert_close(tokens[1:5], state["register_tokens"][0])
    row, column = 1, 2
    patch = pixels[0, :, 14 * row : 14 * (row + 1), 14 * column : 14 * (column + 1)]
    kernel, bias = state["patch_embed.proj.weight"], state["patch_embed.proj.bias"]
    number = 3 * row + column
    expected = (kernel * patch).sum((1, 2, 3)) + bias + state["pos_embed"][0, 1 + number]
    torch.testing.assert_close(tokens[5 + number], expected)


@torch.no_grad()
def test_condition_tokens_are_layer_normed_without_parameters() -> None:
    network = randomised(Dinov2(TINY))
    tokens = network(torch.rand(2, 3, 28, 28))
    torch.testing.assert_close(tokens.mean(-1), torch.zeros(2, 9), atol=1e-5, rtol=0)
    torch.testing.assert_close(tokens.var(-1, unbiased=False), torch.ones(2, 9), atol=1e-3, rtol=0)


@torch.no_grad()
def test_final_norm_does_not_touch_the_condition() -> None:
    network, images = randomised(Dinov2(TINY)), torch.rand(1, 3, 28, 28)
    before = network(images)
    network.norm.weight.mul_(3)
    torch.testing.assert_close(network(images), before, atol=0, rtol=0)


@torch.no_grad()
def test_constant_position_embedding_stays_constant_at_other_sizes() -> None:
    network = randomised(Dinov2(NO_BLOCKS))
    state = network.state_dict()
    state["pos_embed"][:, 1:] = torch.arange(8.0)
    network.load_state_dict(state)
    tokens = network.prenorm_tokens(torch.zeros(1, 3, 70, 28))[0, 5:]
    assert len(tokens) == 10
    torch.testing.assert_close(tokens, (state["patch_embed.proj.bias"] + torch.arange(8.0)).expand(10, 8))


@torch.no_grad()
def test_state_dict_round_trip_under_published_names() -> None:
    first, second = randomised(Dinov2(TINY), 1), randomised(Dinov2(TINY), 2)
    state = first.state_dict()
    assert state.keys() == published_names(2)
    assert state["blocks.0.attn.qkv.weight"].shape == (24, 8)
    second.load_state_dict(state, strict=True)
    images = torch.rand(1, 3, 28, 28)
    torch.testing.assert_close(second(images), first(images), atol=0, rtol=0)


def test_unknown_names_are_reported() -> None:
    network = Dinov2(TINY)
    with pytest.raises(RuntimeError, match=r"blocks\.0\.attn\.extra"):
        network.load_state_dict(network.state_dict() | {"blocks.0.attn.extra": torch.zeros(1)}, strict=True)


def test_sides_must_be_multiples_of_the_patch() -> None:
    with pytest.raises(ValueError, match=r"multiples of 14, got 30x28"):
        Dinov2(TINY)(torch.rand(1, 3, 28, 30))
