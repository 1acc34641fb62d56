"""What can be said without weights: cosine, and the message when the extra is missing."""

import importlib.util

import pytest
import torch

from scenewright.errors import MissingExtraError
from scenewright.metrics.perceptual import FidAccumulator, feature_similarity, load_lpips


def test_cosine_by_hand_and_without_length() -> None:
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])
    assert feature_similarity(a, b) == pytest.approx(0.5**0.5)
    assert feature_similarity(7 * a, b) == pytest.approx(feature_similarity(a, b))


@pytest.mark.skipif(importlib.util.find_spec("lpips") is not None, reason="the extra is installed")
def test_missing_lpips_says_what_to_install() -> None:
    with pytest.raises(MissingExtraError, match=r"scenewright\[perceptual\]"):
        load_lpips()


@pytest.mark.skipif(importlib.util.find_spec("torchmetrics") is not None, reason="the extra is installed")
def test_missing_fid_says_what_to_install() -> None:
    with pytest.raises(MissingExtraError, match=r"scenewright\[perceptual\]"):
        FidAccumulator()
