"""Pictures of linear light and depth in OpenEXR and Radiance files; 16-bit PNG and TIFF."""

import builtins
from pathlib import Path

import numpy as np
import pytest
import torch

from scenewright.errors import InputError, MissingExtraError
from scenewright.io.depth_file import load_depth
from scenewright.io.images import load_image
from scenewright.io.linear_image import load_linear_image, tone_mapped

oiio = pytest.importorskip("OpenImageIO")


def write(path: Path, pixels: np.ndarray, channels: tuple[str, ...] = ("R", "G", "B"), kind: str = "float") -> Path:
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], len(channels), kind)
    spec.channelnames = channels
    file = oiio.ImageOutput.create(str(path))
    assert file.open(str(path), spec)
    assert file.write_image(np.ascontiguousarray(pixels, dtype=np.float32))
    file.close()
    return path


@pytest.fixture
def light() -> np.ndarray:
    """Linear light over four orders of magnitude, brighter to the right, redder below."""
    ramp = np.logspace(-2, 2, 32)[None, :, None] * np.ones((16, 1, 3))
    ramp[..., 1:] *= np.linspace(1, 0.5, 16)[:, None, None]
    return ramp.astype(np.float32)


@pytest.mark.parametrize("suffix", [".exr", ".hdr"])
def test_linear_light_becomes_an_eight_bit_picture(tmp_path: Path, light: np.ndarray, suffix: str) -> None:
    path = write(tmp_path / f"room{suffix}", light)
    assert np.allclose(load_linear_image(path, max_pixels=1000).numpy(), light, rtol=0.03)
    picture = np.asarray(load_image(path)).astype(int)
    assert picture.shape == (16, 32, 3)
    assert bool((np.diff(picture[..., 0], axis=1) >= 0).all())  # brighter stays brighter
    assert len(np.unique(picture[0, :, 0])) > 24  # and neither end is cut
    assert bool((picture[-1, 5:, 0] > picture[-1, 5:, 1]).all())


def test_tone_mapping_does_not_depend_on_exposure() -> None:
    linear = torch.rand(16, 32, 3) * 3
    assert int((tone_mapped(linear).int() - tone_mapped(1000 * linear).int()).abs().max()) <= 1
    assert int(tone_mapped(torch.zeros(8, 16, 3)).max()) == 0


def test_unknown_values_are_black_and_layers_are_found(tmp_path: Path, light: np.ndarray) -> None:
    light[3, 4], light[3, 5] = np.nan, -1
    names = tuple(f"ViewLayer.Combined.{letter}" for letter in "BGR")
    read = load_linear_image(write(tmp_path / "a.exr", light[..., ::-1], names), max_pixels=1000)
    assert read[3, 4:6].abs().max() == 0
    assert np.allclose(read[0], light[0])
    with pytest.raises(InputError, match="channels R, G and B"):
        load_linear_image(write(tmp_path / "b.exr", light[..., :2], ("U", "V")), max_pixels=1000)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_keep_the_upper_eight(tmp_path: Path, suffix: str) -> None:
    values = np.random.default_rng(0).random((16, 32, 3)).astype(np.float32)
    picture = np.asarray(load_image(write(tmp_path / f"a{suffix}", values, kind="uint16")))
    assert np.abs(picture / 255 - values).max() < 0.005


def test_depth_is_found_by_its_channel(tmp_path: Path, light: np.ndarray) -> None:
    depth = light[..., :1]
    assert np.allclose(load_depth(write(tmp_path / "one.exr", depth, ("anything",))), depth[..., 0])
    both = np.concatenate([depth * 2, depth], 2)
    assert np.allclose(load_depth(write(tmp_path / "z.exr", both, ("R", "layer.Z"))), depth[..., 0])
    with pytest.raises(InputError, match=r"channel Z or .*found .*A"):
        load_depth(write(tmp_path / "none.exr", both, ("A", "B")))


def test_damaged_large_and_missing_files_are_one_sentence(tmp_path: Path, light: np.ndarray) -> None:
    path = write(tmp_path / "room.exr", np.random.default_rng(0).random((64, 128, 3)))
    with pytest.raises(InputError, match="more than the"):
        load_linear_image(path, max_pixels=100)
    (tmp_path / "half.exr").write_bytes(path.read_bytes()[:9000])
    with pytest.raises(InputError, match="damaged"):
        load_image(tmp_path / "half.exr")
    (tmp_path / "text.hdr").write_text("no picture")
    with pytest.raises(InputError, match="no OpenEXR or Radiance"):
        load_image(tmp_path / "text.hdr")
    with pytest.raises(InputError, match="does not exist"):
        load_depth(tmp_path / "gone.exr")


def test_the_missing_reader_is_named(tmp_path: Path, light: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = write(tmp_path / "room.hdr", light), builtins.__import__

    def without(name: str, *arguments: object, **named: object) -> object:
        if name == "OpenImageIO":
            raise ImportError(name)
        return real(name, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"Reading 'room\.hdr'.*scenewright\[hdr\]"):
        load_image(path)
