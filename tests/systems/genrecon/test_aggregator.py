"""The aggregator's algebra (once per token, once per voxel) against the plain form, and its invariances."""

import torch
from torch import Tensor

from scenewright.systems.genrecon.aggregator import AggregatorConfig, MultiViewAggregator, Pairs, seen_pairs

VIEWS, VOXELS, WIDTH, PATCHES = 5, 40, 6, 9


def perturbed(seed: int = 0) -> MultiViewAggregator:
    torch.manual_seed(seed)
    network = MultiViewAggregator(AggregatorConfig(WIDTH))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


def plain(network: MultiViewAggregator, feats: Tensor, seen: Tensor) -> Tensor:
    """The published form, view by view on dense `[N, S, D]` features."""
    count = seen.sum(0)[:, None]
    feats = feats * seen[..., None]
    mean = feats.sum(0) / count.clamp(min=1)
    variance = ((feats - mean).square() * seen[..., None]).sum(0) / count.clamp(min=1)
    h = torch.cat([feats, mean.expand_as(feats), variance.expand_as(feats)], -1)
    weight = torch.where(seen, network.weight_mlp(h)[..., 0], -1e9).softmax(0)
    weight = torch.where(count[:, 0] > 0, weight, 0.0)
    return mean + (weight[..., None] * network.feature_mlp(h)).sum(0) * (count > 0)


def example() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randn(VIEWS, PATCHES, WIDTH, generator=generator)
    patch = torch.randint(PATCHES, (VIEWS, VOXELS), generator=generator)
    seen = torch.rand(VIEWS, VOXELS, generator=generator) < 0.5
    seen[:, 0], seen[:, 1] = False, True
    return tokens, patch, seen


def test_algebra_equals_the_plain_form_with_gradients() -> None:
    network = perturbed().double()
    tokens, patch, seen = example()
    tokens = tokens.double().requires_grad_()
    fast = network(tokens.flatten(0, 1), seen_pairs(patch, seen, PATCHES))
    (fast_gradient,) = torch.autograd.grad(fast.square().sum(), tokens)
    slow = plain(network, tokens.gather(1, patch[..., None].expand(-1, -1, WIDTH)), seen)
    (slow_gradient,) = torch.autograd.grad(slow.square().sum(), tokens)
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(fast_gradient, slow_gradient)


def test_order_of_views_does_not_matter_and_unseen_voxels_are_zero() -> None:
    network = perturbed()
    tokens, patch, seen = example()
    order = torch.randperm(VIEWS, generator=torch.Generator().manual_seed(1))
    first = network(tokens.flatten(0, 1), seen_pairs(patch, seen, PATCHES))
    second = network(tokens[order].flatten(0, 1), seen_pairs(patch[order], seen[order], PATCHES))
    torch.testing.assert_close(first, second)
    assert first[0].abs().max() == 0
    assert (first[1:].abs().sum(1) > 0).any()


def test_start_is_the_mean_of_what_is_seen() -> None:
    network = MultiViewAggregator(AggregatorConfig(WIDTH))
    tokens, patch, seen = example()
    rows = network(tokens.flatten(0, 1), seen_pairs(patch, seen, PATCHES))
    feats = tokens.gather(1, patch[..., None].expand(-1, -1, WIDTH)) * seen[..., None]
    torch.testing.assert_close(rows, feats.sum(0) / seen.sum(0).clamp(min=1)[:, None])


def test_without_any_pair_everything_is_zero() -> None:
    none = torch.zeros(0, dtype=torch.long)
    assert perturbed()(torch.randn(4, WIDTH), Pairs(none, none, 3)).eq(torch.zeros(3, WIDTH)).all()
