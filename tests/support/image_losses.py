"""Differentiable image losses of the published autoencoder trainings.

Images are `[B, C, H, W]` with values in [0, 1]. Evaluation scores, which pad differently, live in scenewright.metrics.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["psnr", "ssim"]

_C1, _C2 = 0.01**2, 0.03**2


def ssim(
    a: Float[Tensor, "B C H W"], b: Float[Tensor, "B C H W"], window_size: int = 11, sigma: float = 1.5
) -> Float[Tensor, ""]:
    """Mean structural similarity under a Gaussian window, borders padded with zeros. Source: Wang et al. 2004."""
    channels = a.shape[1]
    steps = torch.arange(window_size, dtype=a.dtype, device=a.device) - window_size // 2
    line = torch.exp(-steps.square() / (2 * sigma**2))
    line = line / line.sum()
    window = torch.outer(line, line).expand(channels, 1, -1, -1)

    def blur(image: Tensor) -> Tensor:
        return F.conv2d(image, window, padding=window_size // 2, groups=channels)

    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b = blur(a * a) - mean_a.square(), blur(b * b) - mean_b.square()
    covariance = blur(a * b) - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    return (similarity / ((mean_a.square() + mean_b.square() + _C1) * (variance_a + variance_b + _C2))).mean()


def psnr(a: Float[Tensor, "B C H W"], b: Float[Tensor, "B C H W"]) -> Float[Tensor, ""]:
    """10 log10(1 / mean squared error) over the whole batch, in decibels."""
    return -10 * F.mse_loss(a, b).log10()
