"""Pictures of linear light and depth maps in OpenEXR, Radiance and floating TIFF, through OpenImageIO (extra `hdr`).

    image = tone_mapped(load_linear_image("room.hdr"))       # 8 bits, sRGB
    depth = load_channel("room_depth.exr", ("Z", "R"))       # as stored

Values are what the file stores. Channels are found by name, whatever layer they are in ("ViewLayer.Depth.Z" is a Z).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scenewright.errors import InputError, MissingExtraError
from scenewright.files import read_file, reading, spend
from scenewright.geometry.color import srgb_from_linear

__all__ = ["LINEAR_SUFFIXES", "TONE_MAPPING", "load_channel", "load_linear_image", "tone_mapped"]

LINEAR_SUFFIXES = (".hdr", ".exr")
TONE_MAPPING = (
    "The picture holds linear light: its mean brightness (of logarithms) was brought to middle grey (0.18) and its "
    "range compressed by Reinhard's curve, white at the brightest hundredth."
)
"""Sentence for users about what `tone_mapped` does."""

_MAGIC = (b"\x76\x2f\x31\x01", b"#?")
_MIDDLE_GREY = 0.18
_LUMINANCE = (0.2126, 0.7152, 0.0722)


def load_linear_image(path: str | Path, *, max_pixels: int) -> Float[Tensor, "height width 3"]:
    """Red, green and blue of a file of linear light; a file of one channel is grey. Negative and unknown values are 0.

    Raises:
        InputError: the file is missing, damaged, too large, or has no colours.
        MissingExtraError: OpenImageIO is not installed.
    """
    pixels, names = _read(Path(path), max_pixels)
    chosen = [index for letter in "RGB" if (index := _channel(names, (letter,))) is not None]
    if len(chosen) < 3:
        grey = _channel(names, ("Y", "L")) if len(names) > 1 else 0
        if grey is None:
            raise InputError(f"Expected channels R, G and B in '{path}', found {', '.join(names)}.")
        chosen = [grey] * 3
    return torch.from_numpy(pixels)[..., chosen].nan_to_num(0.0, neginf=0.0).clamp(min=0)


def load_channel(path: str | Path, wanted: Sequence[str], *, max_pixels: int) -> Float[Tensor, "height width"]:
    """One channel of a file: the first of the wanted names that it has, or its only one.

    Raises:
        InputError: the file is missing, damaged, too large, or has several channels of other names.
        MissingExtraError: OpenImageIO is not installed.
    """
    pixels, names = _read(Path(path), max_pixels)
    chosen = 0 if len(names) == 1 else _channel(names, wanted)
    if chosen is None:
        raise InputError(f"Expected a channel {' or '.join(wanted)} in '{path}', found {', '.join(names)}.")
    return torch.from_numpy(pixels[..., chosen].copy())


def tone_mapped(linear: Float[Tensor, "height width 3"]) -> UInt8[Tensor, "height width 3"]:
    """The picture as 8-bit sRGB.

    Luminance is scaled so that its geometric mean over lit pixels is 0.18, then compressed by the extended curve of
    Reinhard et al. (2002, eq. 4) with white at the 99th percentile, or at 1 where that is darker. Colours keep their
    ratios; what exceeds 1 is cut.
    """
    luminance = linear.double() @ torch.tensor(_LUMINANCE, dtype=torch.float64)
    lit = luminance[luminance > 0]
    if not len(lit):
        return torch.zeros(linear.shape, dtype=torch.uint8)
    exposure = _MIDDLE_GREY / float(lit.log().mean().exp())
    white = max(1.0, exposure * float(np.quantile(lit.numpy(), 0.99)))
    scaled = exposure * luminance
    gain = exposure * (1 + scaled / white**2) / (1 + scaled)
    return (255 * srgb_from_linear((linear.double() * gain[..., None]).float())).round().byte()


def _channel(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    """Index of the first wanted name; names without a layer go before those of a layer."""
    order = sorted(range(len(names)), key=lambda index: names[index].count("."))
    for name in wanted:
        for index in order:
            if names[index].rpartition(".")[2].lower() == name.lower():
                return index
    return None


def _read(path: Path, max_pixels: int) -> tuple[Float[np.ndarray, "height width channels"], tuple[str, ...]]:
    with reading(path, "an OpenEXR or Radiance picture", "save it again"):
        return _decoded(path, max_pixels)


def _decoded(path: Path, max_pixels: int) -> tuple[Float[np.ndarray, "height width channels"], tuple[str, ...]]:
    # OpenImageIO knows dozens of formats and tries them all: only these two are let through.
    if not read_file(path).startswith(_MAGIC):
        raise InputError(f"'{path}' is no OpenEXR or Radiance picture; save it as one of these.")
    try:
        import OpenImageIO as oiio
    except ImportError as error:
        raise MissingExtraError(f"Reading '{path.name}'", "hdr") from error
    file = oiio.ImageInput.open(str(path))
    if file is None:
        raise InputError(f"'{path}' is no OpenEXR or Radiance picture, or is damaged ({_reason(oiio.geterror())}).")
    try:
        spec = file.spec()
        if spec.width * spec.height > max_pixels:
            raise InputError(
                f"The picture '{path}' has {spec.width}x{spec.height} pixels, more than the "
                f"{max_pixels / 1e6:.0f} million allowed; scale it down."
            )
        spend(8 * spec.width * spec.height * spec.nchannels, f"the picture '{path}'")
        pixels = file.read_image(format="float")
        # A damaged block is reported, but what could be read is returned all the same.
        if reason := file.geterror():
            raise InputError(f"The picture '{path}' is truncated or damaged ({_reason(reason)}); save it again.")
        return np.asarray(pixels, dtype=np.float32).reshape(spec.height, spec.width, spec.nchannels), spec.channelnames
    finally:
        file.close()


def _reason(message: str) -> str:
    return (message.splitlines() or ["no reason given"])[0].strip().rstrip(".")
