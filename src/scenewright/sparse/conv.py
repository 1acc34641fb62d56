"""Sparse convolution as gather, matrix product, scatter-add, one kernel tap at a time.

`sparse_conv` works on any device and for any `KernelMap`. Only existing neighbours cost arithmetic. Target rows are
walked in blocks so that the gathered rows stay in cache and extra memory stays bounded whatever the voxel count. On a
CPU a compiled loop adds the products: the bits of torch's `index_add_`, which takes up to half of a convolution.
Tests hold it together with the same sum written as one line per tap, gradients included.

Legend: N input rows, M output rows, K taps, C input and D output channels.
"""

import math
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import FunctionCtx

from scenewright.compiled import njit
from scenewright.sparse.kernel_map import KernelMap
from scenewright.sparse.side_by_side import run_side_by_side

__all__ = ["sparse_conv"]

# Bytes of gathered rows and their products alive at once in each thread. On a CPU about what the caches keep (smaller
# blocks mean more calls, which cost narrow rows a fifth of their time); on an accelerator blocks only bound memory.
_CPU_BLOCK_BYTES, _ACCELERATOR_BLOCK_BYTES = 1 << 22, 1 << 28
# Fewer rows than this are not worth a thread of their own. Blocks of fewer than that lose more in their products, where
# rows are wide, than the cache brings.
_FEWEST_ROWS, _FEWEST_ROWS_OF_A_BLOCK = 256, 1024


def sparse_conv(
    feats: Float[Tensor, "N C"],
    weight: Float[Tensor, "K C D"],
    bias: Float[Tensor, " D"] | None,
    kernel_map: KernelMap,
) -> Float[Tensor, "M D"]:
    """Sum over taps k of feats[sources_k] @ weight[k] added at targets_k, plus the bias; differentiable."""
    if len(weight) != len(kernel_map.sources):
        raise ValueError(f"The kernel has {len(weight)} taps, the map {len(kernel_map.sources)}.")
    kind = feats.device.type
    if torch.is_autocast_enabled(kind):  # autocast does not reach the backward pass of a custom function
        dtype = torch.get_autocast_dtype(kind)
        feats, weight = feats.to(dtype), weight.to(dtype)
    out = _SparseConv.apply(feats, weight, kernel_map)
    return out if bias is None else out + bias


