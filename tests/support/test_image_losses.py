"""Structural similarity and PSNR of training images."""

import pytest
import torch

from tests.support.image_losses import psnr, ssim


def test_equal_images_score_one_and_unrelated_ones_little():
    a, b = torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert float(ssim(a, a)) == pytest.approx(1.0)
    assert abs(float(ssim(a, b))) < 0.3  # noise is unrelated; the zero border agrees a little


def test_constant_images_compare_by_their_means_alone():
    """With no variance the index is (2ab + c1) / (a^2 + b^2 + c1), away from the zero-padded border."""
    a, b = torch.full((1, 1, 41, 41), 0.5), torch.full((1, 1, 41, 41), 0.25)
    inner = float(ssim(a, b, window_size=1))
    assert inner == pytest.approx((2 * 0.125 + 1e-4) / (0.25 + 0.0625 + 1e-4), rel=1e-5)


def test_similarity_is_differentiable():
    a = torch.rand(1, 3, 16, 16, requires_grad=True)
    (1 - ssim(a, torch.rand(1, 3, 16, 16))).backward()
    assert a.grad.abs().sum() > 0


def test_psnr_counts_decibels_of_the_mean_squared_error():
    assert float(psnr(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.1))) == pytest.approx(20.0, rel=1e-5)
