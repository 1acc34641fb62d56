"""Two-dimensional rotary position embedding as VGGT applies it: half of a head's channels turn with y, half with x.

Legend: B batch, H heads, T tokens, D channels of one head (a multiple of 4).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["rotary_tables", "rotated"]


def rotary_tables(
    positions: Int[Tensor, "B T 2"], head_dim: int, *, frequency: float = 100.0
) -> tuple[Float[Tensor, "B 1 T D"], Float[Tensor, "B 1 T D"]]:
    """Cosines and sines for integer (y, x) positions; the angles of an axis are repeated to fill its half of D."""
    half = head_dim // 2
    exponents = torch.arange(0, half, 2, device=positions.device, dtype=torch.float32) / half
    angles = positions.float()[..., None] / frequency**exponents
    angles = torch.cat([angles, angles], dim=-1).flatten(-2)[:, None]
    return angles.cos(), angles.sin()


def rotated(
    x: Float[Tensor, "B H T D"], cos: Float[Tensor, "B 1 T D"], sin: Float[Tensor, "B 1 T D"]
) -> Float[Tensor, "B H T D"]:
    """`x` turned by the tables' angles; within each axis' half, channel i pairs with channel i + D/4."""
    quarters = x.chunk(4, dim=-1)
    turned = torch.cat([-quarters[1], quarters[0], -quarters[3], quarters[2]], dim=-1)
    return x * cos.to(x) + turned * sin.to(x)
