"""Measures on rendered views."""

from pathlib import Path

import pytest
from PIL import Image

from scenewright.errors import InputError
from scenewright.evaluation.views import measure_views


def save_views(folder: Path, grey: int) -> list[dict]:
    Image.new("RGB", (16, 16), (100, 100, 100)).save(folder / "truth.png")
    Image.new("RGB", (16, 16), (grey, grey, grey)).save(folder / "prediction.png")
    return [{"pictures": {"prediction": "prediction.png", "truth": "truth.png"}}, {"name": "failed"}]


def test_by_hand(tmp_path: Path) -> None:
    found = measure_views(save_views(tmp_path, 151), tmp_path, ["psnr", "ssim"])
    assert found["psnr"] == pytest.approx(20 * 0.698970, abs=1e-3)  # the error is 51 / 255 = 0.2 everywhere
    assert 0 < found["ssim"] < 1
    assert measure_views(save_views(tmp_path, 100), tmp_path, ["ssim"])["ssim"] == pytest.approx(1)


def test_unknown_measures_and_missing_views_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lpips"):
        measure_views(save_views(tmp_path, 100), tmp_path, ["beauty"])
    with pytest.raises(InputError, match="No views"):
        measure_views([{"name": "failed"}], tmp_path, ["psnr"])
