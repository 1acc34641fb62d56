"""Elementwise functions of bfloat16 on a CPU by table: it has 65,536 values, and torch computes each in float32."""

from collections.abc import Callable
from functools import cache
from typing import Any, no_type_check

import torch
import torch.nn.functional as F
from torch import Tensor

from scenewright.compiled import njit

__all__ = ["activated", "gelu_tanh"]

# Fewer numbers than this are computed sooner than a table is made.
_FEWEST = 1 << 16


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU in its tanh approximation."""
    return F.gelu(x, approximate="tanh")


def activated(x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """`function(x)`, to the bit, for a tensor that nobody needs afterwards: its memory may be reused.

    Args:
        function: elementwise, and a function of a module: its table is kept.
    """
    is_tabled = x.dtype == torch.bfloat16 and x.device.type == "cpu" and x.numel() >= _FEWEST
    if not is_tabled or torch.is_grad_enabled() or not x.is_contiguous():
        return function(x)
    _look_up(x.view(torch.uint16).numpy().reshape(-1), _table(function))
    return x


@cache
def _table(function: Callable[[Tensor], Tensor]) -> Any:
    bits = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16)
    with torch.inference_mode():
        return function(bits.view(torch.bfloat16)).view(torch.uint16).numpy()


@njit(cache=True, nogil=True)
@no_type_check
def _look_up(bits, table):
    """Replaces every number by its entry."""
    for index in range(len(bits)):
        bits[index] = table[bits[index]]
