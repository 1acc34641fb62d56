"""PSNR, SSIM and compositing: by hand, identity, invariance, bad sizes."""

import math

import pytest
import torch

from scenewright.errors import InputError
from scenewright.metrics.image_similarity import psnr, ssim
from tests.support.metrics import on_white


def picture(seed: int) -> torch.Tensor:
    return torch.rand(3, 20, 24, generator=torch.Generator().manual_seed(seed))


def test_psnr_by_hand() -> None:
    black = torch.zeros(3, 12, 12)
    assert psnr(black, black + 0.1) == pytest.approx(20, abs=1e-4)
    assert psnr(black, black) == math.inf


def test_ssim_of_flat_pictures_by_hand() -> None:
    a, b = torch.full((1, 16, 16), 0.4), torch.full((1, 16, 16), 0.6)
    c1 = 0.01**2  # variances and covariance are zero, so only the means' term is left
    assert ssim(a, b) == pytest.approx((2 * 0.24 + c1) / (0.16 + 0.36 + c1), rel=1e-5)


def test_ssim_identity_symmetry_and_flips() -> None:
    a, b = picture(0), picture(1)
    assert ssim(a, a) == pytest.approx(1)
    assert ssim(a, b) == pytest.approx(ssim(b, a))
    assert ssim(a.flip(2), b.flip(2)) == pytest.approx(ssim(a, b))


def test_on_white_by_hand() -> None:
    rgba = torch.tensor([0.5, 0.0, 1.0, 0.5])[:, None, None]
    assert on_white(rgba).flatten().tolist() == [0.75, 0.5, 1.0]


def test_bad_sizes_are_named() -> None:
    with pytest.raises(InputError, match="one size"):
        psnr(torch.zeros(3, 4, 4), torch.zeros(3, 4, 5))
    with pytest.raises(InputError, match="11x11"):
        ssim(torch.zeros(3, 4, 4), torch.zeros(3, 4, 4))


def test_psnr_forgets_order_and_flips() -> None:
    first, second = torch.rand(2, 3, 12, 16, generator=torch.Generator().manual_seed(0))
    assert psnr(second, first) == pytest.approx(psnr(first, second))
    assert psnr(first.flip(2), second.flip(2)) == pytest.approx(psnr(first, second))


def test_ssim_of_checkerboards_by_hand() -> None:
    # Within the Gaussian window a fine checkerboard has mean m, variance a^2 and covariance a b: the means cancel.
    signs = (-1.0) ** (torch.arange(16)[:, None] + torch.arange(20))[None]
    c2 = 0.03**2
    for a, b in ((0.2, 0.1), (0.2, -0.2), (0.3, 0.0)):
        wanted = (2 * a * b + c2) / (a * a + b * b + c2)
        assert ssim(0.5 + a * signs, 0.5 + b * signs) == pytest.approx(wanted, abs=1e-3)
