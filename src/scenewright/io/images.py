"""Pictures in and out: an allow-list of formats, sizes checked from the header, one sentence when a file is no use.

The header is read first and refuses what is too large, so a decompression bomb is never decoded. Whatever the file's
mode (palette, grey, 16 bit, CMYK, premultiplied), the caller gets RGB, or RGBA where the file has transparency, upright
according to its EXIF orientation.
"""

import io
import warnings
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps
from torch import Tensor

from scenewright.errors import InputError
from scenewright.files import read_file, reading, spend
from scenewright.io.atomic import atomic_path
from scenewright.io.linear_image import LINEAR_SUFFIXES, load_linear_image, tone_mapped

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "decode_image",
    "encode_png",
    "image_of",
    "image_size",
    "load_image",
    "load_label_image",
    "load_label_pixels",
    "pixels_of",
    "save_image",
]

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
"""Formats that are opened; JPEG includes MPO, which phones write as .jpg with a second picture inside.

Of 16 bits per channel the upper eight are kept. OpenEXR and Radiance pictures go through `linear_image`.
"""

MAX_PIXELS = 1 << 27
"""Largest picture decoded: 16384 x 8192, half a gigabyte as RGBA."""

_MIN_SIDE_PX = 8
_ORIENTATION = 0x0112
_KIND, _WAY_OUT = "a picture", "save it again as PNG"
_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP"}


def load_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The picture at `path`, upright, as RGB or (where the file has transparency) RGBA; linear light is tone-mapped.

    Raises:
        MissingExtraError: the file holds linear light, and OpenImageIO is not installed.
        InputError: the file is missing, empty, truncated, of another format, too large, smaller than 8 pixels on a
            side, or transparent everywhere.
    """
    with reading(Path(path), _KIND, _WAY_OUT):
        if Path(path).suffix.lower() in LINEAR_SUFFIXES:
            image = Image.fromarray(tone_mapped(load_linear_image(path, max_pixels=max_pixels)).numpy())
        else:
            image = decode_image(read_file(path), name=f"'{path}'", max_pixels=max_pixels)
    if min(image.size) < _MIN_SIDE_PX:
        raise InputError(
            f"Expected a picture of at least {_MIN_SIDE_PX}x{_MIN_SIDE_PX} pixels, "
            f"but '{path}' is {image.width}x{image.height}; give a larger one."
        )
    if image.mode == "RGBA" and image.getchannel("A").getextrema()[1] == 0:
        raise InputError(
            f"Every pixel of '{path}' is fully transparent, so it shows no object; give an opaque picture."
        )
    return image


def decode_image(content: bytes, *, name: str = "the picture", max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The picture held in `content` as upright RGB or RGBA; `name` is how error messages call it.

    Raises:
        InputError: not a picture of an allowed format, damaged, larger than `max_pixels`, or too much for the file
            that holds it.
    """
    with reading(name, _KIND, _WAY_OUT, size=len(content)):
        image = _decoded(content, name, max_pixels)
        try:
            if image.getexif().get(_ORIENTATION, 1) != 1:
                _spend_pixels(image, image.mode, name)
            ImageOps.exif_transpose(image, in_place=True)
            return _rgb_or_rgba(image)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"The picture {name} has pixels that cannot be converted ({error}); save it as PNG."
            ) from error


