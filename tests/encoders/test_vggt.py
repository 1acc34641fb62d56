"""VGGT's aggregator: which frames are alike to it, where each token sits, and its rotary embedding."""

import torch

from scenewright.encoders.vggt import VGGTAggregator, VGGTConfig
from scenewright.encoders.vggt.rotary import rotary_tables, rotated
from tests.support.scenegen_condition import assemble_condition

TINY = VGGTConfig(image_size=28, width=16, depth=2, num_heads=2, patch_embed_depth=1, patch_embed_num_heads=2)


def tiny_aggregator() -> VGGTAggregator:
    generator = torch.Generator().manual_seed(0)
    network = VGGTAggregator(TINY).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return network


def test_published_aggregator_has_909_million_parameters() -> None:
    with torch.device("meta"):
        network = VGGTAggregator()
    assert sum(parameter.numel() for parameter in network.parameters()) == 909_112_320
    names = network.state_dict().keys()
    assert "patch_embed.blocks.23.attn.qkv.weight" in names
    assert "global_blocks.23.attn.k_norm.bias" in names


@torch.no_grad()
def test_frames_after_the_first_are_interchangeable() -> None:
    network, images = tiny_aggregator(), torch.rand(1, 3, 3, 28, 28)
    order = [0, 2, 1]
    torch.testing.assert_close(network(images[:, order])[0], network(images)[0][:, order], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_first_frame_is_not_interchangeable() -> None:
    network, images = tiny_aggregator(), torch.rand(1, 2, 3, 28, 28)
    assert not torch.allclose(network(images[:, [1, 0]])[0], network(images)[0][:, [1, 0]], atol=1e-3)


@torch.no_grad()
def test_sequences_of_a_batch_do_not_see_each_other() -> None:
    network, images = tiny_aggregator(), torch.rand(2, 2, 3, 28, 42)
    together = network(images)[0]
    alone = torch.cat([network(sequence[None])[0] for sequence in images])
    assert together.shape == (2, 2, 1 + 4 + 6, 32)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_depths_are_returned_as_asked() -> None:
    network, images = tiny_aggregator(), torch.rand(1, 1, 3, 28, 28)
    last, first, also_last = network(images, depths=(-1, 0, 1))
    torch.testing.assert_close(last, also_last, atol=0, rtol=0)
    assert not torch.allclose(first, last)
    torch.testing.assert_close(network(images, depths=(0,))[0], first, atol=0, rtol=0)


def test_rotary_products_depend_on_the_distance_only() -> None:
    q, k = torch.randn(2, 1, 1, 1, 32)
    products = []
    for shift in (0, 5):
        positions = torch.tensor([[[3 + shift, 1], [7 + shift, 4]]])
        cos, sin = rotary_tables(positions, 32)
        turned = rotated(torch.cat([q, k], dim=2), cos, sin)
        products.append((turned[0, 0, 0] * turned[0, 0, 1]).sum())
    torch.testing.assert_close(products[0], products[1], atol=1e-4, rtol=1e-4)


def test_rotary_turns_channel_pairs_by_hand() -> None:
    cos, sin = rotary_tables(torch.tensor([[[1, 0]]]), 4)
    x = torch.tensor([1.0, 0.0, 1.0, 0.0]).reshape(1, 1, 1, 4)
    one = torch.tensor(1.0)
    torch.testing.assert_close(rotated(x, cos, sin).flatten(), torch.stack([one.cos(), one.sin(), one, one * 0]))


def test_condition_of_the_published_sizes_has_6870_tokens() -> None:
    tokens = torch.randn(2, 1374, 4)
    shared = torch.randn(1, 1374, 4)
    vggt = torch.randn(1, 1374, 8)
    condition = assemble_condition(tokens, tokens + 1, shared, vggt)
    assert condition.shape == (2, 6870, 4)
    torch.testing.assert_close(condition[1, :1374], tokens[1])
    torch.testing.assert_close(condition[1, 2748:4122], shared[0])
    torch.testing.assert_close(condition[0, 4122:5496], vggt[0, :, :4])
    torch.testing.assert_close(condition[0, 5496:], vggt[0, :, 4:])


def test_runs_left_out_are_not_filled() -> None:
    tokens = torch.randn(3, 5, 4)
    assert assemble_condition(tokens).shape == (3, 5, 4)
    assert assemble_condition(tokens, None, None, torch.randn(1, 2, 8)).shape == (3, 9, 4)
