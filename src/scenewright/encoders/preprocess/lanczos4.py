"""OpenCV's Lanczos4 resize for float images: 8 taps, half-pixel centres, replicated border, no antialiasing.

I-Scene's networks were trained on pictures resized this way; Pillow's Lanczos differs when it shrinks.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["lanczos4_resized"]


def lanczos4_resized(
    images: Float[Tensor, "*batch height width"], height: int, width: int
) -> Float[Tensor, "*batch new_height new_width"]:
    """The images at the new size; values may overshoot the input's range, as Lanczos does."""
    return _along_last(_along_last(images, width).transpose(-1, -2), height).transpose(-1, -2)


def _along_last(images: Tensor, size: int) -> Tensor:
    index, weight = _taps(images.shape[-1], size, images.device)
    weight = weight.to(images.dtype)
    result = images[..., index[0]] * weight[0]
    for tap in range(1, 8):
        result = result + images[..., index[tap]] * weight[tap]
    return result


def _taps(old: int, new: int, device: torch.device) -> tuple[Int[Tensor, "8 new"], Float[Tensor, "8 new"]]:
    """Source positions and normalised weights sinc(d) sinc(d / 4) of the eight neighbours of each new sample."""
    centre = (torch.arange(new, dtype=torch.float64, device=device) + 0.5) * (old / new) - 0.5
    source = centre.floor() + torch.arange(-3, 5, device=device, dtype=torch.float64)[:, None]
    distance = centre - source
    weight = torch.sinc(distance) * torch.sinc(distance / 4)
    return source.clamp(0, old - 1).long(), weight / weight.sum(0)
