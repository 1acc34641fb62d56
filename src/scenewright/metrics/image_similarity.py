"""PSNR and SSIM of pictures, and the compositing that the published evaluations do first.

PSNR in float64 with peak 1. SSIM as torchmetrics computes it by default (Wang et al. 2004): Gaussian window 11x11,
sigma 1.5, k1 0.01, k2 0.03, data range 1, borders reflected, mean over channels and pixels.

Images are `[C, H, W]`, values in [0, 1], sRGB as stored.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from scenewright.errors import InputError

__all__ = ["psnr", "ssim"]

# The sizes have no name, so that unequal ones reach our own message.
Picture = Float[Tensor, "_ _ _"]

_WINDOW, _SIGMA, _K1, _K2 = 11, 1.5, 0.01, 0.03


def psnr(prediction: Picture, truth: Picture) -> float:
    """10 log10(1 / mean squared error) in decibels (Hore and Ziou 2010); infinite for equal images."""
    _check_sizes(prediction, truth)
    error = (prediction.double() - truth.double()).square().mean()
    return float(-10 * torch.log10(error)) if error > 0 else float("inf")


def ssim(prediction: Picture, truth: Picture) -> float:
    """Structural similarity, at most 1 (equal images): Wang et al. 2004, eq. 13, in Gaussian windows.

    The mean over pixels of (2 mx my + c1) (2 cov + c2) / ((mx^2 + my^2 + c1) (vx + vy + c2)), c = k^2.

    Raises:
        InputError: the sizes differ, or a side is shorter than the 11-pixel window.
    """
    _check_sizes(prediction, truth)
    channels, height, width = prediction.shape
    if min(height, width) < _WINDOW:
        raise InputError(f"SSIM needs images of at least {_WINDOW}x{_WINDOW} pixels, got {width}x{height}.")
    x, y = prediction.double()[None], truth.double()[None]
    steps = torch.arange(_WINDOW, dtype=torch.float64, device=x.device) - _WINDOW // 2
    line = torch.exp(-steps.square() / (2 * _SIGMA**2))
    line = line / line.sum()
    window = (line[:, None] * line[None]).expand(channels, 1, _WINDOW, _WINDOW)

    def blur(image: Tensor) -> Tensor:
        padded = F.pad(image, (_WINDOW // 2,) * 4, mode="reflect")
        return F.conv2d(padded, window, groups=channels)

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = _K1**2, _K2**2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float((similarity / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean())


def _check_sizes(prediction: Tensor, truth: Tensor) -> None:
    if prediction.shape != truth.shape:
        sizes = f"{tuple(prediction.shape)} and {tuple(truth.shape)}"
        raise InputError(f"Expected two images of one size, got {sizes}; render the prediction at the truth's size.")
