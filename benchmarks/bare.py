"""The matrix products and attention of a network's forward by themselves, called again with the same shapes."""

from collections.abc import Callable
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.sparse_conv import products
from scenewright.nn.attention import ContextKeyValues, CrossAttention, SelfAttention
from scenewright.nn.sparse_conv import SparseConv3d
from scenewright.sparse.attention import Sequences, attention
from scenewright.sparse.kernel_map import submanifold_map

__all__ = ["bare_calls"]


def bare_calls(network: nn.Module, forward: Callable[[], object]) -> Callable[[], None]:
    """A function that multiplies and attends as one call of `forward` does, and nothing else.

    Operands are random and lie as the products like them best: rows in one piece, and queries, keys and values by head.
    """
    calls: list[Callable[[], object]] = []

    @cache
    def rows(count: int, channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.randn(count, channels, dtype=dtype, device=device)

    @cache
    def heads(count: int, like: nn.Linear, num_heads: int) -> Tensor:
        weight = like.weight
        shape = (num_heads, count, weight.shape[0] // num_heads)
        return torch.randn(shape, dtype=weight.dtype, device=weight.device).transpose(0, 1)

    def record(module: nn.Module, args: tuple) -> None:
        if isinstance(module, nn.Linear):
            x = args[0]
            x = rows(x.numel() // x.shape[-1], x.shape[-1], x.dtype, x.device)
            calls.append(partial(F.linear, x, module.weight, module.bias))
        elif isinstance(module, SparseConv3d):
            x = args[0]
            kernel_map = submanifold_map(x.voxels, module.kernel_size, module.dilation)
            calls.append(partial(products, torch.randn_like(x.feats), module.taps.contiguous(), kernel_map))
        elif isinstance(module, (SelfAttention, CrossAttention)):
            tokens: Sequences = args[1]
            q = heads(len(args[0]), module.to_out, module.num_heads)
            if isinstance(module, SelfAttention):
                calls.append(partial(attention, q, q, q, tokens))
            else:
                assert isinstance(args[2], ContextKeyValues), "the condition of a plain flow"
                kv = heads(len(args[2].keys), module.to_out, module.num_heads)
                calls.append(partial(attention, q, kv, kv, tokens, args[2].sequences))

    hooks = [module.register_forward_pre_hook(record) for module in network.modules()]
    forward()
    for hook in hooks:
        hook.remove()

    def run() -> None:
        for call in calls:
            call()

    return run
