"""Space-filling curves over voxel coordinates: one 30-bit code per voxel, 10 bits per axis.

Both curves interleave bits with x most significant in each triple (the opposite of the x-fastest child order inside the
sparse autoencoders). The Hilbert curve first transforms the coordinates so that consecutive codes are face neighbours.

Legend: N voxels. Source: Skilling, Programming the Hilbert curve, 2004;
microsoft/TRELLIS.2 o-voxel/o_voxel/serialize.py.
"""

from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["CURVE_LIMIT", "decode_curve", "encode_curve"]

Curve = Literal["z_order", "hilbert"]
Permutation = tuple[int, int, int]

_BITS = 10
CURVE_LIMIT = 1 << _BITS


def encode_curve(
    coords: Int[Tensor, "N 3"], curve: Curve = "z_order", permute: Permutation = (0, 1, 2)
) -> Int[Tensor, " N"]:
    """Position of each voxel along the curve, int64. `permute` re-orders the columns before encoding.

    Raises:
        ValueError: a coordinate is outside [0, 1024), or `permute` is no permutation of (0, 1, 2).
    """
    _check_permutation(permute)
    if coords.numel() and (int(coords.min()) < 0 or int(coords.max()) >= CURVE_LIMIT):
        low, high = int(coords.min()), int(coords.max())
        raise ValueError(f"Space-filling curves take coordinates from 0 to {CURVE_LIMIT - 1}, got {low} to {high}.")
    axes = list(coords.long()[:, list(permute)].unbind(1))
    if curve == "hilbert":
        axes = _to_hilbert(axes)
    return _spread(axes[0]) << 2 | _spread(axes[1]) << 1 | _spread(axes[2])


def decode_curve(
    codes: Int[Tensor, " N"], curve: Curve = "z_order", permute: Permutation = (0, 1, 2)
) -> Int[Tensor, "N 3"]:
    """Inverse of `encode_curve` with the same curve and permutation, int32.

    Raises:
        ValueError: a code is outside [0, 2^30), or `permute` is no permutation of (0, 1, 2).
    """
    _check_permutation(permute)
    if codes.numel() and (int(codes.min()) < 0 or int(codes.max()) >= CURVE_LIMIT**3):
        raise ValueError(f"Curve codes have 30 bits, got {int(codes.min())} to {int(codes.max())}.")
    codes = codes.long()
    axes = [_gather(codes >> 2), _gather(codes >> 1), _gather(codes)]
    if curve == "hilbert":
        axes = _from_hilbert(axes)
    inverse = [permute.index(column) for column in range(3)]
    return torch.stack([axes[column] for column in inverse], 1).int()


def _check_permutation(permute: Permutation) -> None:
    if sorted(permute) != [0, 1, 2]:
        raise ValueError(f"Expected a permutation of (0, 1, 2), got {permute}.")


def _spread(values: Tensor) -> Tensor:
    """Bit b moves to bit 3 b."""
    for shift, mask in ((16, 0x030000FF), (8, 0x0300F00F), (4, 0x030C30C3), (2, 0x09249249)):
        values = (values | values << shift) & mask
    return values


def _gather(values: Tensor) -> Tensor:
    """Bit 3 b moves to bit b; other bits are dropped."""
    values = values & 0x09249249
    for shift, mask in ((2, 0x030C30C3), (4, 0x0300F00F), (8, 0x030000FF), (16, 0x000003FF)):
        values = (values | values >> shift) & mask
    return values


def _exchange(axes: list[Tensor], axis: int, bit: int) -> None:
    """Inverts the low bits of the first axis where the axis has `bit`; swaps both axes' low bits elsewhere."""
    low = bit - 1
    has_bit = (axes[axis] & bit) != 0
    difference = torch.where(has_bit, 0, (axes[0] ^ axes[axis]) & low)
    axes[0] = torch.where(has_bit, axes[0] ^ low, axes[0] ^ difference)
    # For axis 0 the swap is with itself: `difference` is zero and the line changes nothing.
    if axis:
        axes[axis] = axes[axis] ^ difference


def _to_hilbert(axes: list[Tensor]) -> list[Tensor]:
    for level in range(_BITS - 1, 0, -1):
        for axis in range(3):
            _exchange(axes, axis, 1 << level)
    axes[1] = axes[1] ^ axes[0]
    axes[2] = axes[2] ^ axes[1]
    flip = torch.zeros_like(axes[0])
    for level in range(_BITS - 1, 0, -1):
        flip = torch.where((axes[2] & (1 << level)) != 0, flip ^ ((1 << level) - 1), flip)
    return [values ^ flip for values in axes]


def _from_hilbert(axes: list[Tensor]) -> list[Tensor]:
    # Undo the flip from the top bit down: bit b of the plain last axis is the encoded one with all higher flips undone.
    last, flip = axes[2], torch.zeros_like(axes[2])
    for level in range(_BITS - 1, 0, -1):
        flip = torch.where(((last ^ flip) & (1 << level)) != 0, flip ^ ((1 << level) - 1), flip)
    axes = [values ^ flip for values in axes]
    axes[2] = axes[2] ^ axes[1]
    axes[1] = axes[1] ^ axes[0]
    for level in range(1, _BITS):
        for axis in (2, 1, 0):
            _exchange(axes, axis, 1 << level)
    return axes