def load_label_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The label or mask picture at `path` as stored, in its own mode (palette, grey, 16 bit, colours, alpha).

    Raises:
        InputError: as `load_image`, sizes and transparency apart.
    """
    with reading(Path(path), _KIND, _WAY_OUT):
        return _decoded(read_file(path), f"'{path}'", max_pixels)


def image_size(path: str | Path) -> tuple[int, int]:
    """Width and height that the header of a picture file promises, as stored.

    Raises:
        InputError: the file is missing or is no picture of an allowed format.
    """
    with reading(Path(path), _KIND, _WAY_OUT):
        return _opened(read_file(path), f"'{path}'", MAX_PIXELS).size


def load_label_pixels(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Pixel values of a label or mask picture as stored: palette indices, grey levels (8 or 16 bit), or colours.

    Returns:
        uint8 or int32 array, [height, width] or [height, width, channels].

    Raises:
        InputError: as `load_image`, sizes and transparency apart.
    """
    image = load_label_image(path, max_pixels=max_pixels)
    if image.mode == "1":
        image = image.convert("L")
    pixels = np.asarray(image)
    return pixels if pixels.dtype == np.uint8 else pixels.astype(np.int32)


def save_image(image: Image.Image, path: str | Path) -> Path:
    """Write `image` to `path` atomically, in the format its suffix names (.png, .jpg, .webp, .bmp); returns the path.

    Raises:
        InputError: unknown suffix, or the folder cannot be written.
    """
    path = Path(path)
    file_format = _SUFFIXES.get(path.suffix.lower())
    if file_format is None:
        raise InputError(f"Cannot write a picture as '{path.name}'; use {', '.join(_SUFFIXES)}.")
    if file_format in ("JPEG", "BMP") and image.mode not in ("RGB", "L"):
        image = image.convert("RGB")
    with atomic_path(path) as temporary:
        image.save(temporary, format=file_format, **({"quality": 95} if file_format == "JPEG" else {}))
    return path


def encode_png(pixels: UInt8[Tensor, "height width *channels"]) -> bytes:
    """PNG bytes of an 8-bit picture with 1 (or no), 3 or 4 channels; the same pixels give the same bytes."""
    array = pixels.detach().cpu().numpy()
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def image_of(picture: Float[Tensor, "height width channels"]) -> Image.Image:
    """The 8-bit picture of encoded values in [0, 1]; what lies outside is clamped."""
    return Image.fromarray((picture.detach().clamp(0, 1) * 255).round().byte().cpu().numpy())


def pixels_of(image: Image.Image, mode: str) -> UInt8[Tensor, "height width channels"]:
    """The picture's pixels converted to `mode` ("RGB" or "RGBA")."""
    return torch.from_numpy(np.array(image.convert(mode)))


def _opened(content: bytes, name: str, max_pixels: int) -> Image.Image:
    """A picture whose header was read and whose pixels were not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is checked below
        try:
            image = Image.open(io.BytesIO(content), formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise InputError(f"The picture {name} is too large to decode; scale it down.") from error
        except Exception as error:
            known = ", ".join(FORMATS)
            raise InputError(f"Expected a {known} picture, but {name} is none, or is damaged.") from error
    if image.width * image.height > max_pixels:
        raise InputError(
            f"The picture {name} has {image.width}x{image.height} pixels, "
            f"more than the {max_pixels / 1e6:.0f} million allowed; scale it down."
        )
    return image


def _decoded(content: bytes, name: str, max_pixels: int) -> Image.Image:
    image = _opened(content, name, max_pixels)
    _spend_pixels(image, image.mode, name)
    try:
        image.load()
    except Exception as error:
        raise InputError(f"The picture {name} is truncated or damaged ({error}); save it again.") from error
    return image


def _spend_pixels(image: Image.Image, mode: str, name: str) -> None:
    """Counts one copy of the picture; Pillow keeps colours in four bytes a pixel."""
    num_bytes = 1 if mode in ("1", "L", "P") else 2 if mode.startswith("I;16") else 4
    spend(image.width * image.height * num_bytes, f"the picture {name} of {image.width}x{image.height} pixels")


def _rgb_or_rgba(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        spend(image.width * image.height * 16)
        # Pillow's own conversion clips 16-bit grey at 255; the high byte is the 8-bit picture.
        image = Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8))
    mode = "RGBA" if image.has_transparency_data else "RGB"
    if image.mode == mode:
        return image
    _spend_pixels(image, mode, "converted")
    return image.convert(mode)