def _block_starts(num_targets: int, row_bytes: int, device: torch.device) -> tuple[int, ...]:
    """First rows of blocks of about equal size, and the end of the last; every thread gets as many blocks."""
    is_cpu = device.type == "cpu"
    num_threads = torch.get_num_threads() if is_cpu and num_targets >= 2 * _FEWEST_ROWS else 1
    budget = _CPU_BLOCK_BYTES if is_cpu else _ACCELERATOR_BLOCK_BYTES
    most = max(_FEWEST_ROWS_OF_A_BLOCK, budget // max(row_bytes, 1))
    count = num_threads * max(1, math.ceil(num_targets / (most * num_threads)))
    return tuple(round(block * num_targets / count) for block in range(count + 1))


def _gather_gemm_scatter(feats: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
    channels_in, channels_out = weight.shape[1:]
    # Stored kernels interleave the taps; rows that lie far apart make the products several times slower.
    weight = weight.contiguous()
    identity = kernel_map.identity_tap
    create = feats.new_zeros if identity is None else feats.new_empty
    out = create(kernel_map.num_targets, channels_out)
    starts = _block_starts(kernel_map.num_targets, feats.element_size() * (channels_in + channels_out), feats.device)
    blocks = kernel_map.in_blocks(starts)
    by_tap = weight.unbind(0)

    def add_block(number: int) -> None:
        # A view of its rows alone: in float16 index_add_ rewrites every row of the tensor it is given, which would undo
        # what other threads write meanwhile.
        own = slice(starts[number], starts[number + 1])
        block = out[own]
        if identity is not None:
            torch.mm(feats[own], by_tap[identity], out=block)
        num_rows = max((len(sources) for _, sources, _ in blocks[number]), default=0)
        gathered, products = feats.new_empty(num_rows, channels_in), feats.new_empty(num_rows, channels_out)
        for tap, sources, targets in blocks[number]:
            rows, product = gathered[: len(sources)], products[: len(sources)]
            torch.index_select(feats, 0, sources, out=rows)
            torch.mm(rows, by_tap[tap], out=product)
            _add_rows(block, targets, product)

    # Blocks write different rows of `out`, each in the order of taps, so the sums do not depend on the threads.
    num_threads = torch.get_num_threads() if feats.device.type == "cpu" else 1
    run_side_by_side(add_block, range(len(blocks)), num_threads=num_threads)
    return out


def _add_rows(out: Float[Tensor, "M D"], targets: Int[Tensor, " P"], rows: Float[Tensor, "P D"]) -> None:
    """Adds every row to its target; no target repeats."""
    if out.device.type != "cpu" or out.dtype == torch.float16:
        out.index_add_(0, targets, rows)
    elif out.dtype == torch.bfloat16:
        _add_bfloat16(out.view(torch.uint16).numpy(), targets.numpy(), rows.view(torch.uint16).numpy())
    else:
        _add(out.numpy(), targets.numpy(), rows.numpy())


@njit(cache=True, nogil=True)
@no_type_check
def _add(out, targets, rows):
    """`out[targets] += rows` of floats; no target repeats."""
    for row in range(len(targets)):
        target = targets[row]
        for channel in range(rows.shape[1]):
            out[target, channel] += rows[row, channel]


@njit(cache=True, nogil=True)
@no_type_check
def _add_bfloat16(out, targets, rows):
    """The same on bits of bfloat16, the upper half of a float32: sums are made in float32 and rounded to even."""
    half = np.uint32(16)
    for row in range(len(targets)):
        target = targets[row]
        for channel in range(rows.shape[1]):
            # numba widens what it computes with: every value is made 32 bits wide again before it is looked at anew.
            kept = np.uint32(np.uint32(out[target, channel]) << half).view(np.float32)
            added = np.uint32(np.uint32(rows[row, channel]) << half).view(np.float32)
            bits = np.float32(kept + added).view(np.uint32)
            out[target, channel] = (bits + np.uint32(0x7FFF) + (bits >> half & np.uint32(1))) >> half


def _weight_gradient(feats: Tensor, grad_out: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
    # Sums over many blocks are kept in fp32.
    grad = torch.zeros_like(weight, dtype=torch.promote_types(weight.dtype, torch.float32))
    starts = _block_starts(kernel_map.num_targets, feats.element_size() * sum(weight.shape[1:]), feats.device)
    if kernel_map.identity_tap is not None:
        grad[kernel_map.identity_tap] = feats.T @ grad_out
    for start, block in zip(starts[:-1], kernel_map.in_blocks(starts), strict=True):
        for tap, sources, targets in block:
            source, target = feats.index_select(0, sources), grad_out[start:].index_select(0, targets)
            if grad.dtype == source.dtype:
                grad[tap].addmm_(source.T, target)
            else:
                grad[tap] += source.T @ target
    return grad.to(weight.dtype)


class _SparseConv(torch.autograd.Function):
    """Saves the input rows only: under plain autograd every tap would keep its own gathered copy."""

    @staticmethod
    def forward(ctx: FunctionCtx, feats: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
        ctx.save_for_backward(feats, weight)
        ctx.kernel_map = kernel_map  # type: ignore[attr-defined]
        return _gather_gemm_scatter(feats, weight, kernel_map)

    @staticmethod
    def backward(ctx: FunctionCtx, grad_out: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        feats, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        needs_feats, needs_weight, _ = ctx.needs_input_grad  # type: ignore[attr-defined]
        kernel_map: KernelMap = ctx.kernel_map  # type: ignore[attr-defined]
        grad_out = grad_out.contiguous()
        grad_feats = grad_weight = None
        if needs_feats:
            grad_feats = _gather_gemm_scatter(grad_out, weight.transpose(1, 2), kernel_map.transposed())
        if needs_weight:
            grad_weight = _weight_gradient(feats, grad_out, weight, kernel_map)
        return grad_feats, grad_weight, None
