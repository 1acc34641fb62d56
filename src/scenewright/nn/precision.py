"""Parameters that may be half precision: the weights of linear and convolution layers inside the repeated blocks.

Norm parameters, embeddings, first and last layers stay fp32, as published (`convert_to_fp16` of
microsoft/TRELLIS trellis/models/sparse_structure_flow.py and of TRELLIS.2's file of the same name).
"""

from collections.abc import Iterable

import torch
from torch import nn

from scenewright.nn.sparse_conv import SparseConv3d

__all__ = ["cast_torso", "torso_dtype"]

_TORSO_LAYERS = (nn.Linear, nn.Conv3d, SparseConv3d)


def cast_torso(blocks: Iterable[nn.Module], dtype: torch.dtype) -> None:
    """Casts the linear and convolution layers inside `blocks` in place; works on the meta device too."""
    for block in blocks:
        for module in block.modules():
            if isinstance(module, _TORSO_LAYERS):
                module.to(dtype)


def torso_dtype(blocks: Iterable[nn.Module]) -> torch.dtype:
    """The dtype activations take inside `blocks`: that of the first linear or convolution weight found."""
    for block in blocks:
        for module in block.modules():
            if isinstance(module, _TORSO_LAYERS):
                return module.weight.dtype
    return torch.float32
