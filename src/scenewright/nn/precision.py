"""Parameters that may be half precision or eight bits: weights of linear and convolution layers in repeated blocks.

Norm parameters, embeddings, first and last layers stay fp32, as published (`convert_to_fp16` of
microsoft/TRELLIS trellis/models/sparse_structure_flow.py and of TRELLIS.2's file of the same name).
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from scenewright.nn.sparse_conv import SparseConv3d

__all__ = ["CompactLinear", "cast_torso", "compact_linears", "torso_dtype"]

_TORSO_LAYERS = (nn.Linear, nn.Conv3d, SparseConv3d)


class CompactLinear(nn.Linear):
    """A linear layer that keeps its weight in eight bits, with a scale per row, once it is filled.

    The weight is made anew at each use, in the precision that the layer was built in: against the products of thousands
    of rows that costs little, and what is kept takes half of bfloat16 or a quarter of float32. A weight is off by at
    most 1/254 of its row's largest.
    """

    @classmethod
    def like(cls, layer: nn.Linear) -> "CompactLinear":
        """A layer of the same sizes, precision and device, not filled."""
        weight = layer.weight
        return cls(
            layer.in_features, layer.out_features, layer.bias is not None, device=weight.device, dtype=weight.dtype
        )

    def after_fill(self, attribute: str) -> None:
        """See `weights.load`."""
        if attribute == "weight":
            self.weight.requires_grad_(False)
            register_parametrization(self, "weight", _EightBits(self.weight.dtype), unsafe=True)


class _EightBits(nn.Module):
    """The parametrization of `CompactLinear`: kept as integers and scales, used as their product."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype

    def forward(self, values: Int8[Tensor, "out in"], scales: Float[Tensor, "out 1"]) -> Float[Tensor, "out in"]:
        return values.to(self._dtype) * scales.to(self._dtype)

    def right_inverse(self, weight: Float[Tensor, "out in"]) -> tuple[Int8[Tensor, "out in"], Float[Tensor, "out 1"]]:
        # Rounded to the precision of use first, so that integers fit the scales that will be used.
        scales = (weight.float().abs().amax(1, keepdim=True) / 127).to(self._dtype).float()
        values = (weight.float() / scales.clamp(min=1e-30)).round().clamp(-127, 127)
        return values.to(torch.int8), scales


def compact_linears(network: nn.Module) -> None:
    """Replaces every linear layer inside, before it is filled, by one that keeps its weight in eight bits."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, CompactLinear.like(child))


def cast_torso(blocks: Iterable[nn.Module], dtype: torch.dtype) -> None:
    """Casts the linear and convolution layers inside `blocks` in place; works on the meta device too.

    torch.int8 keeps linear weights in eight bits, and computes in bfloat16. It is for networks that are filled next.
    """
    for block in blocks:
        if dtype == torch.int8:
            compact_linears(block)
        for module in block.modules():
            if isinstance(module, _TORSO_LAYERS):
                module.to(torch.bfloat16 if dtype == torch.int8 else dtype)


def torso_dtype(blocks: Iterable[nn.Module]) -> torch.dtype:
    """The dtype activations take inside `blocks`: that of the first linear or convolution weight found."""
    for block in blocks:
        for module in block.modules():
            if isinstance(module, _TORSO_LAYERS):
                return module.weight.dtype
    return torch.float32
